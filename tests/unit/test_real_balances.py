"""The balances of a real state of ERA5 are those of the atmosphere (docs/verification.md)."""

import pytest

from appa_core.io.sources import SourceSpec, open_source
from appa_core.metrics.harmonics import resolved_degrees
from appa_core.metrics.physics import PhysicsGrid, check_slopes, check_state
from appa_core.metrics.spectra import power_spectrum
from appa_core.schema import Channel, StateSchema

UPPER = (
    "temperature", "u_component_of_wind", "v_component_of_wind", "geopotential",
    "specific_humidity",
)  # fmt: skip
FREE = (200, 300, 500)
MIDDLE = ("30N-60N", "60S-30S")


@pytest.fixture(scope="module")
def found(shared_data):
    """Checks of 1959-01-02, 00 UTC, on 64 x 32 Gaussian cells and 37 levels."""
    path = shared_data / "data" / "era5_tl31" / "era5_tl31_19590102T00.nc"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    with open_source(SourceSpec("tl31", "netcdf", (str(path),))) as reader:
        schema = StateSchema.build([], UPPER, reader.levels, reader.grid, 6)
        state = schema.stack(reader.read(schema, reader.times))[0]
    where = PhysicsGrid(schema.grid)
    fields = dict(zip(schema.channels, state, strict=True))
    power = power_spectrum(state.astype(float), schema.grid, resolved_degrees(schema.grid))
    slopes = check_slopes(dict(zip(schema.channels, power, strict=True)), where)
    return {
        (c.check, Channel(c.variable, c.level), c.band): c.value
        for c in [*check_state(fields, where), *slopes]
    }


def values(found, check, levels, bands=None):
    picked = [
        value
        for (name, channel, band), value in found.items()
        if name == check and channel.level in levels and (bands is None or band in bands)
    ]
    assert picked
    return picked


def test_the_free_atmosphere_is_hydrostatic(found):
    """Thickness and temperature agree to a tenth of a kelvin between 300 and 600 hPa."""
    layers = (300, 350, 400, 450, 500, 550)
    assert max(values(found, "hydrostatic", layers)) < 0.16
    assert max(abs(v) for v in values(found, "hydrostatic_bias", layers)) < 0.1


def test_winds_of_the_free_atmosphere_are_nearly_geostrophic(found):
    assert all(2 < v < 8 for v in values(found, "geostrophic_angle", FREE, MIDDLE))
    assert all(0.9 < v < 1.05 for v in values(found, "geostrophic_ratio", FREE, MIDDLE))


def test_friction_slows_winds_near_the_ground_and_turns_them(found):
    assert all(v > 15 for v in values(found, "geostrophic_angle", (1000,)))
    assert all(0.6 < v < 0.85 for v in values(found, "geostrophic_ratio", (1000,)))


def test_shear_follows_the_gradient_of_temperature(found):
    assert all(v < 25 for v in values(found, "thermal_wind_angle", (500,), MIDDLE))


def test_large_scales_are_nearly_without_divergence(found):
    assert all(v > 50 for v in values(found, "divergence_ratio", FREE))
    assert values(found, "divergence_ratio", (1000,))[0] < 10


def test_moisture_is_within_its_bounds(found):
    assert max(values(found, "moisture_negative", range(1, 1001))) == 0
    assert max(values(found, "moisture_supersaturated", range(1, 1001))) < 0.005


def test_water_and_slopes(found):
    (water,) = values(found, "water", (None,))
    assert 20 < water < 28
    slope = found["spectral_slope", Channel("geopotential", 500), "n=5-21"]
    assert -3.6 < slope < -2.9
