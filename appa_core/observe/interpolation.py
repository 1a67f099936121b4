"""Where a point lies between the cells, levels and states of a trajectory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from appa_core.constants import EARTH_RADIUS_M
from appa_core.schema import Grid

EARTH_RADIUS_KM = EARTH_RADIUS_M / 1e3


@dataclass(frozen=True)
class Weights:
    """Linear interpolation of N points from at most K neighbours each.

    Args:
        index: Neighbours, (N, K) int64.
        weight: Their weights, (N, K) float64; each row sums to 1.
        is_inside: Whether the point lies within what can be interpolated, (N,) bool.
    """

    index: np.ndarray
    weight: np.ndarray
    is_inside: np.ndarray


def between(axis: np.ndarray, points: np.ndarray) -> Weights:
    """Neighbours of points on an ascending axis, (N, 2).

    Args:
        axis: (A,) strictly ascending.
        points: (N,); those outside the axis are not inside.
    """
    if len(axis) == 1:
        lower = np.zeros(len(points), np.int64)
        share = np.zeros(len(points))
    else:
        lower = np.clip(np.searchsorted(axis, points, side="right") - 1, 0, len(axis) - 2)
        share = (points - axis[lower]) / (axis[lower + 1] - axis[lower])
    upper = np.minimum(lower + 1, len(axis) - 1)
    return Weights(
        np.stack([lower, upper], axis=1),
        np.stack([1 - share, share], axis=1),
        (points >= axis[0]) & (points <= axis[-1]),
    )


def in_pressure(levels_hpa: np.ndarray, points_hpa: np.ndarray) -> Weights:
    """Neighbours of pressures among levels in hPa, linear in the logarithm of pressure."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = between(np.log(levels_hpa), np.log(points_hpa))
    # a level itself is inside, whatever its logarithm rounds to
    exact = np.isin(points_hpa, levels_hpa)
    return Weights(found.index, found.weight, found.is_inside | exact)


@dataclass(frozen=True)
class CellWeights:
    """Cells that a point is interpolated from, in a flattened (H, W).

    Args:
        index: (N, K) int64.
        weight: (N, K) float64; each row sums to 1.
        is_across: Whether the cell lies beyond a pole, where components of the wind point the
            other way, (N, K) bool.
    """

    index: np.ndarray
    weight: np.ndarray
    is_across: np.ndarray


def bilinear(grid: Grid, latitude: np.ndarray, longitude: np.ndarray) -> CellWeights:
    """Four cells around points, (N, 4), across the date line and the poles.

    Beyond the last row of cells the neighbour is the same row on the other side of the pole.

    Args:
        grid: Latitudes ascend, longitudes are evenly spaced around the globe.
        latitude: Degrees, (N,).
        longitude: Degrees, (N,).
    """
    rows, columns = grid.shape
    own = np.asarray(grid.latitudes)
    axis = np.concatenate([[-180.0 - own[0]], own, [180.0 - own[-1]]])
    if own[-1] == 90.0:  # the rows are the poles themselves
        axis[0], axis[-1] = -91.0, 91.0
    vertical = between(axis, latitude)
    spacing = 360.0 / columns
    place = (longitude - grid.longitudes[0]) / spacing
    west = np.floor(place).astype(np.int64)
    share = place - west
    cells, weights, across = [], [], []
    for k in range(2):
        padded = vertical.index[:, k]
        is_across = (padded == 0) | (padded == rows + 1)
        row = np.clip(padded - 1, 0, rows - 1)
        for j, part in enumerate((1 - share, share)):
            # half the globe further east; an odd number of columns has no opposite cell
            shift = np.where(is_across, columns // 2, 0)
            cells.append(row * columns + (west + j + shift) % columns)
            weights.append(vertical.weight[:, k] * part)
            across.append(is_across)
    return CellWeights(*(np.stack(parts, axis=1) for parts in (cells, weights, across)))


def footprint(
    grid: Grid, latitude: np.ndarray, longitude: np.ndarray, radius_km: np.ndarray
) -> CellWeights:
    """Area-weighted average of the cells whose centres lie within a radius of points.

    A footprint that holds no centre is the point itself.

    Args:
        grid: Where fields are given.
        latitude: Degrees, (N,).
        longitude: Degrees, (N,).
        radius_km: (N,), positive.
    """
    rows, columns = grid.shape
    area = np.repeat(grid.area_weights, columns)
    cells = unit_vectors(
        np.repeat(grid.latitudes, columns), np.tile(np.asarray(grid.longitudes), rows)
    )
    point = bilinear(grid, latitude, longitude)
    index, weight, across = [], [], []
    centres = unit_vectors(latitude, longitude)
    for n, (centre, radius) in enumerate(zip(centres, radius_km, strict=True)):
        inside = np.flatnonzero(cells @ centre >= np.cos(radius / EARTH_RADIUS_KM))
        if len(inside) == 0:
            index.append(point.index[n])
            weight.append(point.weight[n])
            across.append(point.is_across[n])
        else:
            index.append(inside)
            weight.append(area[inside] / area[inside].sum())
            across.append(np.zeros(len(inside), bool))
    most = max((len(i) for i in index), default=1)
    return CellWeights(*(_padded(parts, most) for parts in (index, weight, across)))


def unit_vectors(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Points on the sphere as vectors of length 1, (N, 3)."""
    a, b = np.deg2rad(latitude), np.deg2rad(longitude)
    return np.stack([np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a)], axis=1)


def _padded(rows: list[np.ndarray], width: int) -> np.ndarray:
    return np.stack([np.pad(row, (0, width - len(row))) for row in rows])
