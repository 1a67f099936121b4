"""Tables of an evaluation and of a comparison of two runs, as a page shows them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from appa_core.report.units import display_of
from appa_core.schema import VARIABLES

#: Scores in the units of their variable; all others are numbers without or with other units.
_IN_UNITS = frozenset({"rmse", "bias", "mae", "crps", "crps_ensemble", "spread", "energy"})

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Evaluation:
    """Tables in SI units, a mapping a row; those that are not known are empty.

    Args:
        scores: forecast, score, variable, level, lead_hours, region, season, value, low, high.
        ranks: variable, level, lead_hours (None: all together), region, rank, count.
        calibration: variable, level, lead_hours, region, p (of a flat histogram), verdict.
        reliability: event, variable, level, lead_hours, region, forecast_probability,
            observed_frequency, count.
        spectra: variable, level, lead_hours, source, wavenumber, power.
        physics: check, variable, level, band, lead_hours, source, value, units.
        departures: Whatever columns they have, platform and quantity first.
    """

    scores: Rows = ()
    ranks: Rows = ()
    calibration: Rows = ()
    reliability: Rows = ()
    spectra: Rows = ()
    physics: Rows = ()
    departures: Rows = ()

    def shown(self) -> dict[str, dict[str, list[Any]]]:
        """Every table by column, scores and power in display units, None for what is missing."""
        tables = {f.name: getattr(self, f.name) for f in fields(self)}
        tables["scores"] = [_in_display_units(row) for row in self.scores]
        tables["spectra"] = [_power_in_display_units(row) for row in self.spectra]
        return {name: _columns(rows) for name, rows in tables.items()}


@dataclass(frozen=True)
class RunComparison:
    """How scores of a run differ from those of another.

    Args:
        name: Of the other run.
        note: What was compared and how it was tested, in a sentence.
        rows: score, channel, variable, level, lead (hours, None for all times together), change
            (of the score relative to the other's), low, high (None for a single date), pairs.
    """

    name: str
    note: str
    rows: Rows

    def shown(self) -> dict[str, Any]:
        """Name, note and rows."""
        return {"name": self.name, "note": self.note, "rows": _columns(self.rows)}


def _columns(rows: Rows) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [_plain(row.get(name)) for row in rows] for name in names}


def _in_display_units(row: Mapping[str, Any]) -> dict[str, Any]:
    known = VARIABLES.get(str(row.get("variable")))
    if known is None or row.get("score") not in _IN_UNITS:
        return dict(row)
    scale = display_of(known[0]).scale
    return dict(row) | {k: _scaled(row.get(k), scale) for k in ("value", "low", "high")}


def _power_in_display_units(row: Mapping[str, Any]) -> dict[str, Any]:
    known = VARIABLES.get(str(row.get("variable")))
    if known is None:
        return dict(row)
    return dict(row) | {"power": _scaled(row.get("power"), display_of(known[0]).scale ** 2)}


def _scaled(value: Any, scale: float) -> float | None:
    number = _plain(value)
    return None if not isinstance(number, float | int) else number * scale


def _plain(value: Any) -> Any:
    """A value that JSON can hold; six digits of a number, None where it is not finite."""
    if value is None or isinstance(value, str | bool):
        return value
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 1e15 else float(f"{number:.6g}")


def rows_of(columns: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    """Rows of a table that is given by its columns."""
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
