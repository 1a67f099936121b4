"""Fields and text in the form in which a page embeds them."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from appa_core.errors import DataError
from appa_core.report.content import FieldBlock, ForecastReport
from appa_core.report.units import RENAMED

#: Steps of the codes: a field is off by 1 / 8190 of its range at most.
_LEVELS = 4094
#: The code of a cell without a value.
_MISSING = 4095


@dataclass(frozen=True)
class Quantised:
    """Values as 12-bit codes: `offset + scale * code`, off by at most `scale / 2`.

    Args:
        codes: uint16, any shape; `_MISSING` where there is no value.
        scale: Value of one step.
        offset: Value of code 0.
    """

    codes: np.ndarray
    scale: float
    offset: float

    @classmethod
    def of(cls, values: np.ndarray, low: float, high: float) -> Quantised:
        """Codes of values that lie in [low, high] or are NaN."""
        scale = (high - low) / _LEVELS or 1.0
        with np.errstate(invalid="ignore"):
            codes = np.clip(np.rint((values.astype(np.float64) - low) / scale), 0, _LEVELS)
        return cls(np.where(np.isnan(codes), _MISSING, codes).astype("<u2"), scale, low)

    @property
    def values(self) -> np.ndarray:
        """What a reader of the codes sees, float64."""
        seen = self.offset + self.scale * self.codes.astype(np.float64)
        return np.where(self.codes == _MISSING, np.nan, seen)


def packed(codes: np.ndarray) -> str:
    """Codes as text: differences in time and then from west to east, compressed.

    A difference d becomes 2 d or -2 d - 1, all low bytes come before all high bytes, and zlib
    compresses both: smooth fields take about one byte a value.

    Args:
        codes: (N, T, H, W) uint16 below 2 ** 12.

    Returns:
        Base64.
    """
    change: np.ndarray = np.diff(codes.astype(np.int32), axis=1, prepend=0)
    change = np.diff(change, axis=3, prepend=0)
    folded = (change << 1) ^ (change >> 31)
    planes = np.stack([folded & 255, folded >> 8]).astype(np.uint8)
    return compressed(planes.tobytes())


def compressed(data: bytes) -> str:
    """Bytes as base64 of a zlib stream."""
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")


def encode_block(block: FieldBlock) -> dict[str, Any]:
    """A channel's arrays on one common scale, and how to read and show them."""
    arrays = block.arrays
    low = min(float(np.nanmin(a)) for a in arrays.values())
    high = max(float(np.nanmax(a)) for a in arrays.values())
    whole = np.concatenate([a if a.ndim == 4 else a[None] for a in arrays.values()])
    coded = Quantised.of(whole, low, high)
    shown = block.shown
    return {
        "name": block.channel_name,
        "variable": block.variable or block.channel_name,
        "level": block.level,
        "label": block.label,
        "units": shown.units,
        "differenceUnits": shown.units_of_differences,
        "powerUnits": shown.units_of_power,
        "scale": shown.scale,
        "offset": shown.offset,
        "signed": block.signed,
        "members": int(block.ensemble.shape[0]),
        "pairs": block.are_pairs,
        "step": coded.scale * shown.scale,
        "start": coded.offset * shown.scale + shown.offset,
        "arrays": list(arrays),
        "data": packed(coded.codes),
    }


def encode_fields(
    fields: Sequence[FieldBlock], budget_bytes: int | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Encoded channels in order until their text exceeds a budget, and the labels of the rest.

    The first channel is always there.
    """
    encoded: list[dict[str, Any]] = []
    used = 0
    for place, block in enumerate(fields):
        if budget_bytes is not None and encoded and used >= budget_bytes:
            return encoded, [b.label for b in fields[place:]]
        one = encode_block(block)
        if budget_bytes is not None and encoded and used + len(one["data"]) > budget_bytes:
            return encoded, [b.label for b in fields[place:]]
        used += len(one["data"])
        encoded.append(one)
    return encoded, []


def encode_report(
    report: ForecastReport, score_rows: list[dict[str, Any]], budget_bytes: int | None = None
) -> dict[str, Any]:
    """Everything that the scripts of the page read, except the coastlines."""
    grid = report.grid
    fields, left_out = encode_fields(report.fields, budget_bytes)
    return {
        "initTime": report.init_label,
        "leadHours": [int(h) for h in report.lead_hours],
        "hoursLabel": report.hours_label,
        "validTimes": report.valid_times,
        "latitudes": [round(x, 6) for x in grid.latitudes],
        "longitudes": [round(x, 6) for x in grid.longitudes],
        "areaWeights": [round(float(w), 9) for w in grid.area_weights],
        "fields": fields,
        "renamed": RENAMED,
        "leftOut": [*left_out, *report.left_out],
        "places": [[p.name, p.latitude, p.longitude] for p in report.places],
        "scores": score_rows,
        "evaluation": compressed(script_safe_json(report.evaluation.shown()).encode()),
        "comparison": None if report.comparison is None else report.comparison.shown(),
    }


def script_safe_json(value: Any) -> str:
    """JSON that cannot end the script element which holds it, nor start a comment there.

    Raises:
        DataError: A number is not finite.
    """
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise DataError(f"a page can hold finite numbers alone: {error}") from error
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
