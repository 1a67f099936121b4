"""Spherical-harmonic power of fields on latitude-longitude grids, and its slope."""

from __future__ import annotations

import numpy as np

from appa_core.errors import InputError
from appa_core.metrics.harmonics import coefficients, power_of
from appa_core.schema import Grid


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
    return power_of(coefficients(fields, grid, degrees))


def spectral_slope(power: np.ndarray, first: int, last: int) -> np.ndarray:
    """Exponent b of power ~ n^b, by least squares of logarithms between two wavenumbers.

    Args:
        power: (..., degrees), by total wavenumber from 0.
        first: Smallest wavenumber, 1 or more.
        last: Largest one, in the fit.

    Returns:
        (...,); NaN where a power is zero.

    Raises:
        InputError: There are fewer than two wavenumbers.
    """
    if not 1 <= first < last < power.shape[-1]:
        raise InputError(
            f"a slope from wavenumber {first} to {last} needs 1 <= first < last < "
            f"{power.shape[-1]}, the degrees of the spectrum"
        )
    x = np.log(np.arange(first, last + 1.0))
    x = x - x.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.log(power[..., first : last + 1]) @ x / (x @ x)
    return np.asarray(np.where(np.isfinite(slope), slope, np.nan))
