"""What data sets call things, and how they lay them out, does not change what is read."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from appa_core.errors import DataError
from appa_core.io.axes import final_until, valid_span
from appa_core.io.checked_store import Guard
from appa_core.io.harmonise import Part
from appa_core.io.retry import Retry
from tests.era5_like import era5_like

TIMES = pd.date_range("2020-01-01", periods=3, freq="6h")
LEVELS = (100, 500, 850)


def part(dataset, **options):
    return Part(dataset, "here", Guard(Retry(attempts=1), Counter()), **options)


def fields(dataset, variable, levels=None, picks=(0, 1, 2), **options):
    pieces = list(part(dataset, **options).blocks(variable, np.asarray(picks), levels))
    return np.concatenate([values for _, values in pieces])


@pytest.fixture(scope="module")
def era5():
    return era5_like(TIMES, ("temperature", "geopotential", "2m_temperature"), LEVELS, (9, 12))


@pytest.fixture(scope="module")
def expected(era5):
    """Temperature as the project wants it."""
    return era5["temperature"].sel(level=[500, 850]).values[:, :, ::-1]


def in_pascals(dataset):
    dataset = dataset.assign_coords(level=dataset["level"] * 100.0)
    dataset["level"].attrs["units"] = "Pa"
    return dataset.rename(level="plev")


def stepped(dataset):
    """The same times as one forecast's."""
    hours = xr.Variable("step", np.arange(3) * 6.0, {"units": "hours"})
    return dataset.rename(time="step").assign_coords(step=hours, time=TIMES[0]).expand_dims("time")


LAYOUTS = {
    "as ARCO has it": lambda d: d,
    "latitude ascending": lambda d: d.sortby("latitude"),
    "from -180": lambda d: d.assign_coords(longitude=(d.longitude + 180) % 360 - 180).sortby(
        "longitude"
    ),
    "360 as well as 0": lambda d: xr.concat(
        [d, d.isel(longitude=[0]).assign_coords(longitude=[360.0])], "longitude"
    ),
    "short names": lambda d: d.rename(
        temperature="t", latitude="lat", longitude="lon", time="valid_time", level="pressure_level"
    ),
    "upper case": lambda d: d.rename(temperature="T"),
    "longitude before latitude": lambda d: d.transpose("level", "longitude", "latitude", "time"),
    "levels in Pa": in_pascals,
    "levels in Pa without a unit": lambda d: d.assign_coords(level=d.level * 100.0),
    "levels upside down": lambda d: d.isel(level=[2, 1, 0]),
    "times as numbers": lambda d: d.assign_coords(
        time=("time", [1051896, 1051902, 1051908], {"units": "hours since 1900-01-01"})
    ),
    "a forecast": stepped,
    "Celsius": lambda d: d.assign(temperature=(d.temperature - 273.15).assign_attrs(units="degC")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_does_not_matter(era5, expected, layout):
    dataset = LAYOUTS[layout](era5)
    found = part(dataset)
    assert list(found.times) == list(TIMES)
    assert np.allclose(found.grid.latitudes, np.linspace(-90, 90, 9))
    assert np.allclose(found.grid.longitudes, np.arange(12) * 30.0)
    values = fields(dataset, "temperature", (500, 850))
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-4 if layout == "Celsius" else 0)
    np.testing.assert_array_equal(
        fields(dataset, "temperature", (850, 500), picks=(0, 2)), values[[0, 2]][:, ::-1]
    )


def test_one_time_and_one_level_need_no_dimension(era5, expected):
    values = fields(era5.isel(time=1).sel(level=500), "temperature", (500,), picks=(0,))
    np.testing.assert_array_equal(values, expected[1:2, :1])


def test_initial_times_and_steps_become_times(era5):
    """Two forecasts of three steps, as total precipitation comes in GRIB."""
    starts = xr.Variable("time", pd.date_range("2020-01-01", periods=2, freq="18h"))
    values = np.arange(2 * 3 * 9 * 12, dtype=np.float32).reshape(2, 3, 9, 12)
    coords = {
        "time": starts,
        "step": xr.Variable("step", [6.0, 12.0, 18.0], {"units": "hours"}),
        "latitude": era5["latitude"],
        "longitude": era5["longitude"],
    }
    dataset = xr.Dataset({"tp": (("time", "step", "latitude", "longitude"), values)}, coords)
    assert list(part(dataset).times) == list(pd.date_range("2020-01-01T06", periods=6, freq="6h"))
    found = fields(dataset, "total_precipitation", picks=(1, 2, 3, 5))
    np.testing.assert_array_equal(found[:, 0], values.reshape(6, 9, 12)[[1, 2, 3, 5], ::-1])


def test_blocks_hold_whole_chunks_and_a_bounded_number_of_bytes(era5, monkeypatch):
    dataset = era5_like(pd.date_range("2020-01-01", periods=20, freq="6h"), ("2m_temperature",))
    dataset["2m_temperature"].encoding["preferred_chunks"] = {"time": 4}
    per_state = dataset["2m_temperature"][0].nbytes
    monkeypatch.setattr("appa_core.io.harmonise._BLOCK_BYTES", 8 * per_state)
    picks = np.asarray([1, 2, 3, 4, 8, 9, 10, 11, 12, 19])
    blocks = [picks[w].tolist() for w, _ in part(dataset).blocks("2m_temperature", picks, None)]
    assert blocks == [[1, 2, 3, 4, 8, 9, 10, 11], [12, 19]]
    monkeypatch.setattr("appa_core.io.harmonise._BLOCK_BYTES", 1)
    blocks = [picks[w].tolist() for w, _ in part(dataset).blocks("2m_temperature", picks, None)]
    assert blocks == [[1, 2, 3], [4], [8, 9, 10, 11], [12], [19]]


def test_what_is_not_on_levels_is_no_upper_air(era5):
    """`z` of the surface is the orography."""
    surface = era5["geopotential"].isel(level=0, drop=True).rename("z").to_dataset()
    assert part(surface).fields == {}
    assert "geopotential" in part(era5).fields


def test_a_field_with_a_wrong_unit_is_a_problem_only_if_asked_for(era5):
    era5 = era5.assign(temperature=era5["temperature"].assign_attrs(units="Pa"))
    found = part(era5)
    assert "temperature" not in found.fields
    assert "'Pa'" in found.problems["temperature"]
    assert "geopotential" in found.fields


def test_attributes_say_which_states_are_final():
    arco = {
        "valid_time_start": "1940-01-01",
        "valid_time_stop": "2025-12-31",
        "valid_time_stop_era5t": "2026-05-28",
    }
    assert final_until(arco) == pd.Timestamp("2025-12-31T23:00")
    assert valid_span(arco) == (pd.Timestamp("1940-01-01"), pd.Timestamp("2026-05-28T23:00"))
    assert valid_span({"valid_time_stop": "2025-12-31"})[1] == pd.Timestamp("2025-12-31T23:00")
    assert final_until({"valid_time_stop": "2025-12-31T06:00Z"}) == pd.Timestamp("2025-12-31T06")
    assert final_until({}) is None
    assert valid_span({}) == (pd.Timestamp.min, pd.Timestamp.max)
    with pytest.raises(DataError, match="expected a date"):
        final_until({"valid_time_stop": "soon"})


def test_times_outside_what_attributes_call_valid_are_not_there(era5):
    """Their order does not matter either: nothing is known of them."""
    era5 = era5.assign_attrs(valid_time_start=str(TIMES[1]), valid_time_stop=str(TIMES[1]))
    assert list(part(era5).times) == [TIMES[1]]
    np.testing.assert_array_equal(
        fields(era5, "2m_temperature", picks=(0,))[0, 0], era5["2m_temperature"].values[1, ::-1]
    )
    with pytest.raises(DataError, match="has no times"):
        part(era5.assign_attrs(valid_time_start="2021-01-01", valid_time_stop="2021-01-02"))


NOLEAP = {"units": "hours since 1900-01-01", "calendar": "noleap"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.isel(time=[0, 1, 1]), "2020-01-01T06:00 UTC more than once"),
        (lambda d: d.isel(time=[0, 2, 1]), "2020-01-01T12:00 comes before 2020-01-01T06:00"),
        (lambda d: d.assign_coords(time=[0, 6, 12]), "set the source's 'time_units'"),
        (lambda d: d.assign_coords(time=("time", [0, 1, 2], NOLEAP)), "times of here"),
        (lambda d: d.drop_vars("time").rename(time="cell"), "no coordinate of time"),
        (lambda d: d.drop_vars("latitude"), "no dimension latitude"),
        (lambda d: d.stack(values=("latitude", "longitude")), "no dimension latitude"),
        (lambda d: d.isel(latitude=slice(2, 5)), "does not cover the globe"),
    ],
)
def test_coordinates_without_sense_are_refused(era5, change, message):
    with pytest.raises(DataError, match=message):
        part(change(era5))


def test_levels_of_another_kind_are_a_problem(era5):
    era5 = era5.assign_coords(level=("level", [1, 2, 3], {"units": "1"}))
    assert "expected Pa or hPa" in part(era5).problems["temperature"]
    twice = era5.assign_coords(level=[500, 850, 850])
    assert "a level more than once" in part(twice).problems["temperature"]


def test_units_of_times_can_be_given(era5):
    found = part(era5.assign_coords(time=[0, 6, 12]), time_units="hours since 2020-01-01")
    assert list(found.times) == list(TIMES)
