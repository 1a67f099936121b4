"""Checks of rows against others of the same report: repeats, and what was measured once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from appa_core.observations.control.check import PlainCheck
from appa_core.observations.table import ObservationTable
from appa_core.observe.quantities import quantity

#: Components of the wind, at a level and at 10 m.
_PAIRS = (
    ("u_component_of_wind", "v_component_of_wind"),
    ("10m_u_component_of_wind", "10m_v_component_of_wind"),
)


@dataclass(frozen=True)
class Duplicates(PlainCheck):
    """Rejects rows of the same station, place, time, level and quantity, but for one.

    Args:
        keep: Which of them stays: the last, as corrections come later, or the first.
        degrees: Places that round to the same multiple of this are the same.
        minutes: And so are times.
    """

    keep: Literal["first", "last"] = "last"
    degrees: float = 0.02
    minutes: float = 1.0

    def checked(self, table: ObservationTable) -> ObservationTable:
        """The table with repeats rejected."""
        frame = table.used.frame
        seconds = frame["valid_time"].to_numpy().astype("datetime64[s]").astype(np.int64)
        keys = frame[["platform", "station_id", "quantity", "level", "top_level"]].assign(
            time=np.round(seconds / (60 * self.minutes)),
            latitude=np.round(frame["latitude"] / self.degrees),
            # across the date line too
            longitude=np.round(frame["longitude"] / self.degrees) % round(360 / self.degrees),
        )
        is_repeat = np.zeros(len(table), bool)
        is_repeat[np.flatnonzero(table.is_used)] = keys.duplicated(keep=self.keep).to_numpy()
        return table.reject(is_repeat, "duplicate")


@dataclass(frozen=True)
class OneOf(PlainCheck):
    """Keeps one of several quantities that a report derives from one reading.

    Such as the pressure at the station and that at sea level, of one barometer.

    Args:
        quantities: The preferred first.

    Raises:
        InputError: One is unknown.
    """

    quantities: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in self.quantities:
            quantity(name)

    def checked(self, table: ObservationTable) -> ObservationTable:
        """The table with the others rejected; rows without a report are left alone."""
        names = table.frame["quantity"].to_numpy(object)
        report = table.frame["report_id"].to_numpy(object)
        is_other = np.zeros(len(table), bool)
        taken: set[str] = set()
        for name in self.quantities:
            is_own = (names == name) & table.is_used & (report != "")
            is_other |= is_own & np.isin(report.astype(str), sorted(taken))
            taken |= set(report[is_own].tolist())
        return table.reject(is_other, f"{self.quantities[0]} is used instead")


@dataclass(frozen=True)
class WindPairs(PlainCheck):
    """Rejects a component of the wind whose other component has been rejected."""

    def checked(self, table: ObservationTable) -> ObservationTable:
        """The table with lone components rejected; one that never had another is left alone."""
        reading = _readings(table.frame)
        names = table.frame["quantity"].to_numpy(object)
        for pair in _PAIRS:
            for one, other in (pair, pair[::-1]):
                had = np.isin(reading, reading[names == other])
                has = np.isin(reading, reading[(names == other) & table.is_used])
                table = table.reject((names == one) & had & ~has, "other component rejected")
        return table


def _readings(frame: pd.DataFrame) -> np.ndarray:
    """A number for each report, station, time, place and level, (N,)."""
    columns = ["report_id", "platform", "station_id", "valid_time", "latitude", "longitude"]
    return frame.groupby([*columns, "level"], dropna=False, sort=False).ngroup().to_numpy()
