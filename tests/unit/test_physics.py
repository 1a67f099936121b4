"""Checks of states against atmospheres in balance by construction."""

import numpy as np
import pytest

from appa_core.constants import (
    EARTH_RADIUS_M,
    EARTH_ROTATION_RATE,
    GAS_CONSTANT_DRY_AIR,
    STANDARD_GRAVITY,
)
from appa_core.metrics import columns, winds
from appa_core.metrics.physics import (
    PhysicsGrid,
    check_slopes,
    check_state,
    slope_range,
    tendency_rms,
)
from appa_core.metrics.spectra import power_spectrum
from appa_core.schema import Channel, Grid

GRID = Grid.equiangular(32, 64)
WHERE = PhysicsGrid(GRID)
LEVELS = (300, 500, 700, 850)
A, OMEGA, R = EARTH_RADIUS_M, EARTH_ROTATION_RATE, GAS_CONSTANT_DRY_AIR
LAT = np.deg2rad(GRID.latitudes)[:, None]
LON = np.deg2rad(GRID.longitudes)[None]


def balanced():
    """A dry atmosphere at rest but for thermal wind.

    T = 280 - 30 sin^2(lat) at all levels: u grows with height by (R / f a) 60 sin cos ln(p1/p2),
    which is 30 R / (Omega a) cos(lat) ln(p1/p2), and Phi has a gradient that balances u.
    """
    temperature = 280 - 30 * np.sin(LAT) ** 2 + 0 * LON
    fields = {}
    for level in LEVELS:
        height = np.log(1000 / level)
        fields[Channel("temperature", level)] = temperature
        fields[Channel("geopotential", level)] = R * temperature * height
        fields[Channel("u_component_of_wind", level)] = (
            30 * R / (OMEGA * A) * np.cos(LAT) * height + 0 * LON
        )
        fields[Channel("v_component_of_wind", level)] = np.zeros(GRID.shape)
    return fields


def found(fields, name, where=WHERE):
    return [c for c in check_state(fields, where) if c.check == name]


def test_a_balanced_atmosphere_is_found_to_be_so():
    fields = balanced()
    for name in ("hydrostatic", "hydrostatic_bias"):
        assert [c.band for c in found(fields, name)] == [
            "300-500 hPa", "500-700 hPa", "700-850 hPa",
        ]  # fmt: skip
        assert all(abs(c.value) < 1e-9 for c in found(fields, name))
    for name in ("geostrophic", "thermal_wind"):
        angles, ratios = (found(fields, f"{name}_{part}") for part in ("angle", "ratio"))
        assert len(angles) == len(ratios) == 6 * (4 if name == "geostrophic" else 3)
        np.testing.assert_allclose([c.value for c in angles], 0, atol=1e-6)
        np.testing.assert_allclose([c.value for c in ratios], 1, rtol=1e-9)
    assert all(c.value > 1e20 for c in found(fields, "divergence_ratio"))


def test_faults_are_found_where_they_are():
    fields = balanced()
    fields[Channel("temperature", 300)] = fields[Channel("temperature", 300)] + 4
    biases = {c.level: c.value for c in found(fields, "hydrostatic_bias")}
    # the layer mean is 2 K warmer than its thickness says
    assert biases == pytest.approx({300: -2, 500: 0, 700: 0}, abs=1e-9)
    fields = balanced()
    u = fields[Channel("u_component_of_wind", 500)]
    fields[Channel("u_component_of_wind", 500)] = u * np.cos(0.3)
    fields[Channel("v_component_of_wind", 500)] = u * np.sin(0.3)
    angles = {c.level: c.value for c in found(fields, "geostrophic_angle")}
    assert angles == pytest.approx({300: 0, 500: np.degrees(0.3), 700: 0, 850: 0}, abs=1e-5)
    fields = {c: f * (1.2 if "wind" in c.variable else 1) for c, f in balanced().items()}
    assert {round(c.value, 6) for c in found(fields, "geostrophic_ratio")} == {1.2}


def test_moist_air_is_lighter():
    t, q = np.full((1, 1, 1), 300.0), np.full((1, 1, 1), 0.02)
    expected = 300 * (1 + 0.02 * (1 / 0.621981 - 1))
    assert columns.virtual_temperature(t, q)[0, 0, 0] == pytest.approx(expected)


def test_saturation():
    t = np.array([273.15, 273.15, 373.15, 200.0]).reshape(4, 1, 1)
    levels = np.array([1000.0, 500.0, 500.0, 100.0])
    q = columns.saturation_humidity(t, levels).ravel()
    assert q[0] == pytest.approx(0.621981 * 611.2 / (100_000 - 0.378019 * 611.2))
    assert q[1] == pytest.approx(0.621981 * 611.2 / (50_000 - 0.378019 * 611.2))
    assert q[2] == np.inf  # water boils
    assert 0 < q[3] < 3e-5


def test_moisture_outside_of_its_bounds():
    t = np.full(GRID.shape, 280.0)
    saturated = columns.saturation_humidity(t[None], np.array([850.0]))[0]
    q = 0.5 * saturated
    q[:8] = 1.02 * saturated[:8]
    q[8:16] = -1e-9
    fields = {Channel("temperature", 850): t, Channel("specific_humidity", 850): q}
    area = GRID.area_weights / GRID.shape[0]
    (negative,) = found(fields, "moisture_negative")
    (above,) = found(fields, "moisture_supersaturated")
    assert negative.value == pytest.approx(area[8:16].sum())
    assert above.value == pytest.approx(area[:8].sum())
    q[:8] = 1.005 * saturated[:8]
    assert found(fields, "moisture_supersaturated")[0].value == 0


def test_mass_and_water():
    fields = {
        Channel("mean_sea_level_pressure"): np.full(GRID.shape, 101_000.0),
        Channel("specific_humidity", 500): np.zeros(GRID.shape),
        Channel("specific_humidity", 1000): np.full(GRID.shape, 0.01),
    }
    assert found(fields, "mass")[0].value == pytest.approx(101_000)
    assert found(fields, "water")[0].value == pytest.approx(0.005 * 50_000 / STANDARD_GRAVITY)


def test_a_region_has_no_gradients():
    part = Grid(GRID.latitudes[20:28], GRID.longitudes[3:19])
    fields = {c: f[20:28, 3:19] for c, f in balanced().items()}
    names = {c.check for c in check_state(fields, PhysicsGrid(part))}
    assert names == {"hydrostatic", "hydrostatic_bias"}


def test_a_field_without_scales_has_a_flat_spectrum_by_degree():
    rng = np.random.default_rng(0)
    grid = Grid.equiangular(64, 128)
    power = power_spectrum(rng.normal(size=grid.shape), grid)
    (slope,) = check_slopes({Channel("2m_temperature"): power}, PhysicsGrid(grid))
    # white noise by cell has as much power in each of the 2 n + 1 harmonics of a degree
    assert slope.value == pytest.approx(1, abs=0.25)
    assert slope_range(Grid.equiangular(8, 16)) is None
    assert slope_range(GRID) == (5, 21)


def test_tendency():
    change = np.where(np.arange(32)[:, None] < 16, 3.0, -3.0) + 0 * LON
    assert tendency_rms(change, WHERE) == pytest.approx(3)


def test_bands_that_hold_rows():
    coarse = Grid.equiangular(6, 12)  # rows at 15, 45 and 75 degrees
    assert winds.bands_of(coarse).names == ("60N-80N", "30N-60N", "60S-30S", "80S-60S")
