"""What ships is whole, labelled, and as small as promised."""

import importlib
import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from appa_core.errors import InputError
from appa_core.io.cds import CdsSource
from appa_core.io.sources import SourceSpec, open_source
from appa_core.steps.models import load_model, verify_model
from appa_core.steps.sample import verify_sample
from tasks.catalog import (
    NatureRun,
    catalog_folder,
    model_folder,
    resolve_source,
    state_source,
)
from tasks.catalog_format import read_catalog
from tasks.listing import list_entries
from tests.era5_like import era5_like

SAMPLE = catalog_folder() / "data" / "sample"


def size_of(folder):
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def test_the_sample_opens_plainly_and_says_that_it_is_simulated():
    data = xr.open_zarr(SAMPLE / "states.zarr")
    assert "Simulated" in data.attrs["source"]
    assert data.sizes["time"] == 248
    assert data["time"].values[0] == np.datetime64("2023-12-15")
    assert (np.diff(data["time"].values) == np.timedelta64(6, "h")).all()
    assert (np.diff(data["latitude"].values) > 0).all()
    assert data["longitude"].values[0] == 0
    assert data["temperature"].attrs["units"] == "K"


def test_the_sample_is_whole_and_small():
    assert verify_sample(SAMPLE)["digest"]
    assert size_of(SAMPLE) < 25e6


def test_the_weather_of_the_sample_is_plausible():
    data = xr.open_zarr(SAMPLE / "states.zarr").isel(time=slice(0, 40, 8))
    height = data["geopotential"].sel(level=500) / 9.80665
    assert 5200 < float(height.mean()) < 5800
    assert 270 < float(data["2m_temperature"].mean()) < 290
    jet = data["u_component_of_wind"].sel(level=200).mean(["time", "longitude"])
    assert float(jet.max()) > 15
    assert float(data["specific_humidity"].min()) > -1e-6


def test_the_weights_are_whole_and_small():
    folder = model_folder("small")
    assert verify_model(folder)["parts"]
    assert sum(p.stat().st_size for p in folder.glob("*.safetensors")) < 40e6
    assert (folder / "MODEL_CARD.md").read_text().count("simulated") > 0
    model = load_model(folder)
    assert model.autoencoder.shape.compression >= 5


def test_sources_and_models_are_found_by_name():
    source = state_source("sample")
    assert source.fingerprint == verify_sample(SAMPLE)["digest"]
    for name, entry in yaml.safe_load((catalog_folder() / "models.yaml").read_text()).items():
        assert model_folder(name).is_dir()
        assert entry["licence"]


def test_unknown_names_list_the_known_ones():
    with pytest.raises(InputError, match="has: sample"):
        state_source("era6")
    with pytest.raises(InputError, match="has: small"):
        model_folder("huge")


def test_climatology_beats_the_annual_mean_on_the_sample():
    """The shipped climatology describes the shipped weather: its departures have unit spread."""
    model = load_model(model_folder("small"))
    schema = model.preset.state.build()
    data = xr.open_zarr(SAMPLE / "states.zarr").isel(time=slice(0, 248, 16)).load()
    standard = model.normalisation.standardise(schema.stack(data), data["time"].values)
    weights = schema.grid.area_weights[:, None]
    spread = np.sqrt((standard**2 * weights).mean(axis=(0, 2, 3)))
    assert spread.min() > 0.7
    assert spread.max() < 1.4


@pytest.mark.parametrize("name", ["states", "observations"])
def test_shipped_catalogs_are_catalogs_of_intake(name):
    path = catalog_folder() / f"{name}.yaml"
    catalog = importlib.import_module("intake.readers.entry").Catalog.from_yaml_file(str(path))
    checked = read_catalog(path)
    assert list(catalog) == list(checked.entries)
    for entry, parts in checked.entries.items():
        reader = catalog(**dict.fromkeys(parts.user_parameters, "/somewhere/x"))[entry]
        assert "{" not in str(reader.kwargs["args"][0].url)
    if name == "states":
        assert catalog["sample"].read().sizes["time"] == 248


def test_every_entry_says_what_it_is():
    rows = list_entries()
    assert [r.name for r in rows][:2] == ["sample", "era5-arco"]
    assert {r.catalog for r in rows} == {"states", "observations", "models"}
    for row in rows:
        assert row.about.description
        assert row.about.licence
        assert row.about.homepage.startswith("https://") or "://" not in row.url
    assert len({r.name for r in rows}) == len(rows)
    by_name = {r.name: r for r in rows}
    arco = by_name["era5-arco"]
    assert len(arco.about.levels_hpa) == 37
    assert (arco.about.grid, arco.about.step_hours, arco.about.end) == ("1440 x 721", 1, None)
    assert by_name["local-grib"].parameters == ("location",)
    assert by_name["local-grib"].reachable is None


def test_what_is_here_is_measured():
    sample = next(row for row in list_entries() if row.name == "sample")
    about = sample.about
    assert (str(about.start), str(about.end)) == ("2023-12-15", "2024-02-14")
    assert (about.grid, about.step_hours) == ("64 x 32", 6)
    assert about.levels_hpa == (200, 300, 500, 700, 850, 925)
    assert "total_precipitation_6hr" in about.variables
    assert sample.reachable


def test_entries_become_sources():
    spec = resolve_source("era5-wb2-64x32")
    name = "1959-2023_01_10-6h-64x32_equiangular_conservative.zarr"
    assert spec == SourceSpec(
        "era5-wb2-64x32",
        "zarr",
        (f"gs://weatherbench2/datasets/era5/{name}",),
        (("token", "anon"),),
    )
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert isinstance(hash(spec), int)
    arco = resolve_source("era5-arco")
    assert arco.urls == ("gs://gcp-public-data-arco-era5/ar/full_37-1h-0p25deg-chunk-1.zarr-v3",)
    assert resolve_source("nature") == NatureRun("nature")
    assert resolve_source("era5-cds") == CdsSource("era5-cds")
    daily = resolve_source("era5-cds", {"split": "day", "cache": "/shared/cds"})
    assert daily == CdsSource("era5-cds", split="day", cache="/shared/cds")
    sample = resolve_source("sample")
    assert sample.fingerprint == verify_sample(SAMPLE)["digest"]
    assert sample.urls == (str(SAMPLE / "states.zarr"),)
    assert resolve_source(str(SAMPLE)).urls == sample.urls


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("era5", {}, "unknown source 'era5'.*has: sample, era5-arco.*era5-cds; or give files"),
        ("sample", {"location": "x"}, "has no parameter 'location'; it takes no parameters"),
        ("nature", {"seed": "1"}, "has no parameter 'seed'"),
        ("era5-cds", {"key": "1"}, "has no parameter 'key'; it takes cache, split"),
        ("era5-cds", {"split": "year"}, "got split 'year', expected day or month"),
        ("local-netcdf", {}, "needs the parameter location: Your own NetCDF"),
        ("local-netcdf", {"path": "x.nc"}, "no parameter 'path'; it takes location"),
        ("local-netcdf", {"location": "/nowhere/*.nc"}, "nothing at /nowhere/.*nc; check"),
        ("nowhere/x.zarr", {}, "nothing at .*nowhere/x.zarr"),
        ("gs://bucket/*.nc", {}, "looked up on this machine's disks only"),
        ("reference://x.zarr", {}, "cannot be read; expected a path, or a URL"),
        ("simplecache::gs://b/x.zarr", {}, "nothing at|cannot be read"),
        ("gs://b/x.zarr", {"engine": "x"}, "no parameter 'engine'; it takes format, accum"),
        ("gs://b/x.zarr", {"format": "hdf"}, "got 'hdf', expected one of zarr"),
        ("gs://b/data", {}, "cannot be told.*set the parameter format"),
    ],
)
def test_sources_that_cannot_be_resolved(name, parameters, message):
    with pytest.raises(InputError, match=message):
        resolve_source(name, parameters)


def test_own_files(tmp_path, monkeypatch):
    times = pd.date_range("2020-01-01", periods=4, freq="6h")
    states = era5_like(times, ("temperature", "2m_temperature"), (500, 850), (9, 12))
    for number, part in enumerate((states.isel(time=[2, 3]), states.isel(time=[0, 1]))):
        part.to_netcdf(tmp_path / f"part_{1 - number}.nc", engine="h5netcdf")
    monkeypatch.chdir(tmp_path)
    spec = resolve_source("*.nc")
    assert spec.urls == (str(tmp_path / "part_0.nc"), str(tmp_path / "part_1.nc"))
    named = resolve_source("local-netcdf", {"location": str(tmp_path / "part_?.nc")})
    assert (named.name, named.format, named.urls) == ("local-netcdf", "netcdf", spec.urls)
    with open_source(named) as reader:
        assert list(reader.times) == list(times)
    (tmp_path / "x.GRB2").touch()
    assert resolve_source("x.GRB2").format == "grib"
    with pytest.raises(InputError, match="of what format"):
        resolve_source(str(tmp_path / "[xp]*"))
    zarr = tmp_path / "no_suffix"
    states.to_zarr(zarr, zarr_format=3, consolidated=False)
    assert resolve_source("no_suffix").format == "zarr"
    assert resolve_source(f"file://{zarr}").urls == (str(zarr),)


def test_parameters_of_own_files():
    given = {
        "format": "zarr",
        "accumulation": "step",
        "time_units": "hours since 1900-01-01",
        "select.number": "0",
        "storage.anon": "true",
        "storage.endpoint_url": "https://store.example",
    }
    spec = resolve_source("s3://bucket/data", given)
    assert (spec.format, spec.accumulation) == ("zarr", "step")
    assert spec.time_units == "hours since 1900-01-01"
    assert spec.select == (("number", 0),)
    assert spec.storage_options == (("anon", True), ("endpoint_url", "https://store.example"))


@pytest.mark.parametrize("name", ["era5-arco", "era5-cds", "nature"])
def test_forecasts_start_from_what_is_here(name):
    with pytest.raises(InputError, match=f"source {name} is no zarr store on this machine"):
        state_source(name)
