"""A tiny trained model and sample, made once for the tests that need one."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from appa_core.io.cube import Cube
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.steps.coder import TrainedCoder
from appa_core.steps.encode import EncodeJob, encode_unit, plan_encode
from appa_core.steps.ingest import IngestJob, ingest_unit, plan_ingest
from appa_core.steps.latents import fit_latent_statistics
from appa_core.steps.reconstruction import fit_reconstruction
from appa_core.steps.register import TrainedParts, register_model
from appa_core.steps.sample import pack_sample
from appa_core.steps.simulate import nature_source
from appa_core.steps.statistics import merge_statistics, statistics_parts, sum_part
from appa_core.steps.train_autoencoder import autoencoder_job
from appa_core.steps.train_denoiser import denoiser_job
from appa_core.steps.training import run_training
from tests.synthetic import synthetic_chunks, tiny_preset


@dataclass(frozen=True)
class TinyWorld:
    """A model trained for seconds on synthetic waves, and a sample to forecast from."""

    model: Path
    sample: Path
    store: ArtifactStore
    states: str
    statistics: Artifact
    latents: Cube
    latent_statistics: Artifact


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory) -> TinyWorld:
    root = tmp_path_factory.mktemp("world")
    store, preset = ArtifactStore(root / "store"), tiny_preset()
    chunks = synthetic_chunks(store, preset)
    period = pd.Timestamp(preset.split.train_start), pd.Timestamp(preset.split.test_start)
    job = IngestJob(store.url, nature_source(chunks), preset.state.build(), 40)
    for unit in plan_ingest(job, *period):
        ingest_unit(unit)
    states = job.cube()
    sums = statistics_parts(store.url, preset, states.url)
    for part in sums:
        sum_part(part)
    statistics = merge_statistics(sums)
    autoencoder = run_training(store, autoencoder_job(preset, states, statistics))
    encoding = EncodeJob(store.url, states.url, TrainedCoder(preset, statistics, autoencoder))
    for block in plan_encode(encoding, *period):
        encode_unit(block)
    latents = encoding.cube()
    latent_statistics = fit_latent_statistics(store, preset, latents)
    denoiser = run_training(store, denoiser_job(preset, latents, latent_statistics))
    lost = fit_reconstruction(store, encoding.coder, states)
    parts = TrainedParts(statistics, autoencoder, lost, latent_statistics, denoiser)
    register_model(root / "model", preset, parts, latents, "waves")
    pack_sample(root / "sample", chunks, pd.Timestamp("2012-02-01"), pd.Timestamp("2012-02-20"))
    return TinyWorld(
        root / "model", root / "sample", store, states.url, statistics, latents, latent_statistics
    )
