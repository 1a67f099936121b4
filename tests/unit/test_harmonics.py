"""Gradients, stream functions and spectra of fields that are known in closed form."""

import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss

from appa_core.constants import EARTH_RADIUS_M
from appa_core.errors import InputError
from appa_core.metrics.harmonics import (
    gradient,
    is_global,
    legendre_slope,
    normalised_legendre,
    require_global,
    wind_energy,
)
from appa_core.metrics.spectra import power_spectrum, spectral_slope
from appa_core.schema import Grid

A = EARTH_RADIUS_M
GAUSSIAN = Grid(tuple(np.rad2deg(np.arcsin(leggauss(24)[0]))), tuple(np.arange(48) * 7.5))
GRIDS = [Grid.equiangular(24, 48), Grid.with_poles(25, 48), GAUSSIAN]


def angles(grid):
    return np.deg2rad(grid.latitudes)[:, None], np.deg2rad(grid.longitudes)[None]


@pytest.mark.parametrize("grid", GRIDS)
def test_gradient_of_a_harmonic(grid):
    lat, lon = angles(grid)
    # n = 3, m = 2: sin cos^2 e^(2 i lon); a constant has no gradient
    field = 5 + np.sin(lat) * np.cos(lat) ** 2 * np.cos(2 * lon)
    east, north = gradient(field, grid)
    inner = np.abs(np.asarray(grid.latitudes)) < 89.9
    expected = -2 * np.sin(lat) * np.cos(lat) * np.sin(2 * lon) / A
    np.testing.assert_allclose(east[inner], expected[inner], atol=1e-10 / A)
    slope = np.cos(lat) ** 3 - 2 * np.sin(lat) ** 2 * np.cos(lat)
    expected = slope * np.cos(2 * lon) / A
    np.testing.assert_allclose(north[inner], expected[inner], atol=1e-10 / A)
    assert np.isnan(east[~inner]).all()


@pytest.mark.parametrize("order", [0, 1, 5])
def test_slopes_of_legendre_functions_by_differences(order):
    lat = np.linspace(-1.3, 1.3, 9)
    step = 1e-6
    up, down = (normalised_legendre(12, order, np.sin(lat + d)) for d in (step, -step))
    expected = np.cos(lat)[:, None] * (up - down) / (2 * step)
    np.testing.assert_allclose(legendre_slope(12, order, np.sin(lat)), expected, atol=1e-6)


@pytest.mark.parametrize("grid", GRIDS)
def test_solid_rotation_has_no_divergence(grid):
    lat, lon = angles(grid)
    u, v = 10 * np.cos(lat) + 0 * lon, np.zeros(grid.shape)
    rotational, divergent = wind_energy(u, v, grid)
    # the mean of (10 cos)^2 / 2 over the sphere is 50 * 2 / 3, all of it of degree 1
    assert rotational[1] == pytest.approx(100 / 3)
    assert rotational.sum() == pytest.approx(100 / 3)
    np.testing.assert_allclose(divergent, 0, atol=1e-15)


@pytest.mark.parametrize("grid", GRIDS)
def test_a_wind_is_split_into_its_potential_and_its_stream_function(grid):
    lat, lon = angles(grid)
    psi = np.sin(lat) * np.cos(lat) ** 2 * np.cos(2 * lon)  # n = 3
    chi = 0.3 * np.cos(lat) ** 4 * np.sin(4 * lon)  # n = 4
    (psi_x, psi_y), (chi_x, chi_y) = (gradient(1e7 * f, grid) for f in (psi, chi))
    poles = np.isnan(psi_x).any(axis=1)
    u, v = -psi_y + chi_x, psi_x + chi_y
    u[poles], v[poles] = 0, 0
    rotational, divergent = wind_energy(u, v, grid)
    for energy, field, n in ((rotational, psi, 3), (divergent, chi, 4)):
        mean_square = power_spectrum(1e7 * field, grid).sum()
        assert energy[n] == pytest.approx(n * (n + 1) / (2 * A**2) * mean_square, rel=1e-8)
        assert energy.sum() == pytest.approx(energy[n], rel=1e-8)


def test_slope_of_a_power_law():
    n = np.arange(40.0)
    power = np.where(n > 0, np.maximum(n, 1.0) ** -3, 0)
    assert spectral_slope(power, 4, 30) == pytest.approx(-3)
    assert np.isnan(spectral_slope(np.zeros(40), 4, 30))
    with pytest.raises(InputError, match="degrees of the spectrum"):
        spectral_slope(power, 4, 40)


def test_what_covers_the_globe():
    for grid in GRIDS:
        assert is_global(grid)
    part = Grid(GRIDS[0].latitudes[4:], GRIDS[0].longitudes)
    sector = Grid(GRIDS[0].latitudes, GRIDS[0].longitudes[:40])
    for grid in (part, sector):
        assert not is_global(grid)
        with pytest.raises(InputError, match="whole globe"):
            require_global(grid)
