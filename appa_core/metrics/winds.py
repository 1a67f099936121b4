"""Winds and what balances them: geostrophy, thermal wind, rotation and divergence.

References:
    Holton & Hakim 2013, An introduction to dynamic meteorology, eq. 2.23 (geostrophic wind) and
        3.30 (thermal wind).
    Vallis 2017, Atmospheric and oceanic fluid dynamics, 3.4 (large scales are nearly
        non-divergent, by a factor of the Rossby number).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from appa_core.constants import EARTH_ROTATION_RATE, GAS_CONSTANT_DRY_AIR
from appa_core.metrics.harmonics import gradient, wind_energy
from appa_core.metrics.regions import Box, RegionWeights
from appa_core.schema import Grid

#: Where geostrophy is looked at: neither near the equator, where f is small, nor at the poles.
BANDS: dict[str, Box] = {
    "60N-80N": Box(60, 80),
    "30N-60N": Box(30, 60),
    "20N-30N": Box(20, 30),
    "30S-20S": Box(-30, -20),
    "60S-30S": Box(-60, -30),
    "80S-60S": Box(-80, -60),
}
#: Total wavenumbers of the large scales, as those of a T21 model.
LARGE_SCALES = 21


@dataclass(frozen=True)
class WindComparison:
    """A wind beside one that should balance it, by band.

    Args:
        angle: Mean angle between them in degrees, weighed by the speed of the balanced one.
        ratio: Root mean square speed over that of the balanced one.
    """

    angle: np.ndarray
    ratio: np.ndarray


def coriolis(grid: Grid) -> np.ndarray:
    """F = 2 Omega sin(lat), (H, 1) in s-1."""
    return np.asarray(2 * EARTH_ROTATION_RATE * np.sin(np.deg2rad(grid.latitudes)))[:, None]


def geostrophic_wind(geopotential: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """K / f x grad Phi, eastward and northward (..., H, W) in m/s; not finite at the equator.

    Args:
        geopotential: (..., H, W) in m2 s-2, on the globe.
        grid: Where.
    """
    east, north = gradient(geopotential, grid)
    with np.errstate(divide="ignore", invalid="ignore"):
        return -north / coriolis(grid), east / coriolis(grid)


def thermal_wind(
    layer_temperature: np.ndarray, log_pressure_ratio: np.ndarray, grid: Grid
) -> tuple[np.ndarray, np.ndarray]:
    """Wind at the top of layers minus that at their bottom, (R / f) ln(p_low / p_up) k x grad T.

    Args:
        layer_temperature: Mean virtual temperature (L, H, W) in K.
        log_pressure_ratio: ln(p_low / p_up), (L,).
        grid: Of the globe.
    """
    scale = GAS_CONSTANT_DRY_AIR * log_pressure_ratio[:, None, None]
    return geostrophic_wind(scale * layer_temperature, grid)


def bands_of(grid: Grid, bands: Mapping[str, Box] | None = None) -> RegionWeights:
    """Weights of the bands that a grid has rows in."""
    return RegionWeights.of(
        bands or BANDS, np.asarray(grid.latitudes), np.asarray(grid.longitudes)
    )


def compare_winds(
    wind: tuple[np.ndarray, np.ndarray],
    balanced: tuple[np.ndarray, np.ndarray],
    bands: RegionWeights,
) -> WindComparison:
    """Angle and ratio of speeds of a wind and a balanced one, (..., H, W) to (..., bands)."""
    rows = bands.rows.any(axis=0)
    (u, v), (a, b) = ([x[..., rows, :] for x in pair] for pair in (wind, balanced))
    inside = replace(bands, rows=bands.rows[:, rows])
    turn = np.degrees(np.abs(np.arctan2(a * v - b * u, a * u + b * v)))
    speed = np.hypot(a, b)
    return WindComparison(
        inside.sums(turn * speed) / inside.sums(speed),
        np.sqrt(inside.sums(u**2 + v**2) / inside.sums(speed**2)),
    )


def divergence_ratio(
    u: np.ndarray, v: np.ndarray, grid: Grid, degrees: int = LARGE_SCALES
) -> np.ndarray:
    """Energy of the rotational wind over that of the divergent wind of the large scales, (...,).

    Args:
        u: (..., H, W) in m/s.
        v: (..., H, W) in m/s.
        grid: Of the globe.
        degrees: The largest total wavenumber that counts, fewer if the grid resolves fewer.
    """
    rotational, divergent = wind_energy(u, v, grid)
    kept = slice(1, degrees + 1)
    return np.asarray(rotational[..., kept].sum(axis=-1) / divergent[..., kept].sum(axis=-1))
