"""Spherical-harmonic power of fields on latitude-longitude grids."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from appa_core.schema import Grid


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


@lru_cache(maxsize=4)
def _projections(latitudes: tuple[float, ...], degrees: int) -> tuple[np.ndarray, ...]:
    """For every order, the least-squares map from rows to coefficients (degrees - m, H)."""
    sine = np.sin(np.deg2rad(latitudes))
    root = np.sqrt(np.clip(np.cos(np.deg2rad(latitudes)), 0, None))
    return tuple(
        np.linalg.pinv(normalised_legendre(degrees, m, sine) * root[:, None]) * root
        for m in range(degrees)
    )


def power_spectrum(fields: np.ndarray, grid: Grid, degrees: int | None = None) -> np.ndarray:
    """Power by total wavenumber, whose sum is the mean square of the field over the sphere.

    Coefficients are fitted by least squares for every zonal wavenumber, so that a field of so many
    degrees gives its exact power on any grid with as many rows.

    Args:
        fields: (..., H, W).
        grid: Where their values are.
        degrees: Total wavenumbers 0 to `degrees` - 1; by default as many as the grid resolves.

    Returns:
        (..., degrees), in squared units of the field.
    """
    rows, columns = grid.shape
    degrees = degrees or min(rows, columns // 2)
    waves = np.fft.rfft(fields, axis=-1)[..., :degrees] / columns
    power = np.zeros((*fields.shape[:-2], degrees))
    for m, project in enumerate(_projections(grid.latitudes, degrees)):
        coefficients = np.einsum("lh,...h->...l", project, waves[..., m])
        power[..., m:] += (1 if m == 0 else 2) * np.abs(coefficients) ** 2
    return power
