"""Tasks from the nature run to registered weights."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE
from tqdm import tqdm

from appa_core.config.presets import Preset
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.steps import encode, models, sample, statistics, train_autoencoder, train_denoiser
from appa_core.steps.simulate import simulate_nature_run


@task(cache_policy=NO_CACHE)
def simulate(store: str, preset: Preset, end: pd.Timestamp) -> list[Artifact]:
    """Simulate the nature run until a time; chunks that exist are kept."""
    config = preset.nature
    days = (end - pd.Timestamp(config.start)).days
    total = -(-days // config.chunk_days)
    chunks = simulate_nature_run(ArtifactStore(store), config, preset.state.build(), end)
    return list(tqdm(chunks, total=total, desc="simulating", unit="chunk"))


@task(cache_policy=NO_CACHE)
def fit_statistics(store: str, preset: Preset, chunks: list[Artifact]) -> Artifact:
    """Fit the normalisation on the training period."""
    return statistics.fit_statistics(ArtifactStore(store), preset, chunks)


@task(cache_policy=NO_CACHE)
def fit_autoencoder(
    store: str, preset: Preset, chunks: list[Artifact], fitted: Artifact, seed: int
) -> Artifact:
    """Train the autoencoder, from its last checkpoint if there is one."""
    target = ArtifactStore(store)
    return train_autoencoder.train_autoencoder(target, preset, chunks, fitted, seed)


@task(cache_policy=NO_CACHE)
def encode_states(
    store: str, preset: Preset, chunks: list[Artifact], fitted: Artifact, autoencoder: Artifact
) -> Artifact:
    """Encode training and validation periods."""
    return encode.encode_states(ArtifactStore(store), preset, chunks, fitted, autoencoder)


@task(cache_policy=NO_CACHE)
def fit_denoiser(store: str, preset: Preset, latents: Artifact, seed: int) -> Artifact:
    """Train the denoiser, from its last checkpoint if there is one."""
    return train_denoiser.train_denoiser(ArtifactStore(store), preset, latents, seed)


@task(cache_policy=NO_CACHE)
def register(folder: str, preset: Preset, parts: models.TrainedParts) -> str:
    """Write a model's folder; returns the model's key."""
    return models.register_model(Path(folder), preset, parts)


@task(cache_policy=NO_CACHE)
def pack_sample(
    folder: str, chunks: list[Artifact], start: pd.Timestamp, end: pd.Timestamp
) -> str:
    """Pack a stretch of the nature run."""
    sample.pack_sample(Path(folder), chunks, start, end)
    return folder
