"""Reading sigma columns at pressure levels, against atmospheres with a closed form."""

import numpy as np
import pytest

from appa_core.nature.vertical import GRAVITY, LAPSE_RATE, R_DRY, SigmaColumns

SIGMA = np.array([0.2, 0.34, 0.51, 0.685, 0.835, 0.95])


def standard_atmosphere(pressure):
    """Temperature and geopotential with a constant lapse rate from 288.15 K at 1013.25 hPa."""
    exponent = R_DRY * LAPSE_RATE / GRAVITY
    temperature = 288.15 * (pressure / 101325.0) ** exponent
    return temperature, GRAVITY * (288.15 - temperature) / LAPSE_RATE


def columns(surface_pressure):
    surface = np.full((1, 1), surface_pressure)
    pressure = SIGMA[:, None, None] * surface
    temperature, geopotential = standard_atmosphere(pressure)
    return SigmaColumns(SIGMA, surface), temperature, geopotential


@pytest.mark.parametrize("level", [30000.0, 50000.0, 70000.0, 85000.0])
def test_inside_the_column(level):
    cols, temperature, geopotential = columns(101325.0)
    t, z = standard_atmosphere(level)
    assert cols.temperature(temperature, level)[0, 0] == pytest.approx(t, abs=0.6)
    assert cols.geopotential(geopotential, temperature, level)[0, 0] == pytest.approx(z, abs=60)


@pytest.mark.parametrize("level", [85000.0, 92500.0])
def test_below_ground_follows_the_lapse_rate_exactly(level):
    cols, temperature, geopotential = columns(70000.0)
    t, z = standard_atmosphere(level)
    assert cols.temperature(temperature, level)[0, 0] == pytest.approx(t, rel=1e-12)
    assert cols.geopotential(geopotential, temperature, level)[0, 0] == pytest.approx(z, rel=1e-9)


def test_passes_through_the_model_levels():
    cols, temperature, geopotential = columns(100000.0)
    for k, sigma in enumerate(SIGMA):
        level = sigma * 100000.0
        assert cols.temperature(temperature, level)[0, 0] == pytest.approx(temperature[k, 0, 0])
        z = cols.geopotential(geopotential, temperature, level)[0, 0]
        assert z == pytest.approx(geopotential[k, 0, 0], rel=1e-9)


def test_wind_is_constant_below_the_lowest_level():
    cols, _, _ = columns(70000.0)
    wind = np.arange(6.0)[:, None, None]
    assert cols.field(wind, 92500.0)[0, 0] == 5.0


def test_sea_level_pressure_of_the_standard_atmosphere():
    ground_pressure = 90000.0
    cols, temperature, _ = columns(ground_pressure)
    _, ground = standard_atmosphere(ground_pressure)
    mslp = cols.sea_level_pressure(temperature, np.full((1, 1), ground))
    assert mslp[0, 0] == pytest.approx(101325.0, rel=2e-3)


def test_sea_level_pressure_at_the_sea_is_the_surface_pressure():
    cols, temperature, _ = columns(100500.0)
    mslp = cols.sea_level_pressure(temperature, np.zeros((1, 1)))
    assert mslp[0, 0] == pytest.approx(100500.0)


def test_sigma_must_ascend():
    with pytest.raises(ValueError, match="ascend"):
        SigmaColumns(SIGMA[::-1], np.ones((1, 1)))
