"""From the nature run to registered weights, with synthetic waves in place of the simulator."""

import base64
import io
import re
import sys

import pandas as pd
import pytest
import xarray as xr
from matplotlib.image import imread
from prefect.artifacts import Artifact
from prefect.testing.utilities import prefect_test_harness

from appa_core.config.presets import load_preset
from appa_core.errors import InputError
from appa_core.io.cube import Cube
from appa_core.io.store import ArtifactStore
from appa_core.steps.models import load_model, read_manifest
from appa_core.steps.sample import verify_sample
from appa_core.steps.simulate import simulate_nature_run
from flows.ingest import ingest
from flows.train import train
from tasks.launch import LaunchSettings
from tests.synthetic import synthetic_chunks, tiny_preset


@pytest.fixture(scope="module", autouse=True)
def prefect():
    with prefect_test_harness(server_startup_timeout=120):
        yield


HERE = LaunchSettings(nproc=0)


def test_training_registers_a_model_once(tiny_world, tmp_path, monkeypatch):
    """The flow takes the same path as the steps by hand: where these ran, it trains nothing."""
    monkeypatch.setattr("appa_core.steps.training.Trainer", None)
    logs, model = str(tmp_path / "logs"), str(tmp_path / "model")
    key = train(tiny_preset(), tiny_world.store.url, model, launch=HERE, logs=logs)
    parts = read_manifest(tmp_path / "model")["parts"]
    assert parts == read_manifest(tiny_world.model)["parts"]
    assert key == load_model(tiny_world.model).key


def test_another_seed_gives_another_model(tiny_world, tmp_path):
    store, logs = tiny_world.store.url, tmp_path / "logs"
    model = str(tmp_path / "model")
    other = train(tiny_preset(), store, model, launch=HERE, logs=str(logs), seed=1)
    assert other != load_model(tiny_world.model).key
    assert {path.name.rpartition("-")[0] for path in logs.iterdir()} == {
        "train-autoencoder",
        "train-denoiser",
    }


@pytest.mark.parametrize("network", ["autoencoder", "denoiser"])
def test_prefect_shows_curve_maps_and_spectra(tiny_world, tmp_path, network):
    store, logs = tiny_world.store.url, str(tmp_path / "logs")
    train(tiny_preset(), store, str(tmp_path / "m"), network=network, launch=HERE, logs=logs)
    page = Artifact.get(f"training-{network}-of-tiny").data
    images = re.findall(r"!\[([^]]*)\]\(data:image/png;base64,([^)]*)\)", page)
    titles = [title for title, _ in images]
    made = "Reconstructions" if network == "autoencoder" else "Samples at 24 h"
    assert titles == [
        f"Loss of {network} of tiny",
        f"{made} and truth",
        f"Spectra of {made.lower()} and of the truth",
    ]
    for _, content in images:
        with io.BytesIO(base64.b64decode(content)) as file:
            assert imread(file).std() > 0.05


def test_ingest_packs_a_stretch(tmp_path):
    store = ArtifactStore(tmp_path / "store")
    span = (pd.Timestamp("2012-01-08"), pd.Timestamp("2012-01-13"))
    chunks = synthetic_chunks(store, tiny_preset())
    url = ingest(
        tiny_preset(), store.url, start=span[0], end=span[1], pack=str(tmp_path / "sample")
    )
    cube = Cube.load(url)
    assert len(cube.times()) == 20
    assert verify_sample(tmp_path / "sample")["made_from"]["last_chunk"] == chunks[1].key
    packed = xr.open_zarr(tmp_path / "sample" / "states.zarr")
    assert packed.sizes["time"] == 20
    original = xr.open_zarr(chunks[0].locate("states.zarr"))["temperature"]
    error = abs(packed["temperature"].isel(time=slice(0, 8)) - original.isel(time=slice(28, 36)))
    assert float(error.max()) <= 0.0101


def test_without_the_simulator_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jcm", None)  # an import of it, or from it, now fails
    for name in [name for name in sys.modules if name.startswith("jcm.")]:
        monkeypatch.delitem(sys.modules, name)
    nature = load_preset("tiny").simulated()
    run = simulate_nature_run(
        ArtifactStore(tmp_path),
        nature,
        load_preset("tiny").state.build(),
        pd.Timestamp(nature.start) + pd.Timedelta(days=1),
    )
    with pytest.raises(InputError, match=r"appa\[simulate\]"):
        next(run)
