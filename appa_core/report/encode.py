"""Fields and text in the form in which a page embeds them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from appa_core.report.content import FieldBlock, ForecastReport

_LEVELS = 65535  # steps of the 16-bit codes


@dataclass(frozen=True)
class Quantised:
    """Values as 16-bit codes: `offset + scale * code`, off by at most `scale / 2`.

    Args:
        codes: uint16, any shape.
        scale: Value of one step.
        offset: Value of code 0.
    """

    codes: np.ndarray
    scale: float
    offset: float

    @classmethod
    def of(cls, values: np.ndarray, low: float, high: float) -> Quantised:
        """Codes of values that lie in [low, high]."""
        scale = (high - low) / _LEVELS or 1.0
        codes = np.rint((values.astype(np.float64) - low) / scale)
        return cls(np.clip(codes, 0, _LEVELS).astype("<u2"), scale, low)

    @property
    def values(self) -> np.ndarray:
        """What a reader of the codes sees, float64."""
        return self.offset + self.scale * self.codes.astype(np.float64)

    @property
    def text(self) -> str:
        """Little-endian bytes in base64."""
        return base64.b64encode(self.codes.astype("<u2").tobytes()).decode("ascii")


def encode_block(block: FieldBlock) -> dict[str, Any]:
    """A channel's arrays on one common scale, and how to read and show them."""
    arrays = block.arrays
    low = min(float(a.min()) for a in arrays.values())
    high = max(float(a.max()) for a in arrays.values())
    coded = {name: Quantised.of(a, low, high) for name, a in arrays.items()}
    shown = block.shown
    return {
        "name": block.channel_name,
        "label": block.label,
        "units": shown.units,
        "differenceUnits": shown.units_of_differences,
        "signed": block.signed,
        "members": int(block.ensemble.shape[0]),
        "step": coded["ensemble"].scale * shown.scale,
        "start": coded["ensemble"].offset * shown.scale + shown.offset,
        "arrays": {name: q.text for name, q in coded.items()},
    }


def encode_report(report: ForecastReport, score_rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything that the scripts of the page read, except the coastlines."""
    grid = report.grid
    return {
        "initTime": report.init_label,
        "leadHours": [int(h) for h in report.lead_hours],
        "hoursLabel": report.hours_label,
        "validTimes": report.valid_times,
        "latitudes": [round(x, 6) for x in grid.latitudes],
        "longitudes": [round(x, 6) for x in grid.longitudes],
        "areaWeights": [round(float(w), 9) for w in grid.area_weights],
        "fields": [encode_block(block) for block in report.fields],
        "scores": score_rows,
    }


def script_safe_json(value: Any) -> str:
    """JSON that cannot end the script element which holds it, nor start a comment there."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
