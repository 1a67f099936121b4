"""A source is read on a schema's terms, whatever files it is made of."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from appa_core.errors import DataError, InputError
from appa_core.io.grids import regrid_fields, regridder_between
from appa_core.io.sources import open_source
from appa_core.schema import Grid, StateSchema
from tests.era5_like import era5_like, spec_of, written

TIMES = pd.date_range("2020-01-01", periods=20, freq="h")
LEVELS = (200, 500, 850)
SURFACE = ("2m_temperature", "sea_surface_temperature", "total_precipitation")
UPPER = ("temperature", "geopotential")
SHAPE = (9, 12)
NATIVE = Grid(tuple(np.linspace(-90, 90, 9)), tuple(np.arange(12) * 30.0))
COARSE = Grid.equiangular(4, 6)


@pytest.fixture(scope="module")
def hourly():
    return era5_like(TIMES, (*UPPER, *SURFACE), LEVELS, SHAPE)


@pytest.fixture(scope="module")
def source(hourly, tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "hourly.zarr"
    with open_source(spec_of(written(hourly, path))) as reader:
        yield reader


def schema_of(surface=(), upper=UPPER, levels=(500, 850), grid=NATIVE, step=6):
    return StateSchema.build(surface, upper, levels, grid, step)


def flipped(dataset, name, **at):
    return dataset[name].sel(**at).values[..., ::-1, :]


def test_states_come_as_the_schema_wants_them(source, hourly):
    times = TIMES[[6, 12]]
    schema = schema_of(("sea_surface_temperature", "total_precipitation_6hr"), levels=(850, 500))
    states = source.read(schema, times)
    assert list(states) == list(schema.variables)
    assert states["temperature"].dims == ("time", "level", "latitude", "longitude")
    assert states["sea_surface_temperature"].dims == ("time", "latitude", "longitude")
    assert {v.dtype for v in states.values()} == {np.dtype(np.float32)}
    assert list(states["level"].values) == [500, 850]
    assert list(states.indexes["time"]) == list(times)
    np.testing.assert_array_equal(states["latitude"], NATIVE.latitudes)
    for name in ("temperature", "geopotential"):
        np.testing.assert_array_equal(
            states[name], flipped(hourly, name, time=times, level=[500, 850])
        )
    np.testing.assert_array_equal(
        states["sea_surface_temperature"], flipped(hourly, "sea_surface_temperature", time=times)
    )
    assert states["temperature"].attrs == {"units": "K", "standard_name": "air_temperature"}
    assert states["level"].attrs["units"] == "hPa"
    schema = schema_of(("2m_temperature", "total_precipitation_6hr"))
    assert schema.stack(source.read(schema, times)).shape == (2, 6, 9, 12)


def test_a_reader_says_what_it_has(source):
    assert source.variables == ("temperature", "geopotential", *SURFACE)
    assert source.levels == LEVELS
    assert source.grid.shape == SHAPE
    assert list(source.times) == list(TIMES)
    assert source.final_until is None
    assert source.faults == {}
    rain = schema_of(("total_precipitation_6hr",))
    assert list(source.available(schema_of())) == list(TIMES)
    assert list(source.available(rain)) == list(TIMES[5:])
    with pytest.raises(DataError, match="no temperature at 700 hPa; its levels are 200, 500, 850"):
        source.available(schema_of(levels=(700,)))


def test_regridding_is_conservative_and_leaves_the_sea_its_shores(source, hourly):
    schema = schema_of(("sea_surface_temperature",), grid=COARSE)
    states = source.read(schema, TIMES[:3])
    weights = regridder_between(NATIVE, COARSE)
    for name in ("temperature", "sea_surface_temperature"):
        at = {"level": [500, 850]} if name == "temperature" else {}
        fine = flipped(hourly, name, time=TIMES[:3], **at)
        np.testing.assert_array_equal(
            states[name], regrid_fields(np.ascontiguousarray(fine), weights)
        )
    assert 0 < np.isnan(states["sea_surface_temperature"]).mean() < 1
    fine = flipped(hourly, "temperature", time=TIMES[0], level=500)
    means = [
        (f.mean(axis=1) * g.area_weights).mean()
        for f, g in ((fine, NATIVE), (states["temperature"].values[0, 0], COARSE))
    ]
    assert means[0] == pytest.approx(means[1], rel=1e-6)


@pytest.mark.parametrize("grid", [NATIVE, COARSE])
@pytest.mark.parametrize("picks", [[6, 12, 18], [5, 6, 7, 8], [10]])
def test_hourly_totals_are_summed_up_to_each_time(source, hourly, grid, picks, monkeypatch):
    """Over (t - 6 h, t], also in blocks of one hour, also where windows overlap."""
    rain = hourly["total_precipitation"].values[:, ::-1].astype(np.float64)
    schema = schema_of(("total_precipitation_6hr",), (), (), grid)
    expected = np.stack([rain[p - 5 : p + 1].sum(axis=0) for p in picks])
    if grid is COARSE:
        expected = regridder_between(NATIVE, COARSE)(expected)
    found = source.read(schema, TIMES[picks])["total_precipitation_6hr"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    monkeypatch.setattr("appa_core.io.harmonise._BLOCK_BYTES", 1)
    again = source.read(schema, TIMES[picks])["total_precipitation_6hr"]
    np.testing.assert_array_equal(found, again)


def test_rain_over_other_steps(source, hourly, tmp_path):
    rain = hourly["total_precipitation"].values[:, ::-1].astype(np.float64)
    for step in (1, 3):
        schema = schema_of(("total_precipitation",), (), (), step=step)
        found = source.read(schema, TIMES[[7]])["total_precipitation"]
        np.testing.assert_allclose(found[0], rain[8 - step : 8].sum(axis=0), rtol=1e-6)
    # totals over the source's own step are taken as they are, if that is the step
    every_six = hourly.isel(time=slice(0, None, 6))
    path = written(every_six, tmp_path / "six.zarr")
    schema = schema_of(("total_precipitation_6hr",), (), ())
    with open_source(spec_of(path, accumulation="step")) as reader:
        found = reader.read(schema, TIMES[[0, 6]])["total_precipitation_6hr"]
        np.testing.assert_array_equal(found, hourly["total_precipitation"].values[[0, 6], ::-1])
    with open_source(spec_of(path)) as reader, pytest.raises(InputError, match="of the 6 hours"):
        reader.read(schema, TIMES[[6]])
    with (
        open_source(replace(source.spec, accumulation="step")) as reader,
        pytest.raises(DataError, match="its step of 1 h, expected 6 h"),
    ):
        reader.read(schema, TIMES[[6]])


def test_six_hourly_totals_are_preferred(hourly, tmp_path):
    six = era5_like(TIMES[[6, 12]], ("total_precipitation_6hr",), shape=SHAPE)
    path = written(hourly[["total_precipitation"]].merge(six, join="left"), tmp_path / "a.zarr")
    with open_source(spec_of(path)) as reader:
        found = reader.read(schema_of(("total_precipitation_6hr",), (), ()), TIMES[[6]])
    np.testing.assert_array_equal(
        found["total_precipitation_6hr"], six["total_precipitation_6hr"][[0], ::-1]
    )


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([], "no times were asked for"),
        (["2020-01-01T06", "2020-01-01T06"], "2020-01-01T06:00 UTC was asked for more than once"),
        (["2020-01-01T06", "2020-01-01T00"], "out of order"),
        (
            ["2020-01-01T06", "2020-01-02T00"],
            r"no temperature at 2020-01-02T00:00 UTC.*it has 2020",
        ),
        (["2019-12-31T18"], "it has 2020-01-01T00:00 to 2020-01-01T19:00; choose"),
    ],
)
def test_times_that_cannot_be_read(source, times, message):
    with pytest.raises(InputError, match=message):
        source.read(schema_of(), pd.DatetimeIndex(times))


def test_zones_become_utc(source):
    times = pd.DatetimeIndex(["2020-01-01T08:00+02:00"])
    assert list(source.read(schema_of(), times).indexes["time"]) == [TIMES[6]]


def test_a_hole_is_named(hourly, tmp_path):
    path = written(hourly.drop_isel(time=[6, 7]), tmp_path / "holed.zarr")
    with open_source(spec_of(path)) as reader:
        hole = r"2020-01-01T06:00 UTC and 500 hPa.*hole after 2020-01-01T05"
        with pytest.raises(InputError, match=hole):
            reader.read(schema_of(), TIMES[[5, 6]])
        with pytest.raises(InputError, match="2020-01-01T06:00 UTC, of the 6 hours"):
            reader.read(schema_of(("total_precipitation_6hr",), (), ()), TIMES[[10]])
        rain = reader.available(schema_of(("total_precipitation_6hr",)))
        assert list(rain) == list(TIMES[[5, 13, 14, 15, 16, 17, 18, 19]])


def test_parts_make_a_whole(hourly, tmp_path):
    """By time, by variable and by level."""
    pieces = {
        "early": hourly[list(SURFACE)].isel(time=slice(8)),
        "late": hourly[list(SURFACE)].isel(time=slice(8, None)),
        "low": hourly[list(UPPER)].sel(level=[850]),
        "high": hourly[list(UPPER)].sel(level=[200, 500]),
    }
    urls = [written(piece, tmp_path / f"{name}.zarr") for name, piece in pieces.items()]
    schema = schema_of(("2m_temperature", "total_precipitation_6hr"))
    whole = written(hourly, tmp_path / "whole.zarr")
    with open_source(spec_of(*urls)) as parts, open_source(spec_of(whole)) as one:
        xr.testing.assert_identical(parts.read(schema, TIMES[5:]), one.read(schema, TIMES[5:]))
        assert list(parts.times) == list(TIMES)
        assert parts.levels == LEVELS
    message = r"2m_temperature at 2020-01-01T07:00 UTC more than once: in .*whole.* and .*early"
    with open_source(spec_of(whole, urls[0])) as twice, pytest.raises(DataError, match=message):
        twice.read(schema_of(("2m_temperature",), (), ()), TIMES[[7]])
    with open_source(spec_of(urls[0], urls[3])) as some:
        with pytest.raises(DataError, match="no temperature at 850 hPa"):
            some.read(schema_of(), TIMES[:1])
        assert list(some.times) == list(TIMES[:8])
    early = written(pieces["high"].isel(time=slice(3)), tmp_path / "high3.zarr")
    with open_source(spec_of(early, urls[2])) as some:
        assert list(some.available(schema_of())) == list(TIMES[:3])
        assert list(some.available(schema_of(levels=(850,)))) == list(TIMES)
        with pytest.raises(InputError, match="03:00 UTC and 500 hPa; it has 2020-01-01T00:00 to"):
            some.read(schema_of(), TIMES[[3]])


def test_parts_share_a_grid(hourly, tmp_path):
    other = era5_like(TIMES, ("2m_temperature",), shape=(19, 36))
    urls = [written(d, tmp_path / n) for n, d in (("a.zarr", hourly), ("b.zarr", other))]
    with pytest.raises(DataError, match="expected one grid"):
        open_source(spec_of(*urls))


def test_missing_values_are_refused(hourly, tmp_path):
    holed = hourly.copy(deep=True)
    holed["temperature"][7, 1, 3, 4] = np.nan
    with open_source(spec_of(written(holed, tmp_path / "holed.zarr"))) as reader:
        reader.read(schema_of(), TIMES[[6]])
        with pytest.raises(DataError, match=r"at 500 hPa, 2020-01-01T07:00 UTC in .*: 1 of 108"):
            reader.read(schema_of(), TIMES[[6, 7]])
        reader.read(schema_of(levels=(850,)), TIMES[[7]])


@pytest.mark.parametrize("fill", [0.0, np.nan])
@pytest.mark.parametrize("name", ["10m_u_component_of_wind", "sea_surface_temperature"])
def test_an_absent_chunk_is_not_its_fill_value(tmp_path, name, fill):
    """Zarr would read zeros, or land."""
    dataset = era5_like(TIMES[:3], (name,), shape=SHAPE)
    encoding = {name: {"chunks": (1, *SHAPE), "fill_value": fill}}
    path = written(dataset, tmp_path / "a.zarr", encoding=encoding)
    (tmp_path / "a.zarr" / name / "c" / "1" / "0" / "0").unlink()
    with open_source(spec_of(path)) as reader:
        reader.read(schema_of((name,), (), ()), TIMES[[0, 2]])
        with pytest.raises(DataError, match=f"1 chunks are absent, such as {name}/c/1/0/0"):
            reader.read(schema_of((name,), (), ()), TIMES[[1]])


def test_further_dimensions_need_a_choice(hourly, tmp_path):
    members = xr.concat([hourly, hourly + 1.0], pd.Index([3, 8], name="number"))
    path = written(members, tmp_path / "members.zarr")
    with pytest.raises(DataError, match="choose one value of number with the source's 'select'"):
        open_source(spec_of(path))
    with pytest.raises(DataError, match="has number 3, 8, but source era5 selects 4"):
        open_source(spec_of(path, select=(("number", 4),)))
    with open_source(spec_of(path, select=(("number", 8),))) as reader:
        found = reader.read(schema_of(("2m_temperature",), (), ()), TIMES[[0]])
    np.testing.assert_array_equal(
        found["2m_temperature"][0], members["2m_temperature"].values[1, 0, ::-1]
    )
