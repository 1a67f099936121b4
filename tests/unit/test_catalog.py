"""What ships is whole, labelled, and as small as promised."""

import numpy as np
import pytest
import xarray as xr
import yaml

from appa_core.errors import InputError
from appa_core.steps.models import load_model, verify_model
from appa_core.steps.sample import verify_sample
from tasks.catalog import catalog_folder, model_folder, state_source

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
