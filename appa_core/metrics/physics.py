"""Whether a state obeys what the atmosphere obeys: checks of one state at a time.

Each check is a number that is read beside the same number of the true state on the same grid and
levels: what levels and cells are too coarse to show is in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from appa_core.metrics import columns, winds
from appa_core.metrics.harmonics import is_global, resolved_degrees
from appa_core.metrics.regions import GLOBAL, RegionWeights, region_of
from appa_core.metrics.spectra import spectral_slope
from appa_core.schema import Channel, Grid

#: Relative humidity that counts as more than saturated: rounding and 1 % are let pass.
SUPERSATURATED = 1.01
_T, _Q, _Z = "temperature", "specific_humidity", "geopotential"
_U, _V = "u_component_of_wind", "v_component_of_wind"
_MSLP = "mean_sea_level_pressure"
#: Wavenumbers between which a slope is fitted: below are planetary waves, above is the grid.
_SLOPE_FIRST, _SLOPE_LAST = 5, 60


@dataclass(frozen=True)
class Check:
    """A number that says something of a state.

    Args:
        check: Its name.
        variable: What it is of.
        level: Pressure in hPa; the upper one of a layer; None at the surface or of a column.
        band: Latitudes, layer or wavenumbers that it is of; may be empty.
        value: The number.
        units: Of the number.
    """

    check: str
    variable: str
    level: int | None
    band: str
    value: float
    units: str


@dataclass(frozen=True)
class PhysicsGrid:
    """A grid with what checks need of it.

    Args:
        grid: Where states are.
    """

    grid: Grid

    @cached_property
    def is_global(self) -> bool:
        """Whether gradients and spectra can be taken."""
        return is_global(self.grid)

    @cached_property
    def whole(self) -> RegionWeights:
        """All cells."""
        return region_of(self.grid, (GLOBAL,))

    @cached_property
    def bands(self) -> RegionWeights:
        """Bands of latitude."""
        return winds.bands_of(self.grid)

    def mean(self, field: np.ndarray) -> np.ndarray:
        """Area means (..., H, W) to (...)."""
        return np.asarray(self.whole.means(field)[..., 0])


Fields = Mapping[Channel, np.ndarray]


def check_state(fields: Fields, where: PhysicsGrid) -> list[Check]:
    """All checks that the channels of a state allow.

    Args:
        fields: By channel, (H, W), SI units, finite.
        where: The grid.
    """
    checks = [*_hydrostatic(fields, where), *_moisture(fields, where), *_mass(fields, where)]
    if where.is_global:
        checks += [*_geostrophic(fields, where), *_thermal(fields, where)]
        checks += _divergence(fields, where)
    return checks


def tendency_rms(change: np.ndarray, where: PhysicsGrid) -> float:
    """Root mean square of the change of a field (H, W) from one state to the next."""
    return float(np.sqrt(where.mean(change**2)))


def _stacked(fields: Fields, *variables: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Levels (L,) in hPa that all variables have, ascending, and fields (L, H, W) of each."""
    sets = [{c.level for c in fields if c.variable == v and c.level} for v in variables]
    levels = sorted(set.intersection(*sets)) if sets else []
    stacks = [
        np.stack([fields[Channel(v, level)] for level in levels]).astype(np.float64)
        if levels
        else np.zeros(0)
        for v in variables
    ]
    return np.asarray(levels, float), stacks


def _virtual(fields: Fields, *others: str) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Levels, virtual temperature and other variables; without humidity it is temperature."""
    moist = any(c.variable == _Q for c in fields)
    levels, (t, *rest) = _stacked(fields, _T, *([_Q] if moist else []), *others)
    q = rest.pop(0) if moist else None
    return levels, columns.virtual_temperature(t, q), rest


def _layers(levels: np.ndarray) -> Iterator[tuple[int, int, str]]:
    """Position, upper level and name of layers."""
    for i, (top, bottom) in enumerate(pairwise(levels)):
        yield i, int(top), f"{top:g}-{bottom:g} hPa"


def _hydrostatic(fields: Fields, where: PhysicsGrid) -> Iterator[Check]:
    levels, virtual, (z,) = _virtual(fields, _Z)
    if len(levels) < 2:
        return
    departure = columns.hydrostatic_departure(z, virtual, levels)
    rms, bias = np.sqrt(where.mean(departure**2)), where.mean(departure)
    for i, level, name in _layers(levels):
        yield Check("hydrostatic", _Z, level, name, float(rms[i]), "K")
        yield Check("hydrostatic_bias", _Z, level, name, float(bias[i]), "K")


def _moisture(fields: Fields, where: PhysicsGrid) -> Iterator[Check]:
    levels, (t, q) = _stacked(fields, _T, _Q)
    if not len(levels):
        return
    shares = {
        "moisture_negative": q < 0,
        "moisture_supersaturated": q > SUPERSATURATED * columns.saturation_humidity(t, levels),
    }
    for name, cells in shares.items():
        for level, share in zip(levels, where.mean(cells.astype(float)), strict=True):
            yield Check(name, _Q, int(level), "", float(share), "1")


def _mass(fields: Fields, where: PhysicsGrid) -> Iterator[Check]:
    if Channel(_MSLP) in fields:
        yield Check("mass", _MSLP, None, "", float(where.mean(fields[Channel(_MSLP)])), "Pa")
    levels, (q,) = _stacked(fields, _Q)
    if len(levels) > 1:
        water = float(where.mean(columns.column_water(q, levels)))
        band = f"{levels[0]:g}-{levels[-1]:g} hPa"
        yield Check("water", _Q, None, band, water, "kg m-2")


def _compared(
    check: str, variable: str, level: int, found: winds.WindComparison, names: Sequence[str]
) -> Iterator[Check]:
    for i, band in enumerate(names):
        yield Check(f"{check}_angle", variable, level, band, float(found.angle[i]), "degree")
        yield Check(f"{check}_ratio", variable, level, band, float(found.ratio[i]), "1")


def _geostrophic(fields: Fields, where: PhysicsGrid) -> Iterator[Check]:
    levels, (z, u, v) = _stacked(fields, _Z, _U, _V)
    for i, level in enumerate(levels):
        balanced = winds.geostrophic_wind(z[i], where.grid)
        found = winds.compare_winds((u[i], v[i]), balanced, where.bands)
        yield from _compared("geostrophic", _Z, int(level), found, where.bands.names)


def _thermal(fields: Fields, where: PhysicsGrid) -> Iterator[Check]:
    levels, virtual, (u, v) = _virtual(fields, _U, _V)
    if len(levels) < 2:
        return
    mean, ratio = columns.layer_means(virtual, levels), np.diff(np.log(levels))
    for i, level, _ in _layers(levels):
        part = slice(i, i + 1)
        balanced = winds.thermal_wind(mean[part], ratio[part], where.grid)
        shear = (u[i] - u[i + 1], v[i] - v[i + 1])
        found = winds.compare_winds(shear, (balanced[0][0], balanced[1][0]), where.bands)
        yield from _compared("thermal_wind", _T, level, found, where.bands.names)


def _divergence(fields: Fields, where: PhysicsGrid) -> Iterator[Check]:
    levels, (u, v) = _stacked(fields, _U, _V)
    degrees = min(winds.LARGE_SCALES, resolved_degrees(where.grid) - 1)
    for i, level in enumerate(levels):
        ratio = float(winds.divergence_ratio(u[i], v[i], where.grid))
        yield Check("divergence_ratio", _U, int(level), f"n=1-{degrees}", ratio, "1")


def slope_range(grid: Grid) -> tuple[int, int] | None:
    """Wavenumbers of the slope; None if a grid is too coarse for one."""
    last = min(_SLOPE_LAST, 2 * resolved_degrees(grid) // 3)
    return (_SLOPE_FIRST, last) if last >= _SLOPE_FIRST + 4 else None


def check_slopes(power: Fields, where: PhysicsGrid) -> list[Check]:
    """Slopes of spectra; none on grids that are too coarse.

    Args:
        power: By channel, by total wavenumber from 0, of `power_spectrum`.
        where: The grid.
    """
    ends = slope_range(where.grid)
    if ends is None:
        return []
    band = f"n={ends[0]}-{ends[1]}"
    return [
        Check("spectral_slope", c.variable, c.level, band, float(spectral_slope(p, *ends)), "1")
        for c, p in power.items()
    ]
