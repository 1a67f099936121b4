"""What a user reads off an ensemble: values at points, chances of events, quantiles."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from appa_core.errors import InputError
from appa_core.observe.interpolation import between, bilinear
from appa_core.schema import Grid

_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True)
class Event:
    """A field beyond a threshold.

    Args:
        variable: ERA5 name.
        level: In hPa; None at the surface.
        sign: One of > >= < <=.
        threshold: SI units.
    """

    variable: str
    level: int | None
    sign: str
    threshold: float

    @property
    def channel_name(self) -> str:
        """Of the field, such as `temperature_850`."""
        return self.variable if self.level is None else f"{self.variable}_{self.level}"

    @property
    def text(self) -> str:
        """Such as `2m_temperature>273.15` or `temperature@850<250`."""
        where = "" if self.level is None else f"@{self.level}"
        return f"{self.variable}{where}{self.sign}{self.threshold:.10g}"

    def probability(self, ensemble: np.ndarray) -> np.ndarray:
        """Share of members for which it is so.

        Args:
            ensemble: (M, ...), SI units.

        Returns:
            (...) float64; NaN where a member has no value.
        """
        share = _SIGNS[self.sign](ensemble, self.threshold).mean(0)
        return np.where(np.isnan(ensemble).any(0), np.nan, share)


def quantiles(ensemble: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Quantiles of members, linear between order statistics.

    Of M sorted members the quantile q lies at position q (M - 1), counted from 0.

    Args:
        ensemble: (M, ...).
        levels: From 0 to 1, (Q,).

    Returns:
        (Q, ...) float64.
    """
    return np.asarray(np.quantile(ensemble.astype(np.float64), levels, axis=0))


@dataclass(frozen=True)
class PointWeights:
    """How a point is interpolated between cells.

    Args:
        row: Of each neighbour, (K,).
        column: Of each neighbour, (K,).
        weight: (K,), sum 1.
        is_across: Whether a neighbour lies beyond a pole, where winds point the other way, (K,).
    """

    row: np.ndarray
    column: np.ndarray
    weight: np.ndarray
    is_across: np.ndarray

    @classmethod
    def of(cls, grid: Grid, latitude: float, longitude: float, *, is_global: bool) -> PointWeights:
        """Bilinear weights of a point, across the date line and, on the globe, the poles.

        Args:
            grid: Where fields are given.
            latitude: Degrees.
            longitude: Degrees.
            is_global: Whether the grid covers the globe.

        Raises:
            InputError: The point lies outside the grid's region.
        """
        columns = grid.shape[1]
        if is_global:
            found = bilinear(grid, np.asarray([latitude]), np.asarray([longitude]) % 360)
            row, column = np.divmod(found.index[0], columns)
            return cls(row, column, found.weight[0], found.is_across[0])
        order, east = _unrolled(np.asarray(grid.longitudes))
        place = east[0] + (longitude - east[0]) % 360
        vertical = between(np.asarray(grid.latitudes), np.asarray([latitude]))
        sideways = between(east, np.asarray([place]))
        if not (vertical.is_inside[0] and sideways.is_inside[0]):
            raise InputError(
                f"the point {latitude:g},{longitude:g} lies outside the result's region: "
                f"latitudes {grid.latitudes[0]:g} to {grid.latitudes[-1]:g}, longitudes "
                f"{east[0] % 360:g} to {east[-1] % 360:g} (eastwards)"
            )
        row = np.repeat(vertical.index[0], 2)
        column = order[np.tile(sideways.index[0], 2)]
        weight = np.outer(vertical.weight[0], sideways.weight[0]).ravel()
        return cls(row, column, weight, np.zeros(4, bool))

    def values(self, cells: np.ndarray, *, turns: bool) -> np.ndarray:
        """A field at the point.

        Args:
            cells: Its values in the neighbours, (..., K).
            turns: Whether it is a component of the wind.
        """
        weight = np.where(self.is_across, -self.weight, self.weight) if turns else self.weight
        return np.asarray((cells.astype(np.float64) * weight).sum(-1))


def _unrolled(longitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns from west to east, beginning behind the widest gap, and longitudes that ascend."""
    gaps = np.diff(longitudes, append=longitudes[0] + 360)
    first = (int(gaps.argmax()) + 1) % len(longitudes)
    order = np.roll(np.arange(len(longitudes)), -first)
    east = longitudes[order]
    return order, np.where(east < east[0], east + 360, east)
