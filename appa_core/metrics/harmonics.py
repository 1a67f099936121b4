"""Spherical harmonics on latitude-longitude grids, fitted by least squares.

A field is x(lat, lon) = sum_{m, n} x_nm P_nm(sin lat) e^(i m lon), with P_nm of mean square 1 over
the sphere with its wave. Coefficients are fitted for every zonal wavenumber m with rows weighed
by their area, so that a field of no more degrees than asked for comes back exactly on any grid
with enough rows: equal angles, with or without poles, or Gaussian.

References:
    Holmes & Featherstone 2002, A unified approach to the Clenshaw summation and the recursive
        computation of very high degree and order normalised associated Legendre functions, eq. 11.
    Swarztrauber 1979, On the spectral approximation of discrete scalar and vector functions on
        the sphere: winds by stream function and velocity potential.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from appa_core.constants import EARTH_RADIUS_M
from appa_core.errors import InputError
from appa_core.schema import Grid

#: Most degrees that are fitted unless more are asked for; the cost grows with the third power.
MOST_DEGREES = 128
#: Rows closer to a pole than this have no east and north.
_POLE_DEGREES = 1e-3


def normalised_legendre(degrees: int, order: int, sine: np.ndarray) -> np.ndarray:
    """Associated Legendre functions of an order, of mean square 1 over the sphere with e^(i m x).

    Args:
        degrees: Degrees 0 to `degrees` - 1 in all.
        order: Zonal wavenumber m.
        sine: Sine of latitude (H,).

    Returns:
        (H, degrees - m), for the degrees from m on.
    """
    out = np.zeros((len(sine), degrees - order))
    first = np.ones_like(sine)
    cosine = np.sqrt(1 - sine**2)
    for m in range(1, order + 1):
        first = first * cosine * np.sqrt((2 * m + 1) / (2 * m))
    out[:, 0] = first
    for column in range(1, degrees - order):
        degree = order + column
        growth = np.sqrt((4 * degree**2 - 1) / (degree**2 - order**2))
        out[:, column] = growth * sine * out[:, column - 1]
        if column > 1:
            share = np.sqrt(((degree - 1) ** 2 - order**2) / (4 * (degree - 1) ** 2 - 1))
            out[:, column] -= growth * share * out[:, column - 2]
    return out


def legendre_slope(degrees: int, order: int, sine: np.ndarray) -> np.ndarray:
    """cos(lat) d/dlat of `normalised_legendre`, (H, degrees - m).

    (1 - s^2) dP_n/ds = (n + 1) e_n P_{n-1} - n e_{n+1} P_{n+1}, e_n^2 = (n^2 - m^2) / (4 n^2 - 1).
    """
    values = normalised_legendre(degrees + 1, order, sine)
    n = np.arange(order, degrees + 1)
    e = np.sqrt((n**2 - order**2) / (4.0 * n**2 - 1))
    out = -n[:-1] * e[1:] * values[:, 1:]
    out[:, 1:] += (n[1:-1] + 1) * e[1:-1] * values[:, :-2]
    return np.asarray(out)


def resolved_degrees(grid: Grid, most: int = MOST_DEGREES) -> int:
    """Degrees that a grid resolves, `most` at most."""
    rows, columns = grid.shape
    return min(rows, columns // 2, most)


def is_global(grid: Grid) -> bool:
    """Whether cells go round the globe and from pole to pole."""
    lat, lon = np.asarray(grid.latitudes), np.asarray(grid.longitudes)
    rows, columns = np.diff(lat).max(), np.diff(lon)
    ends = max(90 + lat[0], 90 - lat[-1])
    return bool(ends <= 1.01 * rows and lon[0] + 360 - lon[-1] <= 1.01 * columns.max())


def require_global(grid: Grid) -> None:
    """Refuse a part of the globe.

    Raises:
        InputError: The grid does not cover the globe.
    """
    if not is_global(grid):
        raise InputError(
            f"spherical harmonics need the whole globe; this grid of {grid.shape} cells spans "
            f"{grid.latitudes[0]:g}..{grid.latitudes[-1]:g} N, "
            f"{grid.longitudes[0]:g}..{grid.longitudes[-1]:g} E"
        )


@lru_cache(maxsize=4)
def _projections(grid: Grid, degrees: int) -> tuple[np.ndarray, ...]:
    """For every order, the least-squares map from rows to coefficients (degrees - m, H)."""
    sine, root = np.sin(np.deg2rad(grid.latitudes)), np.sqrt(grid.area_weights)
    return tuple(
        np.linalg.pinv(normalised_legendre(degrees, m, sine) * root[:, None]) * root
        for m in range(degrees)
    )


@lru_cache(maxsize=2)
def _functions(grid: Grid, degrees: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """For every order, Legendre functions of the rows and their slopes, (H, degrees - m)."""
    sine = np.sin(np.deg2rad(grid.latitudes))
    return tuple(
        (normalised_legendre(degrees, m, sine), legendre_slope(degrees, m, sine))
        for m in range(degrees)
    )


def _waves(fields: np.ndarray, degrees: int) -> np.ndarray:
    """Zonal waves (..., H, degrees), complex."""
    return np.asarray(np.fft.rfft(fields, axis=-1)[..., :degrees] / fields.shape[-1])


def coefficients(fields: np.ndarray, grid: Grid, degrees: int | None = None) -> np.ndarray:
    """Coefficients x_nm of fields.

    Args:
        fields: (..., H, W).
        grid: Where their values are.
        degrees: Total wavenumbers 0 to `degrees` - 1; by default as many as the grid resolves.

    Returns:
        (..., degrees, degrees) complex: degree n, order m >= 0; 0 where m > n. Those of -m are
        their conjugates.
    """
    degrees = degrees or resolved_degrees(grid)
    waves = _waves(fields, degrees)
    out = np.zeros((*fields.shape[:-2], degrees, degrees), complex)
    for m, project in enumerate(_projections(grid, degrees)):
        out[..., m:, m] = np.einsum("lh,...h->...l", project, waves[..., m])
    return out


def power_of(found: np.ndarray) -> np.ndarray:
    """Power by total wavenumber n, (..., degrees), of coefficients (..., degrees, degrees)."""
    twice = np.full(found.shape[-1], 2.0)
    twice[0] = 1.0
    return np.asarray((np.abs(found) ** 2) @ twice)


def gradient(
    fields: np.ndarray, grid: Grid, degrees: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Horizontal gradient of fields, eastward and northward.

    Args:
        fields: (..., H, W).
        grid: Of the globe.
        degrees: Scales that are kept; by default as many as the grid resolves.

    Returns:
        Two arrays (..., H, W), in units of the field per metre; NaN in rows at the poles.
    """
    degrees = degrees or resolved_degrees(grid)
    found = coefficients(fields, grid, degrees)
    rows, columns = grid.shape
    east, north = (
        np.zeros((*fields.shape[:-2], rows, columns // 2 + 1), complex) for _ in range(2)
    )
    for m, (value, slope) in enumerate(_functions(grid, degrees)):
        part = found[..., m:, m]
        east[..., m] = np.einsum("hl,...l->...h", value, part) * (1j * m)
        north[..., m] = np.einsum("hl,...l->...h", slope, part)
    scale = columns / (EARTH_RADIUS_M * _cosine(grid))[:, None]
    return (
        np.asarray(np.fft.irfft(east, columns) * scale),
        np.asarray(np.fft.irfft(north, columns) * scale),
    )


def _cosine(grid: Grid) -> np.ndarray:
    """Cosine of latitude (H,), NaN at the poles."""
    lat = np.asarray(grid.latitudes)
    return np.where(np.abs(lat) < 90 - _POLE_DEGREES, np.cos(np.deg2rad(lat)), np.nan)


@lru_cache(maxsize=4)
def _wind_projections(grid: Grid, degrees: int) -> tuple[np.ndarray, ...]:
    """For every order, the map from rows of (u, v) to (psi, chi), (2 (degrees - m), 2 H).

    In units of the radius: u = (-slope psi + i m P chi) / cos, v = (i m P psi + slope chi) / cos.
    Degree 0 moves no air and is left at 0.
    """
    lat = np.asarray(grid.latitudes)
    inner = np.abs(lat) < 90 - _POLE_DEGREES
    cosine = np.cos(np.deg2rad(lat[inner]))
    sine, root = np.sin(np.deg2rad(lat[inner])), np.sqrt(cosine)
    maps = []
    for m in range(degrees):
        skip = 1 if m == 0 else 0
        value = 1j * m * normalised_legendre(degrees, m, sine)[:, skip:] / cosine[:, None]
        slope = legendre_slope(degrees, m, sine)[:, skip:] / cosine[:, None]
        model = np.block([[-slope, value], [value, slope]])
        weight = np.tile(root, 2)
        inverse = np.linalg.pinv(model * weight[:, None]) * weight
        count = degrees - m
        out = np.zeros((2 * count, 2, len(lat)), complex)
        kept = np.r_[skip:count, count + skip : 2 * count]
        out[np.ix_(kept, np.arange(2), np.flatnonzero(inner))] = inverse.reshape(len(kept), 2, -1)
        maps.append(out.reshape(2 * count, 2 * len(lat)))
    return tuple(maps)


def wind_energy(
    u: np.ndarray, v: np.ndarray, grid: Grid, degrees: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Kinetic energy of the rotational and of the divergent wind by total wavenumber.

    u, v = k x grad psi + grad chi; a degree n holds n (n + 1) / (2 a^2) |psi_n|^2, and as much of
    chi.

    Args:
        u: Eastward wind (..., H, W) in m/s.
        v: Northward wind (..., H, W) in m/s.
        grid: Of the globe.
        degrees: Scales that are fitted; by default as many as the grid resolves.

    Returns:
        Two arrays (..., degrees) in m2 s-2, whose sums are the mean of (u^2 + v^2) / 2.
    """
    degrees = degrees or resolved_degrees(grid)
    waves = np.concatenate([_waves(u, degrees), _waves(v, degrees)], axis=-2)
    energies = np.zeros((2, *u.shape[:-2], degrees))
    for m, project in enumerate(_wind_projections(grid, degrees)):
        found = np.einsum("lh,...h->...l", project, waves[..., m])
        power = (1 if m == 0 else 2) * np.abs(found) ** 2
        energies[0, ..., m:] += power[..., : degrees - m]
        energies[1, ..., m:] += power[..., degrees - m :]
    n = np.arange(degrees)
    energies *= n * (n + 1) / 2
    return energies[0], energies[1]
