"""The table of observations: one row each, in SI units, checked on the way in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from appa_core.errors import InputError
from appa_core.observe.quantities import QUANTITIES, quantity

#: Columns that every table has.
REQUIRED = (
    "valid_time",
    "latitude",
    "longitude",
    "level",
    "quantity",
    "value",
    "error_std",
    "platform",
    "station_id",
)
#: Columns that some quantities need; numbers are NaN and texts empty where a table lacks them.
OPTIONAL = (
    "elevation_m",  # of the station above sea level
    "top_level",  # upper boundary of a layer, hPa
    "weighting_width",  # of a weighting function, in ln(p)
    "footprint_km",  # radius of the area that is seen; a point if absent
    "report_id",  # rows of one sounding or scan, whose errors may be correlated
    "correlation_ln_p",  # over which errors of a report are correlated, in ln(p)
    "correlation_km",  # and along the ground; independent if 0 or absent
    "rejected",  # why a row is not used
)
COLUMNS = (*REQUIRED, *OPTIONAL)
NUMBERS = (
    "latitude",
    "longitude",
    "level",
    "value",
    "error_std",
    "elevation_m",
    "top_level",
    "weighting_width",
    "footprint_km",
    "correlation_ln_p",
    "correlation_km",
)
TEXT = ("quantity", "platform", "station_id", "report_id", "rejected")
_NEEDS = {
    "level": ("level",),
    "station": ("elevation_m",),
    "layer": ("level", "top_level"),
    "weighted": ("level", "weighting_width"),
}
_SHOWN = 3
#: No place on Earth has more; a level beyond it is one in Pa.
HIGHEST_PRESSURE_HPA = 1200.0


@dataclass(frozen=True)
class ObservationTable:
    """Observations, one row each, ordered as they came.

    Make one with `of`, which checks. Columns are `COLUMNS`: `valid_time` datetime64[ns] UTC;
    `latitude` in [-90, 90]; `longitude` in [0, 360); `level` in hPa, NaN at the surface; `value`
    and `error_std` in SI units (`error_std` NaN where it is still to be assigned); `rejected` says
    why a row is not used, and is empty where it is.

    Args:
        frame: The table, with an index of 0 to N - 1.
    """

    frame: pd.DataFrame

    @classmethod
    def of(
        cls, frame: pd.DataFrame, source: str = "the table", *, is_si: bool = False
    ) -> ObservationTable:
        """A checked table.

        Args:
            frame: At least the columns `REQUIRED`; those it does not know are dropped.
            source: Named in errors.
            is_si: Whether values are known to be in SI units, so that implausible ones are left to
                quality control, however many there are.

        Raises:
            InputError: A column is missing; a time, a place or a number is none; a quantity is
                unknown or lacks what its place needs; most values of a quantity are not plausible,
                as when they are in other units.
        """
        missing = [name for name in REQUIRED if name not in frame]
        if missing:
            raise InputError(
                f"{source} lacks columns {', '.join(missing)}; it has "
                f"{', '.join(map(str, frame.columns)) or 'none'}; an observation table has "
                f"{', '.join(REQUIRED)}"
            )
        table = frame.reset_index(drop=True).reindex(columns=list(COLUMNS))
        table["valid_time"] = _times(table["valid_time"], source)
        for name in NUMBERS:
            table[name] = _numbers(table[name], name, source)
        for name in TEXT:
            text = table[name].astype(object)
            table[name] = text.where(text.notna(), "").astype(str).astype(object)
        checked = cls(table)
        checked._require_sense(source, is_si=is_si)
        longitude = table["longitude"] % 360.0
        # just west of Greenwich it rounds to a whole turn
        table["longitude"] = longitude.where(longitude < 360.0, 0.0)
        return checked

    @classmethod
    def empty(cls) -> ObservationTable:
        """A table without rows."""
        return cls.of(pd.DataFrame({name: [] for name in REQUIRED}))

    @classmethod
    def concatenate(cls, tables: Sequence[ObservationTable]) -> ObservationTable:
        """The rows of several tables, one after the other."""
        frames = [table.frame for table in tables if len(table)]
        return cls(pd.concat(frames, ignore_index=True)) if frames else cls.empty()

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def is_used(self) -> np.ndarray:
        """Which rows have not been rejected, (N,) bool."""
        return np.asarray(self.frame["rejected"] == "")

    @property
    def used(self) -> ObservationTable:
        """The rows that have not been rejected."""
        return self.rows(self.is_used)

    def rows(self, choice: np.ndarray) -> ObservationTable:
        """Some rows, by a mask or by position."""
        picks = np.flatnonzero(choice) if choice.dtype == bool else choice
        return ObservationTable(self.frame.iloc[picks].reset_index(drop=True))

    def between(self, start: pd.Timestamp, end: pd.Timestamp) -> ObservationTable:
        """Rows with valid times in [start, end]."""
        times = self.frame["valid_time"]
        return self.rows(np.asarray((times >= start) & (times <= end)))

    def reject(self, choice: np.ndarray, reason: str) -> ObservationTable:
        """The same table with rows rejected; those that already were keep their first reason.

        Args:
            choice: Which rows, (N,) bool.
            reason: In a few words.
        """
        rejected = self.frame["rejected"].to_numpy(object, copy=True)
        rejected[np.asarray(choice, bool) & self.is_used] = reason
        reasons = pd.Series(rejected, self.frame.index, dtype=object)
        return ObservationTable(self.frame.assign(rejected=reasons))

    def require_used(self) -> ObservationTable:
        """The rows that have not been rejected.

        Raises:
            InputError: There is none; the message says why.
        """
        used = self.used
        if len(used) == 0:
            why = self.counts("platform").to_string() if len(self) else "the table has no rows"
            raise InputError(f"no observation is left after control; their reasons:\n{why}")
        return used

    def counts(self, *by: str) -> pd.DataFrame:
        """How many rows there are, how many are used, how many rejected and why.

        Args:
            by: Columns to count by; platform and quantity if none is given.
        """
        reason = self.frame["rejected"].replace("", "used")
        table = pd.crosstab([self.frame[name] for name in by or ("platform", "quantity")], reason)
        table.insert(0, "rows", table.sum(axis=1))
        if "used" not in table:
            table["used"] = 0
        reasons = sorted(set(table.columns) - {"rows", "used"})
        table = table[["rows", "used", *reasons]]
        table.columns.name = None
        return table

    def _require_sense(self, source: str, *, is_si: bool) -> None:
        frame = self.frame
        for name, low, high in (("latitude", -90, 90), ("longitude", -360, 360)):
            column = frame[name]
            _require(
                ~((column >= low) & (column <= high)),
                frame,
                f"{source}: expected {name} of {low} to {high} degrees",
                name,
            )
        if unknown := sorted(set(frame["quantity"]) - set(QUANTITIES)):
            raise InputError(
                f"{source}: unknown quantity {unknown[0]!r}; there are: "
                f"{', '.join(sorted(QUANTITIES))}"
            )
        _require(frame["value"].isna(), frame, f"{source}: expected a value", "value")
        _require(
            frame["error_std"] <= 0, frame, f"{source}: expected a positive error", "error_std"
        )
        for name in ("level", "top_level"):
            column = frame[name]
            _require(
                (column <= 0) | (column > HIGHEST_PRESSURE_HPA),
                frame,
                f"{source}: expected a {name} in hPa",
                name,
            )
        for name in ("correlation_ln_p", "correlation_km"):
            _require(frame[name] < 0, frame, f"{source}: expected a length of 0 or more", name)
        for key, rows in frame.groupby("quantity"):
            self._require_columns(str(key), rows, source)
            if not is_si:
                self._require_plausible(str(key), rows[rows["rejected"] == ""], source)

    @staticmethod
    def _require_columns(name: str, rows: pd.DataFrame, source: str) -> None:
        known = quantity(name)
        for column in _NEEDS.get(known.place, ()):
            _require(
                rows[column].isna(),
                rows,
                f"{source}: {name} needs {column} in every row",
                column,
            )

    @staticmethod
    def _require_plausible(name: str, rows: pd.DataFrame, source: str) -> None:
        known = quantity(name)
        is_odd = (rows["value"] < known.low) | (rows["value"] > known.high)
        if is_odd.mean() > 0.5:
            low, high = rows["value"].min(), rows["value"].max()
            raise InputError(
                f"{source}: {is_odd.sum()} of {len(rows)} values of {name} are not plausible: "
                f"expected {known.low:g} to {known.high:g} {known.units}, found {low:g} to "
                f"{high:g}; are they in other units? Convert them, or give a column 'units'"
            )


def _times(column: pd.Series, source: str) -> pd.Series:
    try:
        times = pd.to_datetime(column, utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{source}: valid_time must be UTC times such as 2024-01-01T00:00: {error}"
        ) from error
    times = times.dt.tz_localize(None).astype("datetime64[ns]")
    if times.isna().any():
        row = int(np.flatnonzero(times.isna())[0])
        raise InputError(f"{source}: row {row} has no valid_time")
    return times


def _numbers(column: pd.Series, name: str, source: str) -> pd.Series:
    try:
        numbers = pd.to_numeric(column).astype(np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(f"{source}: column {name} must hold numbers: {error}") from error
    if np.isinf(numbers).any():
        row = int(np.flatnonzero(np.isinf(numbers))[0])
        raise InputError(f"{source}: row {row} has an infinite {name}")
    return numbers


def _require(is_wrong: pd.Series, frame: pd.DataFrame, message: str, column: str) -> None:
    if is_wrong.any():
        rows = frame.index[is_wrong][:_SHOWN]
        found = ", ".join(f"{frame.loc[row, column]} in row {row}" for row in rows)
        raise InputError(f"{message}; found {found} ({int(is_wrong.sum())} rows in all)")
