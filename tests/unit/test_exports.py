"""Results in other formats: documented layouts, CF attributes, GRIB that opens again."""

import importlib
import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from appa_core.errors import InputError, IntegrityError
from appa_core.io.ensembles import OpenResult
from appa_core.schema import Channel, Grid
from appa_core.steps.exporting import export_result
from tests.finished import fields_of, write_result


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("results")
    gaussian = np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(8)[0]))
    return {
        "forecast": write_result(base / "forecast"),
        "reanalysis": write_result(base / "reanalysis", kind="reanalysis"),
        "greenwich": write_result(base / "greenwich", rows=[8, 9], columns=[0, 1, 23]),
        "gaussian": write_result(
            base / "gaussian", grid=Grid(tuple(gaussian), tuple(np.arange(16) * 22.5))
        ),
    }


@pytest.fixture(scope="module")
def forecast(folders):
    return OpenResult.of(folders["forecast"])


def test_results_have_the_layout_that_weatherbench_x_reads(folders):
    """Its loaders select `init_time` and `lead_time`; targets have `valid_time`.

    https://weatherbench-x.readthedocs.io: PredictionsFromXarray with rename_dimensions=None, and
    ensemble_dim="member" for probabilistic metrics.
    """
    data = fields_of(folders["forecast"])
    starts = np.array(["2024-01-01"], "datetime64[ns]")
    leads = np.array([6, 18], "timedelta64[h]").astype("timedelta64[ns]")
    chunk = data.sel(init_time=starts, lead_time=leads)
    assert chunk["2m_temperature"].dims == (
        "init_time", "member", "lead_time", "latitude", "longitude",
    )  # fmt: skip
    assert chunk["valid_time"].dims == ("init_time", "lead_time")
    assert chunk["valid_time"].values[0, 1] == np.datetime64("2024-01-01T18")
    assert data["init_time"].dtype.kind == "M"
    assert data["lead_time"].dtype.kind == "m"
    assert data["level"].values.tolist() == [500, 850]
    assert (np.diff(data["latitude"]) > 0).all()
    assert 0 <= float(data["longitude"].min()) <= float(data["longitude"].max()) < 360
    assert {v.dtype for v in data.data_vars.values()} == {np.dtype("float32")}


def test_the_layout_of_weatherbench2(forecast, folders, tmp_path):
    """As its quickstart describes forecasts: time is the start, prediction_timedelta the lead.

    https://weatherbench2.readthedocs.io/en/latest/evaluation.html; members are `number`, as in
    its IFS ENS; whole fields and few times in a chunk; zarr format 2, which its libraries read.
    """
    path = export_result(forecast, "zarr", "weatherbench2", tmp_path / "wb2.zarr")
    data = xr.open_zarr(path)
    assert dict(data.sizes) == {
        "time": 1, "prediction_timedelta": 4, "number": 3, "level": 2, "latitude": 12,
        "longitude": 24,
    }  # fmt: skip
    assert data["temperature"].dims == (
        "time", "prediction_timedelta", "number", "level", "latitude", "longitude",
    )  # fmt: skip
    assert set(data.coords) == set(data.dims)
    assert data["time"].values[0] == np.datetime64("2024-01-01")
    assert data["prediction_timedelta"].dtype == np.dtype("timedelta64[ns]")
    assert data["level"].dtype == np.dtype("int32")
    assert data["temperature"].encoding["chunks"] == (1, 1, 3, 1, 12, 24)
    assert zarr.open_group(path, mode="r").metadata.zarr_format == 2
    # what both tools do with it at first
    opened = data.rename({"time": "init_time", "prediction_timedelta": "lead_time"})
    own = fields_of(folders["forecast"])
    for name in own.data_vars:
        xr.testing.assert_equal(
            opened[name]
            .reset_coords(drop=True)
            .rename(number="member")
            .transpose(*own[name].dims),
            own[name].reset_coords(drop=True),
        )


def test_an_analysis_keeps_time(folders, tmp_path):
    result = OpenResult.of(folders["reanalysis"])
    data = xr.open_zarr(export_result(result, "zarr", "weatherbench2", tmp_path / "a.zarr"))
    assert data["2m_temperature"].dims == ("time", "number", "latitude", "longitude")
    assert data.rename(time="valid_time")["valid_time"].values[1] == np.datetime64("2024-01-01T06")


@pytest.mark.parametrize("layout", ["appa", "weatherbench2"])
def test_netcdf_holds_the_same_values_and_cf_attributes(forecast, folders, tmp_path, layout):
    path = export_result(forecast, "netcdf", layout, tmp_path / "a.nc")
    data = xr.open_dataset(path, decode_timedelta=True)
    own = fields_of(folders["forecast"])
    for name in own.data_vars:
        found = data[name].reset_coords(drop=True)
        if layout == "weatherbench2":
            found = found.rename(
                {"time": "init_time", "prediction_timedelta": "lead_time", "number": "member"}
            )
        xr.testing.assert_equal(
            found.transpose(*own[name].dims), own[name].reset_coords(drop=True)
        )
    assert data.attrs["Conventions"].startswith("CF-")
    axes = {n: data[n].attrs.get("axis") for n in ("latitude", "longitude", "level")}
    assert axes == {"latitude": "Y", "longitude": "X", "level": "Z"}
    assert data["level"].attrs["positive"] == "down"
    assert float(data["height_2m"]) == 2.0
    raw = xr.open_dataset(path, decode_cf=False)
    assert "height_2m" in raw["2m_temperature"].attrs["coordinates"]
    for name in own.data_vars:
        assert {"units", "standard_name", "long_name"} <= set(raw[name].attrs)
    lead = "lead_time" if layout == "appa" else "prediction_timedelta"
    assert (raw[lead].attrs["units"], raw[lead].values.tolist()) == ("hours", [6, 12, 18, 24])
    assert raw[lead].attrs["standard_name"] == "forecast_period"
    if layout == "appa":
        assert "interval: 6 hours" in raw["total_precipitation_6hr"].attrs["cell_methods"]


@pytest.mark.parametrize("kind", ["forecast", "reanalysis", "gaussian"])
@pytest.mark.filterwarnings("ignore:In a future version of xarray")
def test_grib_opens_again_with_cfgrib(folders, tmp_path, kind):
    cfgrib = pytest.importorskip("cfgrib")
    result = OpenResult.of(folders[kind])
    path = export_result(result, "grib", "appa", tmp_path / "a.grib")
    datasets = cfgrib.open_datasets(path, backend_kwargs={"indexpath": "", "errors": "raise"})
    names = {"t": "temperature", "z": "geopotential", "t2m": "2m_temperature",
             "u10": "10m_u_component_of_wind", "tp": "total_precipitation_6hr"}  # fmt: skip
    found = {names[str(n)]: d[n] for d in datasets for n in d.data_vars}
    assert set(found) == set(names.values())
    for channel in result.fields.channels:
        field = found[channel.variable]
        if channel.level is not None:
            field = field.sel(isobaricInhPa=channel.level)
        own = result.fields.read(channel).astype(float)
        scale = 1000.0 if channel.variable == "total_precipitation_6hr" else 1.0
        values = field.sortby("latitude").transpose("number", ..., "latitude", "longitude").values
        packing = np.ptp(own) * scale * 2.0**-16
        np.testing.assert_allclose(values, own * scale, rtol=2e-7, atol=packing)
        valid = pd.DatetimeIndex(np.atleast_1d(field["valid_time"].values))
        assert valid.equals(result.fields.valid_times)
    assert found["temperature"]["number"].values.tolist() == [0, 1, 2]
    assert all(d.attrs["GRIB_centre"] != "ecmf" for d in datasets)
    assert found["total_precipitation_6hr"].attrs["units"] == "kg m**-2"
    latitudes = np.sort(found["temperature"]["latitude"].values)
    np.testing.assert_allclose(latitudes, result.fields.grid.latitudes, atol=1e-5)


def test_cells_without_values_are_missing_in_grib(tmp_path):
    cfgrib = pytest.importorskip("cfgrib")
    from appa_core.io.grib_writing import write_grib

    folder = write_result(tmp_path / "r")
    data = fields_of(folder)[["2m_temperature"]].load()
    sea = data.rename({"2m_temperature": "sea_surface_temperature"})
    sea["sea_surface_temperature"][..., 0, :] = np.nan
    result = OpenResult.of(folder)
    fields = type(result.fields)(sea)
    write_grib(fields, tmp_path / "a.grib")
    (found,) = cfgrib.open_datasets(tmp_path / "a.grib", backend_kwargs={"indexpath": ""})
    values = found["sst"].sortby("latitude").values
    assert np.isnan(values[..., 0, :]).all()
    assert np.isfinite(values[..., 1:, :]).all()
    assert fields.channels == (Channel("sea_surface_temperature"),)


def test_without_eccodes_grib_is_refused_with_what_to_do(forecast, tmp_path, monkeypatch):
    real = importlib.import_module

    def missing(name, *rest):
        if name == "eccodes":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"GRIB needs ecCodes.*\.\[grib\].*--format netcdf"):
        export_result(forecast, "grib", "appa", tmp_path / "a.grib")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(forecast, folders, tmp_path):
    greenwich = OpenResult.of(folders["greenwich"])
    with pytest.raises(InputError, match=r"across the Greenwich.*export to NetCDF"):
        export_result(greenwich, "grib", "appa", tmp_path / "a.grib")
    with pytest.raises(InputError, match="a layout names dimensions, which GRIB has not"):
        export_result(forecast, "grib", "weatherbench2", tmp_path / "a.grib")
    with pytest.raises(InputError, match="unknown format 'csv'; there are: netcdf, grib, zarr"):
        export_result(forecast, "csv", "appa", tmp_path / "a.csv")
    with pytest.raises(InputError, match="unknown layout"):
        export_result(forecast, "netcdf", "wb3", tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file; zarr is a folder"):
        export_result(forecast, "zarr", "appa", tmp_path / "file")
    with pytest.raises(InputError, match="holds something else"):
        export_result(forecast, "netcdf", "appa", tmp_path)
    with pytest.raises(InputError, match="holds no zarr store"):
        export_result(forecast, "zarr", "appa", tmp_path)
    with pytest.raises(InputError, match="cannot write"):
        export_result(forecast, "netcdf", "appa", tmp_path / "file" / "a.nc")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_export_is_replaced_whole(forecast, folders, tmp_path):
    for kind, name in (("zarr", "a.zarr"), ("netcdf", "a.nc")):
        export_result(forecast, kind, "appa", tmp_path / name)
        export_result(OpenResult.of(folders["reanalysis"]), kind, "appa", tmp_path / name)
    assert "lead_time" not in xr.open_zarr(tmp_path / "a.zarr").dims
    assert "lead_time" not in xr.open_dataset(tmp_path / "a.nc").dims
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_no_result_is_refused(tmp_path):
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError, match=r"is no result: expected a folder that flows"):
            OpenResult.of(folder)
    (tmp_path / "manifest.json").write_text(json.dumps({}))
    with pytest.raises(InputError, match="is no result"):
        OpenResult.of(tmp_path)


def test_a_damaged_result_is_not_exported(tmp_path):
    folder = write_result(tmp_path / "r")
    chunk = next((folder / "forecast.zarr" / "2m_temperature" / "c").rglob("0"))
    while chunk.is_dir():
        chunk = next(chunk.iterdir())
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="is not what was exported"):
        export_result(OpenResult.of(folder), "netcdf", "appa", tmp_path / "a.nc")
    assert not (tmp_path / "a.nc").exists()
