"""URLs are taken where paths are: stores, sources, models, reports."""

import argparse
import uuid

import fsspec
import numpy as np
import pandas as pd
import pytest

from appa_core.errors import InputError, IntegrityError
from appa_core.io.cube import Cube
from appa_core.io.places import folder_here, write_text
from appa_core.io.store import ArtifactStore
from appa_core.steps.coder import RegisteredCoder
from appa_core.steps.encode import EncodeJob
from appa_core.steps.ingest import IngestJob, states_spec
from appa_core.steps.latents import fit_latent_statistics
from flows.cli import local_folder
from tasks import learning
from tasks.catalog import model_folder, model_place, resolve_source
from tasks.cluster import ClusterSettings
from tests.synthetic import synthetic_states, tiny_preset

PRESET = tiny_preset()
START = pd.Timestamp(PRESET.split.train_start)
END = pd.Timestamp(PRESET.split.validation_start)


@pytest.fixture
def model_url(tiny_world, tmp_path, monkeypatch):
    """A registered model in memory, as in a bucket."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = f"memory://{uuid.uuid4().hex}/model"
    fs, root = fsspec.core.url_to_fs(url)
    fs.put(str(tiny_world.model), root, recursive=True)
    return url


def run_all(store, source, model, report):
    """Ingest, normalise, encode, report; digests of what comes out."""
    schema, here = PRESET.state.build(), ClusterSettings()
    job = IngestJob(store, resolve_source(source, {"format": "zarr"}), schema, 40)
    states = learning.ingest_states.fn(job, START, END, here)
    statistics = learning.fit_statistics.fn(store, PRESET, states, here)
    encoding = EncodeJob(store, states, RegisteredCoder.of(model))
    latents = learning.encode_states.fn(encoding, START, END, here)
    learning.measure_reconstruction.fn(encoding, START, END, here, report)
    fitted = fit_latent_statistics(ArtifactStore(store), PRESET, Cube.load(latents))
    cubes = [Cube.load(url).digest() for url in (states, latents)]
    return [*cubes, statistics.digest, fitted.digest]


def test_all_of_it_works_in_memory(tiny_world, model_url, tmp_path, monkeypatch):
    """Stores, sources, models and reports: the same digests as on a disk."""
    states = synthetic_states(PRESET.state.build(), str(START), (END - START).days)
    states.to_zarr(tmp_path / "waves", zarr_format=3, consolidated=False)
    away = f"memory://{uuid.uuid4().hex}"
    states.to_zarr(f"{away}/waves", zarr_format=2, consolidated=True)
    monkeypatch.setattr("appa_core.io.lock._SETTLE_SECONDS", 0.0)
    # the cube's identity has the name of its source in it
    monkeypatch.setattr("appa_core.steps.ingest.states_spec", named_alike)
    near = run_all(
        f"file://{tmp_path}/store", f"file://{tmp_path}/waves", str(tiny_world.model),
        f"file://{tmp_path}/new/errors.csv",
    )  # fmt: skip
    far = run_all(f"{away}/store", f"{away}/waves", model_url, f"{away}/errors.csv")
    assert far == near
    with fsspec.open(f"{away}/errors.csv") as handle:
        table = pd.read_csv(handle)
    pd.testing.assert_frame_equal(table, pd.read_csv(tmp_path / "new" / "errors.csv"))
    assert list(table["channel"]) == list(PRESET.state.build().names)
    assert np.isfinite(table["rmse"]).all()


def named_alike(_, schema, block_states):
    return states_spec("waves", schema, block_states)


def test_a_model_is_copied_once(model_url, tiny_world, monkeypatch):
    folder = model_folder(model_url)
    assert {p.name for p in folder.iterdir()} == {p.name for p in tiny_world.model.iterdir()}
    fs, root = fsspec.core.url_to_fs(model_url)
    monkeypatch.setattr(type(fs), "get", None)
    assert folder_here(model_url) == folder
    coder = RegisteredCoder.of(model_place(model_url))
    assert coder.folder == model_url  # each worker makes a copy of its own
    assert coder.key == RegisteredCoder.of(tiny_world.model).key
    assert coder.preset.name == "tiny"
    assert coder.load("cpu").schema == PRESET.state.build()
    monkeypatch.undo()
    # other content is another model
    fs.pipe_file(f"{root}/manifest.json", fs.cat_file(f"{root}/manifest.json") + b"\n")
    assert folder_here(model_url) != folder


def test_a_model_that_is_damaged_or_absent(model_url):
    fs, root = fsspec.core.url_to_fs(model_url)
    fs.pipe_file(f"{root}/autoencoder.safetensors", b"nothing")
    with pytest.raises(IntegrityError, match=r"autoencoder\.safetensors is damaged"):
        RegisteredCoder.of(model_url)
    with pytest.raises(InputError, match=r"no manifest\.json at memory://.*/other"):
        model_folder(f"{model_url}/other")
    with pytest.raises(InputError, match="cannot use nosuch://x"):
        model_folder("nosuch://x")


def test_text_is_written_where_one_says(tmp_path):
    url = f"memory://{uuid.uuid4().hex}/a/b.txt"
    for place in (url, str(tmp_path / "a" / "b.txt"), f"file://{tmp_path}/c/b.txt"):
        write_text(place, "first")
        write_text(place, "häuser")
        with fsspec.open(place) as handle:
            assert handle.read().decode() == "häuser"
    assert not [p for p in tmp_path.rglob(".*") if p.is_file()]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_text(str(tmp_path / "file" / "x.txt"), "")
    with pytest.raises(InputError, match="cannot use nosuch://x"):
        write_text("nosuch://x", "")


def test_folders_for_people_are_on_this_machine():
    """Rather than a folder that is called `s3:`."""
    for text in ("results", "/a/b", "file:///a/b"):
        assert local_folder(text) == text.removeprefix("file://")
    with pytest.raises(argparse.ArgumentTypeError, match="on this machine, got s3://bucket/x"):
        local_folder("s3://bucket/x")
