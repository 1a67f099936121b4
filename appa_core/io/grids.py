"""Grids of datasets: in one orientation, compared, and regridded where values are missing."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from appa_core.errors import DataError
from appa_core.regrid import ConservativeRegridder
from appa_core.schema import Grid

_SAME_DEGREES = 1e-4


def oriented(
    latitudes: np.ndarray, longitudes: np.ndarray, where: str
) -> tuple[Grid, np.ndarray, np.ndarray]:
    """The grid of a dataset, and where its rows and columns are.

    Args:
        latitudes: Degrees, ascending or descending (H,).
        longitudes: Degrees east from anywhere on, such as -180, ascending (W,); the first may be
            there again as the last.
        where: File or store, for messages.

    Returns:
        Grid, and positions in the dataset of its rows (H,) and columns (W,).

    Raises:
        DataError: The coordinates are not those of a grid of the whole sphere.
    """
    if not (np.isfinite(latitudes).all() and np.isfinite(longitudes).all()):
        raise DataError(f"latitudes or longitudes of {where} are missing in part (NaN)")
    rows = np.argsort(latitudes, kind="stable")
    if not (
        np.array_equal(rows, np.arange(rows.size))
        or np.array_equal(rows[::-1], np.arange(rows.size))
    ):
        raise DataError(f"latitudes of {where} neither ascend nor descend: {latitudes}")
    lon = np.mod(np.round(longitudes, 6), 360.0)
    columns = np.argsort(lon, kind="stable")
    turns = int((np.diff(lon) <= 0).sum())
    if lon.size > 2 and abs(longitudes[-1] - longitudes[0] - 360.0) < _SAME_DEGREES:
        columns = columns[columns != lon.size - 1]
    if turns > 1:
        raise DataError(f"longitudes of {where} do not ascend: {longitudes}")
    try:
        grid = Grid(tuple(latitudes[rows].tolist()), tuple(lon[columns].tolist()))
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    _require_global(grid, where)
    return grid, rows, columns


def _require_global(grid: Grid, where: str) -> None:
    """Refuse a region: its outermost cells would be stretched around the globe."""
    lat, lon = np.asarray(grid.latitudes), np.asarray(grid.longitudes)
    lat_gaps, lon_gaps = np.diff(lat), np.diff(np.append(lon, lon[0] + 360.0))
    margin = max(90.0 + lat[0], 90.0 - lat[-1])
    if margin > 1.01 * lat_gaps.max() or lon_gaps.max() > 1.5 * np.median(lon_gaps):
        raise DataError(
            f"{where} does not cover the globe: latitudes {lat[0]:g} to {lat[-1]:g}, longitudes "
            f"{lon[0]:g} to {lon[-1]:g}, up to {lon_gaps.max():g} apart; give global data"
        )


def same_grid(a: Grid, b: Grid) -> bool:
    """Whether the cells of two grids are the same to 1e-4 degrees."""
    return a.shape == b.shape and all(
        np.allclose(x, y, rtol=0.0, atol=_SAME_DEGREES)
        for x, y in ((a.latitudes, b.latitudes), (a.longitudes, b.longitudes))
    )


@lru_cache(maxsize=16)
def regridder_between(source: Grid, target: Grid) -> ConservativeRegridder | None:
    """Weights between two grids, made once; None if the grids are the same."""
    return None if same_grid(source, target) else ConservativeRegridder.between(source, target)


def regrid_fields(values: np.ndarray, regridder: ConservativeRegridder) -> np.ndarray:
    """Means over target cells of what is there.

    A target cell is the mean over the valid part of its area, and NaN where less than half of
    the cell is valid.

    Args:
        values: (..., H_source, W_source), NaN where missing.
        regridder: Weights between the grids.

    Returns:
        (..., H_target, W_target), same dtype.
    """
    valid = np.isfinite(values)
    if valid.all():
        return regridder(values)
    share = regridder(valid.astype(np.float64))
    total = regridder(np.where(valid, values, 0.0).astype(np.float64))
    out = np.full(total.shape, np.nan)
    # weights add up to 1 only to rounding
    np.divide(total, share, out=out, where=share >= 0.5 - 1e-9)
    return out.astype(values.dtype)
