"""Means over parts of the globe, weighted by area."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from appa_core.errors import InputError
from appa_core.schema import Grid

GLOBAL = "global"


@dataclass(frozen=True)
class Box:
    """A box of latitude and longitude, edges included; `west` may exceed `east`.

    Args:
        south: Degrees north.
        north: Degrees north.
        west: Degrees east.
        east: Degrees east.
    """

    south: float = -90.0
    north: float = 90.0
    west: float = 0.0
    east: float = 360.0


#: The usual regions of verification: WMO's extratropics begin at 20 degrees.
REGIONS: dict[str, Box] = {
    GLOBAL: Box(),
    "tropics": Box(-20.0, 20.0),
    "northern-extratropics": Box(20.0, 90.0),
    "southern-extratropics": Box(-90.0, -20.0),
}


@dataclass(frozen=True, eq=False)
class RegionWeights:
    """Weights of cells by region; each is a product of a row's and a column's.

    Args:
        names: Of the regions (R).
        rows: Area of rows, 0 outside, (R, H).
        columns: 1 inside and 0 outside, (R, W).
        shares: Shares of the sphere that the regions have on the grid, (R,).
        mask: Cells that have values, (H, W) bool; all if None.
    """

    names: tuple[str, ...]
    rows: np.ndarray
    columns: np.ndarray
    shares: np.ndarray
    mask: np.ndarray | None = None

    @classmethod
    def of(cls, boxes: Mapping[str, Box], latitudes: np.ndarray, longitudes: np.ndarray) -> Self:
        """Those of the regions that hold any cell.

        Args:
            boxes: By name.
            latitudes: Of rows, ascending, degrees north.
            longitudes: Of columns, degrees east.

        Raises:
            InputError: No region holds a cell.
        """
        area = _areas(latitudes)
        names, rows, columns = [], [], []
        for name, box in boxes.items():
            inside = (latitudes >= box.south) & (latitudes <= box.north)
            width = (box.east - box.west) % 360 or 360.0
            within = (longitudes - box.west) % 360 <= width
            if inside.any() and within.any():
                names.append(name)
                rows.append(area * inside)
                columns.append(within.astype(float))
        if not names:
            raise InputError(
                f"no cell of {latitudes[0]:g}..{latitudes[-1]:g} N, {longitudes[0]:g}.."
                f"{longitudes[-1]:g} E lies in any of the regions {', '.join(boxes)}"
            )
        inside, across = np.stack(rows), np.stack(columns)
        # a row's share of the sphere, and a column's of the row
        height = _areas(latitudes, relative=False) / 2
        width = float(np.diff(longitudes).mean()) / 360
        shares = ((inside > 0) @ height) * across.sum(axis=1) * width
        return cls(tuple(names), inside, across, shares)

    @property
    def sizes(self) -> np.ndarray:
        """Sums of weights, (R,)."""
        if self.mask is not None:
            return self.sums(np.ones(self.mask.shape))
        return np.asarray(self.rows.sum(axis=1) * self.columns.sum(axis=1))

    def masked(self, mask: np.ndarray) -> RegionWeights:
        """The same where there are values; regions without any are left out."""
        whole = replace(self, mask=mask)
        kept = np.flatnonzero(whole.sizes > 0)
        names = tuple(self.names[i] for i in kept)
        parts = {name: getattr(self, name)[kept] for name in ("rows", "columns", "shares")}
        return replace(whole, names=names, **parts)

    def slab(self, rows: slice) -> RegionWeights:
        """The same of some rows."""
        mask = None if self.mask is None else self.mask[rows]
        return replace(self, rows=self.rows[:, rows], mask=mask)

    def filled(self, field: np.ndarray) -> np.ndarray:
        """A field (..., H, W) with 0 where there are no values."""
        return field if self.mask is None else np.where(self.mask, field, 0)

    def sums(self, field: np.ndarray) -> np.ndarray:
        """Weighted sums of a field, (..., H, W) to (..., R)."""
        part = self.filled(field) @ self.columns.T
        return np.asarray(np.einsum("...hr,rh->...r", part, self.rows))

    def weights(self, region: int) -> np.ndarray:
        """Weights of cells in a region, (H, W)."""
        return self.filled(self.rows[region][:, None] * self.columns[region])

    def means(self, field: np.ndarray) -> np.ndarray:
        """Weighted means of a field, (..., H, W) to (..., R)."""
        return np.asarray(self.sums(field) / self.sizes)

    def cells(self, region: int, field: np.ndarray) -> np.ndarray:
        """Values of a field in a region, (..., H, W) to (..., N)."""
        inside, columns = (np.flatnonzero(x[region]) for x in (self.rows, self.columns))
        rows = slice(inside[0], inside[-1] + 1) if inside.size else slice(0, 0)
        part = field[..., rows, :]
        if len(columns) < field.shape[-1]:
            part = part[..., columns]
        if self.mask is not None:
            return np.asarray(part[..., self.mask[rows][:, columns]])
        return np.asarray(part.reshape(*part.shape[:-2], -1))


def _areas(latitudes: np.ndarray, *, relative: bool = True) -> np.ndarray:
    """Areas of rows of the unit sphere over 2 pi, or relative to their mean."""
    step = float(np.diff(latitudes).mean())
    lower = np.concatenate([[latitudes[0] - step / 2], (latitudes[1:] + latitudes[:-1]) / 2])
    upper = np.concatenate([lower[1:], [latitudes[-1] + step / 2]])
    edges = np.clip(np.stack([lower, upper]), -90.0, 90.0)
    # what reaches within a cell of a pole is closed by it, as `Grid.area_weights` is
    edges[0, 0] = -90.0 if 90 + latitudes[0] < step else edges[0, 0]
    edges[1, -1] = 90.0 if 90 - latitudes[-1] < step else edges[1, -1]
    area = np.diff(np.sin(np.deg2rad(edges)), axis=0)[0]
    return np.asarray(area / area.mean() if relative else area)


def region_of(grid: Grid, names: tuple[str, ...] | None = None) -> RegionWeights:
    """The usual regions on a grid of the globe."""
    boxes = {name: REGIONS[name] for name in names or REGIONS}
    return RegionWeights.of(boxes, np.asarray(grid.latitudes), np.asarray(grid.longitudes))
