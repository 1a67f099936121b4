import numpy as np
import pytest
import xarray as xr

from appa_core.errors import DataError, InputError
from appa_core.schema import Channel, Grid, StateSchema

GRID = Grid.equiangular(4, 8)
SCHEMA = StateSchema.build(["2m_temperature"], ["temperature"], [500, 850], GRID, 6)


def dataset(times=2):
    rng = np.random.default_rng(0)
    coords = {
        "time": np.arange(times),
        "level": [850, 500],
        "latitude": list(GRID.latitudes),
        "longitude": list(GRID.longitudes),
    }
    upper = ("time", "level", "latitude", "longitude")
    return xr.Dataset(
        {
            "temperature": (upper, rng.normal(size=(times, 2, 4, 8))),
            "2m_temperature": (("time", "longitude", "latitude"), rng.normal(size=(times, 8, 4))),
        },
        coords=coords,
    )


def test_stack_selects_by_name_and_level_whatever_the_order():
    data = dataset()
    states = SCHEMA.stack(data)
    assert states.shape == (2, 3, 4, 8)
    i = SCHEMA.index("temperature", 500)
    np.testing.assert_allclose(states[:, i], data["temperature"].sel(level=500), rtol=1e-6)
    surface = data["2m_temperature"].transpose("time", "latitude", "longitude")
    np.testing.assert_allclose(states[:, 0], surface, rtol=1e-6)


def test_unstack_is_the_inverse_of_stack():
    states = SCHEMA.stack(dataset())
    fields = SCHEMA.unstack(states, SCHEMA.channels)
    assert fields["2m_temperature"].shape == (2, 4, 8)
    np.testing.assert_array_equal(fields["temperature"][:, 0], states[:, 1])
    np.testing.assert_array_equal(fields["temperature"][:, 1], states[:, 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop_vars("temperature"), "'temperature' is missing"),
        (lambda d: d.sel(level=[850]), "no level 500"),
        (lambda d: d.isel(latitude=slice(3)), "latitude is not the model's"),
        (lambda d: d.assign_coords(longitude=d["longitude"] + 1), "longitude is not the model's"),
        (lambda d: d.where(d["time"] != 1), "temperature.* at 1 holds values that are not finite"),
    ],
)
def test_data_that_do_not_fit_are_explained(change, message):
    with pytest.raises(DataError, match=message):
        SCHEMA.stack(change(dataset()))


def test_what_cannot_be_negative_is_raised_to_zero():
    schema = StateSchema.build(["total_precipitation_6hr"], ["temperature"], [500], GRID, 6)
    states = np.full((2, 2, 4, 8), -1.0, np.float32)
    bounded = schema.bound(states)
    assert (bounded[:, 0] == 0).all()
    assert (bounded[:, 1] == -1).all()
    assert (states == -1).all()
    assert bounded.dtype == np.float32


def test_unknown_names_are_explained():
    with pytest.raises(InputError, match="unknown variable 'wind'"):
        Channel("wind")
    with pytest.raises(InputError, match="no channel 'temperature_200'"):
        SCHEMA.index("temperature", 200)
    with pytest.raises(InputError, match="unknown level 200"):
        SCHEMA.select(levels=[200])


def test_names_of_channels():
    assert SCHEMA.names == ("2m_temperature", "temperature_500", "temperature_850")
    assert [c.short for c in SCHEMA.channels] == ["T2m", "T500", "T850"]
    assert SCHEMA.levels == (500, 850)


def test_fingerprint_tells_schemas_apart():
    other = StateSchema(SCHEMA.channels[::-1], GRID, 6)
    coarse = StateSchema(SCHEMA.channels, Grid.equiangular(2, 4), 6)
    assert len({SCHEMA.fingerprint, other.fingerprint, coarse.fingerprint}) == 3
    assert (
        StateSchema(SCHEMA.channels, Grid.equiangular(4, 8), 6).fingerprint == SCHEMA.fingerprint
    )


def test_weatherbench_grid():
    grid = Grid.equiangular(32, 64)
    assert grid.latitudes[0] == -87.1875
    assert grid.longitudes[-1] == 354.375
    assert grid.area_weights.mean() == pytest.approx(1)
    middle = np.sin(np.deg2rad(5.625)) - 0
    assert grid.area_weights[16] / grid.area_weights[0] == pytest.approx(
        middle / (1 - np.sin(np.deg2rad(90 - 5.625)))
    )


@pytest.mark.parametrize(
    ("lat", "lon"), [((10.0, -10.0), (0.0, 90.0)), ((-10.0, 10.0), (0.0, 360.0))]
)
def test_grids_in_another_order_are_refused(lat, lon):
    with pytest.raises(DataError, match="must ascend"):
        Grid(lat, lon)
