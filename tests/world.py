"""A tiny trained model and sample, made once for the tests that need one."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from appa_core.io.store import ArtifactStore
from appa_core.steps.encode import encode_states
from appa_core.steps.models import TrainedParts, register_model
from appa_core.steps.sample import pack_sample
from appa_core.steps.statistics import fit_statistics
from appa_core.steps.train_autoencoder import train_autoencoder
from appa_core.steps.train_denoiser import train_denoiser
from tests.synthetic import synthetic_chunks, tiny_preset


@dataclass(frozen=True)
class TinyWorld:
    """A model trained for seconds on synthetic waves, and a sample to forecast from."""

    model: Path
    sample: Path
    store: ArtifactStore


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory) -> TinyWorld:
    root = tmp_path_factory.mktemp("world")
    store, preset = ArtifactStore(root / "store"), tiny_preset()
    chunks = synthetic_chunks(store, preset)
    statistics = fit_statistics(store, preset, chunks)
    autoencoder = train_autoencoder(store, preset, chunks, statistics)
    latents = encode_states(store, preset, chunks, statistics, autoencoder)
    denoiser = train_denoiser(store, preset, latents)
    parts = TrainedParts(statistics, autoencoder, latents, denoiser)
    register_model(root / "model", preset, parts)
    pack_sample(root / "sample", chunks, pd.Timestamp("2012-02-01"), pd.Timestamp("2012-02-20"))
    return TinyWorld(root / "model", root / "sample", store)
