"""The flows around ingested states: normalise, encode with a report, and the whole pipeline."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from prefect.testing.utilities import prefect_test_harness

from appa_core.config.presets import load_preset
from appa_core.errors import InputError
from appa_core.io.cube import Cube
from appa_core.steps.coder import RegisteredCoder
from appa_core.steps.encode import EncodeJob
from appa_core.steps.ingest import ingested_states
from flows.encode import encode
from flows.ingest import ingest
from flows.normalize import normalize, normalize_latents
from flows.pipeline import pipeline
from tasks.cluster import ClusterSettings

START, END = pd.Timestamp("2023-12-15"), pd.Timestamp("2024-01-24")


@pytest.fixture(scope="module", autouse=True)
def prefect():
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="module")
def preset():
    return load_preset("tiny")


@pytest.fixture(scope="module")
def store(tmp_path_factory, preset):
    """The training period of the sample, ingested."""
    folder = str(tmp_path_factory.mktemp("store"))
    ingest(preset, folder, "sample", START, END)
    return folder


def test_normalise_anywhere_gives_the_same(preset, store):
    here = normalize(preset, store, "sample")
    assert here.summary["states"] == 160
    assert 2 < here.summary["std"]["temperature_850"] < 10
    other = store + "-other"
    ingest(preset, other, "sample", START, END)
    there = normalize(preset, other, "sample", cluster=ClusterSettings(workers=2))
    assert there.digest == here.digest


def test_what_was_not_ingested_is_named_with_the_command(preset, tmp_path):
    with pytest.raises(InputError, match=r"python -m flows\.ingest --source sample --preset tiny"):
        normalize(preset, str(tmp_path), "sample")


def test_encode_reports_what_is_lost(preset, store, tiny_world, tmp_path):
    states = ingested_states(store, "sample", preset)
    job = EncodeJob(store, states.url, RegisteredCoder.of(tiny_world.model))
    report = tmp_path / "errors.csv"
    stop = START + pd.Timedelta(days=20)
    url = encode(job, START, stop, report=str(report))
    latents = Cube.load(url)
    assert not latents.gaps(START, stop)
    assert latents.read(latents.times()[:1])["latent"].shape == (1, 24, 8, 16)
    table = pd.read_csv(report)
    assert list(table["channel"]) == list(preset.state.build().names)
    assert (table["rmse_std"] > 0).all()
    digest = latents.digest()
    assert Cube.load(encode(job, START, stop)).digest() == digest


def test_latents_of_a_model_are_normalised_over_its_training_period(tiny_world, tmp_path):
    coder = RegisteredCoder.of(tiny_world.model)
    job = EncodeJob(str(tmp_path), tiny_world.states, coder)
    with pytest.raises(InputError, match=r"encode them first: python -m flows\.encode"):
        normalize_latents(job.store, job)
    split = coder.preset.split
    start, middle, end = (
        pd.Timestamp(t) for t in (split.train_start, split.validation_start, split.test_start)
    )
    encode(job, start, middle)
    fitted, background = normalize_latents(job.store, job)
    assert fitted.summary["values_by_channel"] == (middle - start).days * 4 * 8 * 16
    assert background.summary["patterns"] == 32
    assert background.manifest["parents"] == {"statistics": fitted.key}
    # what lies outside the training period changes nothing
    encode(job, middle, end)
    assert [a.key for a in normalize_latents(job.store, job)] == [fitted.key, background.key]


def test_the_pipeline_ends_in_a_scored_forecast_and_is_reused(tmp_path, preset, monkeypatch):
    def run():
        return pipeline(
            preset, str(tmp_path / "store"), str(tmp_path / "model"), output=str(tmp_path / "out")
        )

    first = run()
    scores = pd.read_csv(first.output / "scores.csv")
    assert set(scores["lead_hours"]) == set(range(6, 49, 6))
    assert np.isfinite(scores["rmse"]).all()
    fields = xr.open_zarr(first.output / "forecast.zarr")
    assert str(fields["init_time"].values[0])[:13] == "2024-02-03T06"
    assert "Simulated" in fields.attrs["source"]
    for name in ("ingest.ingest_unit", "encode.encode_unit", "statistics.sum_part"):
        monkeypatch.setattr(f"appa_core.steps.{name}", None)
    monkeypatch.setattr("appa_core.steps.training.Trainer", None)
    assert run().digest == first.digest
