"""Known states on the cells and levels of a result, a variable at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.errors import DataError
from appa_core.io.datasets import Archive, Times
from appa_core.schema import MASKED, Grid


class TruthFields:
    """Known states on the cells of a result.

    Args:
        archive: Opened states.
        name: Of their source, for messages.
        grid: Cells of the result.
    """

    def __init__(self, archive: Archive, name: str, grid: Grid) -> None:
        self._archive, self._name, self._grid = archive, name, grid

    @property
    def times(self) -> pd.DatetimeIndex:
        """Of all states."""
        return self._archive.times

    def span(self) -> str:
        """When there are states, for messages."""
        return f"{self._name} holds {self._archive.describe_span()}"

    def read(self, variable: str, levels: Sequence[int | None], times: Times) -> np.ndarray:
        """A variable, (T, L, H, W) float32, on the result's cells and levels.

        Raises:
            DataError: The variable, a level or a cell is missing, or a value is not finite.
        """
        data = self._archive.read(times, [variable])
        if variable not in data:
            raise DataError(
                f"the true states {self._name} have no {variable}, which the result has; name "
                "others with --truth, or write fewer variables"
            )
        array = self._cut(data[variable])
        if levels != [None]:
            array = self._at_levels(array, [level for level in levels if level is not None])
            values = array.transpose("time", "level", "latitude", "longitude").values
        else:
            values = array.transpose("time", "latitude", "longitude").values[:, None]
        require_finite(values[None], variable, levels, times, f"the true states {self._name}")
        return np.asarray(values)

    def _at_levels(self, array: xr.DataArray, levels: Sequence[int]) -> xr.DataArray:
        there = [int(x) for x in array["level"].values] if "level" in array.dims else []
        missing = [level for level in levels if level not in there]
        if missing:
            raise DataError(
                f"the true states {self._name} have {array.name} at {there} hPa and not at "
                f"{missing} hPa, where the result has it"
            )
        return array.isel(level=[there.index(level) for level in levels])

    def _cut(self, array: xr.DataArray) -> xr.DataArray:
        """The result's cells."""
        picks = {
            dim: positions(
                np.asarray(array[dim].values, float), np.asarray(wanted), dim, self._name
            )
            for dim, wanted in (
                ("latitude", self._grid.latitudes),
                ("longitude", self._grid.longitudes),
            )
        }
        if all(np.array_equal(p, np.arange(array.sizes[d])) for d, p in picks.items()):
            return array
        return array.isel(picks)


def positions(axis: np.ndarray, wanted: np.ndarray, dim: str, name: str) -> np.ndarray:
    """Where coordinates are on an axis.

    Raises:
        DataError: One is not there.
    """
    found = np.abs(axis[:, None] - wanted).argmin(axis=0)
    if not np.allclose(axis[found], wanted, atol=1e-4):
        raise DataError(
            f"{dim} of {name} is another grid than the result's: expected {wanted.size} values "
            f"{wanted[0]:g}..{wanted[-1]:g}, found {axis.size} values {axis[0]:g}..{axis[-1]:g}; "
            "bring it to the result's grid with flows.ingest"
        )
    return np.asarray(found)


def require_finite(
    values: np.ndarray, variable: str, levels: Sequence[int | None], times: Times, what: str
) -> None:
    """Refuse values that should not be there.

    Args:
        values: (M, T, L, H, W).
        variable: Its name; of masked variables NaN is allowed.
        levels: (L,).
        times: (T,).
        what: Whose values.

    Raises:
        DataError: A value is not finite; the message says of which variable, level and time.
    """
    broken = np.isinf if variable in MASKED else lambda x: ~np.isfinite(x)
    for member, time, level in np.ndindex(*values.shape[:3]):
        if broken(values[member, time, level]).any():
            where = "" if levels[level] is None else f" at {levels[level]} hPa"
            who = f", member {member}" if len(values) > 1 else ""
            raise DataError(
                f"{what} hold values of {variable}{where} at "
                f"{pd.DatetimeIndex(times)[time]:%Y-%m-%dT%H:%M} UTC{who} that are not finite"
            )
