"""What the parts of a source hold: who gives which variable, level and time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd

from appa_core.errors import DataError, InputError
from appa_core.io.axes import valid_span
from appa_core.io.harmonise import Part
from appa_core.schema import VARIABLES

HOUR = pd.Timedelta(hours=1)


@dataclass(frozen=True)
class Need:
    """A field of a schema in terms of a source.

    Args:
        variable: ERA5 name in the source.
        hours: Over how many hourly values up to a time it sums; 1 to take it as it is.
        levels: Pressure in hPa (L,); None at the surface.
    """

    variable: str
    hours: int
    levels: tuple[int, ...] | None


@dataclass(frozen=True)
class Share:
    """What a part gives of a field.

    Args:
        part: The part.
        rows: Which of the times that are needed (t,).
        picks: Their positions among the part's times (t,).
        places: Which of the levels that are needed; (0,) at the surface.
    """

    part: Part
    rows: np.ndarray
    picks: np.ndarray
    places: tuple[int, ...]


class Holdings:
    """Parts of a source, asked together.

    Args:
        name: The source's, for messages.
        parts: All of them, with those that hold nothing of use.
    """

    def __init__(self, name: str, parts: list[Part]) -> None:
        self._name = name
        self._problems = {k: v for part in parts for k, v in part.problems.items()}
        self.parts = [part for part in parts if part.fields]
        if not self.parts:
            why = "; ".join(self._problems.values()) or "none of its variables is known here"
            raise DataError(f"source {name} has no field that can be used: {why}")
        self.variables = tuple(v for v in VARIABLES if any(v in p.fields for p in self.parts))

    @property
    def levels(self) -> tuple[int, ...]:
        """Pressure levels in hPa that are whole numbers, ascending, of any variable."""
        every = (f.levels or () for p in self.parts for f in p.fields.values())
        return tuple(sorted({int(x) for levels in every for x in levels if x == int(x)}))

    def parts_of(self, variable: str) -> list[Part]:
        """Parts with a variable.

        Raises:
            DataError: There is none; the message says why.
        """
        if parts := [p for p in self.parts if variable in p.fields]:
            return parts
        if variable in self._problems:
            raise DataError(self._problems[variable])
        raise DataError(
            f"source {self._name} has no {variable}; it has {', '.join(self.variables)}"
        )

    def times_of(self, need: Need) -> pd.DatetimeIndex:
        """Times (T,) at which a variable is there on all levels; sums are not considered.

        Raises:
            DataError: The variable or a level is not there at all.
        """
        parts = self.parts_of(need.variable)
        spans: dict[tuple[int, ...], pd.DatetimeIndex] = {}
        for place, level in enumerate(need.levels or (None,)):
            holders = [p for p in parts if place in _places(p, need)]
            if not holders:
                raise DataError(
                    f"source {self._name} has no {need.variable} at {level} hPa; its levels are "
                    f"{', '.join(map(str, self.levels))}"
                )
            spans[tuple(map(id, holders))] = union([p.times for p in holders])
        return intersection(list(spans.values()))

    def shares(self, need: Need, times: pd.DatetimeIndex) -> list[Share]:
        """Who gives what, so that every time (T,) and level comes from just one part.

        Raises:
            InputError: A time is not there.
            DataError: A variable or level is not there at all, or a state is there twice.
        """
        shares = []
        count = np.zeros((len(times), len(need.levels or (0,))), int)
        for part in self.parts_of(need.variable):
            picks = part.times.get_indexer(times)
            rows = np.flatnonzero(picks >= 0)
            places = _places(part, need)
            count[np.ix_(rows, np.asarray(places, int))] += 1
            if rows.size and places:
                shares.append(Share(part, rows, picks[rows], places))
        for place, row in np.argwhere(count.T == 0)[:1].tolist():
            raise self._absence(need, place, times[row])
        for _, row in np.argwhere(count.T > 1)[:1].tolist():
            holders = " and ".join(s.part.where for s in shares if times[row] in s.part.times)
            raise DataError(
                f"source {self._name} has {need.variable} at {times[row]:%Y-%m-%dT%H:%M} UTC more "
                f"than once: in {holders}; leave one of them out"
            )
        return shares

    def _absence(self, need: Need, place: int, time: pd.Timestamp) -> InputError:
        """Why there is no state at a time; DataError if a level is not there at all."""
        there = self.times_of(need)
        text = f"source {self._name} has no {need.variable} at {time:%Y-%m-%dT%H:%M} UTC"
        if need.levels is not None:
            text += f" and {need.levels[place]} hPa"
        if need.hours > 1:
            text += f", of the {need.hours} hours that a sum is over"
        if not len(there):
            return InputError(f"{text}, nor all of its levels at another time")
        text += f"; it has {there[0]:%Y-%m-%dT%H:%M} to {there[-1]:%Y-%m-%dT%H:%M}"
        if there[0] < time < there[-1]:
            i = int(there.searchsorted(time))
            text += f" but for a hole after {there[i - 1]:%Y-%m-%dT%H:%M}"
        _, end = valid_span(self.parts[0].attributes)
        if time > end:
            text += f", and its attributes say that it is valid until {end:%Y-%m-%dT%H:%M}"
        return InputError(f"{text}; choose times that are there")


def union(times: list[pd.DatetimeIndex]) -> pd.DatetimeIndex:
    """Times in any of some indices."""
    return reduce(lambda a, b: pd.DatetimeIndex(a.union(b)), times)


def intersection(times: list[pd.DatetimeIndex]) -> pd.DatetimeIndex:
    """Times in all of some indices."""
    return reduce(lambda a, b: a if a is b else pd.DatetimeIndex(a.intersection(b)), times)


def _places(part: Part, need: Need) -> tuple[int, ...]:
    if need.levels is None:
        return (0,)
    levels = part.fields[need.variable].levels or ()
    return tuple(i for i, level in enumerate(need.levels) if level in levels)
