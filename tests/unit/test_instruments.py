"""What instruments report becomes what states hold: against tables and inverses."""

import numpy as np
import pytest
import torch

from appa_core import thermodynamics
from appa_core.observe import instruments, physics


@pytest.mark.parametrize(
    ("speed", "direction", "expected"),
    [
        (10.0, 0.0, (0.0, -10.0)),  # from the north
        (10.0, 90.0, (-10.0, 0.0)),
        (10.0, 180.0, (0.0, 10.0)),
        (10.0, 270.0, (10.0, 0.0)),
        (10.0, 210.0, (5.0, 10.0 * np.sqrt(0.75))),
        (0.0, 123.0, (0.0, 0.0)),
    ],
)
def test_winds_blow_to_where_they_do_not_come_from(speed, direction, expected):
    found = instruments.wind_components(np.array([speed]), np.array([direction]))
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-12)


@pytest.mark.parametrize(
    # ICAO Doc 7488, table of the standard atmosphere: geopotential altitude and pressure
    ("altitude", "pressure"),
    [
        (0.0, 101325.0),
        (1000.0, 89874.6),
        (5000.0, 54019.9),
        (11000.0, 22632.0),
        (15000.0, 12044.6),
        (20000.0, 5474.9),
    ],
)
def test_the_standard_atmosphere(altitude, pressure):
    found = instruments.standard_pressure(np.array([altitude]))
    np.testing.assert_allclose(found, pressure, rtol=2e-5)


def test_an_altimeter_set_to_it_shows_the_elevation():
    """At standard pressure at sea level it is the standard atmosphere, and it grows with it."""
    at = np.array([0.0, 0.0, 1000.0, 1000.0])
    setting = np.array([101325.0, 98000.0, 101325.0, 102325.0])
    found = instruments.station_pressure(setting, at)
    np.testing.assert_allclose(found[:3], [101325.0, 98000.0, 89874.6], rtol=2e-5)
    # 10 hPa at sea level are (T/T0)^(g/(R L) - 1) of it a kilometre up, to first order
    assert found[3] - found[2] == pytest.approx(1000 * (281.65 / 288.15) ** 4.25588, rel=5e-3)


def test_humidity_and_dew_point_are_inverse():
    dew_point = np.array([230.0, 260.0, 273.15, 290.0, 300.0])
    pressure = np.array([30_000.0, 50_000.0, 90_000.0, 100_000.0, 101_000.0])
    found = instruments.humidity_of_dew_point(dew_point, pressure)
    back = physics.dew_point(torch.from_numpy(found), torch.from_numpy(pressure))
    # the operator floors dry air at 1e-6 kg/kg
    np.testing.assert_allclose(back, dew_point, atol=2e-2)
    # at 0 Celsius saturation is 611.2 Pa: q = 0.621981 e / (p - 0.378019 e)
    assert found[2] == pytest.approx(0.621981 * 611.2 / (90_000 - 0.378019 * 611.2), rel=1e-6)


def test_saturated_air_has_the_humidity_of_its_temperature():
    temperature, pressure = np.array([280.0, 295.0]), np.array([85_000.0, 100_000.0])
    saturated = instruments.humidity_of_relative(np.ones(2), temperature, pressure)
    expected = instruments.humidity_of_dew_point(temperature, pressure)
    np.testing.assert_allclose(saturated, expected)
    half = instruments.humidity_of_relative(np.full(2, 0.5), temperature, pressure)
    q, p, e = (torch.from_numpy(x) for x in (half, pressure, temperature))
    np.testing.assert_allclose(thermodynamics.relative_humidity(e, q, p), 0.5)


def test_pressure_between_levels_of_a_sounding():
    heights = np.array([5600.0, np.nan, 100.0, 3000.0])
    pressures = np.array([50_000.0, 85_000.0, 100_000.0, 70_000.0])
    found = instruments.pressure_at_heights(
        np.array([3000.0, 4300.0, 50.0, 6000.0]), heights, pressures
    )
    assert found[0] == pytest.approx(70_000.0)
    assert found[1] == pytest.approx(np.sqrt(70_000.0 * 50_000.0))  # half-way up
    assert np.isnan(found[2:]).all(), "beyond the sounding"
    assert np.isnan(instruments.pressure_at_heights(np.ones(2), heights[:2], pressures[:2])).all()


def test_pressure_of_a_station_that_reports_that_at_sea_level():
    """The very reduction that the operator of station pressures makes."""
    found = instruments.pressure_above_sea_level(
        np.array([101_000.0]), np.array([285.0]), np.array([300.0])
    )
    mean = 285.0 + 0.5 * 0.0065 * 300
    assert found[0] == pytest.approx(101_000 * np.exp(-9.80665 * 300 / (287.0597 * mean)))
