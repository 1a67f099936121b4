"""Tasks from a source of states to registered weights. They exchange references only."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE
from tqdm import tqdm

from appa_core.config.presets import Preset
from appa_core.io.cds import CdsSource
from appa_core.io.cube import Cube
from appa_core.io.events import TRAINED, tell
from appa_core.io.lock import StoreLock
from appa_core.io.places import write_text
from appa_core.io.sources import SourceSpec
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.steps import (
    encode,
    ingest,
    latents,
    reconstruction,
    sample,
    statistics,
)
from appa_core.steps.coder import TrainedCoder
from appa_core.steps.register import TrainedParts, register_model
from appa_core.steps.simulate import simulate_nature_run
from appa_core.steps.training import Progress
from appa_core.steps.worker import TrainingOrder
from tasks.cluster import ClusterSettings, run_units
from tasks.launch import LaunchSettings, launch
from tasks.showing import LiveCurve
from tasks.training_log import shown


@task(cache_policy=NO_CACHE)
def simulate(store: str, preset: Preset, end: pd.Timestamp) -> list[Artifact]:
    """Simulate the nature run until a time; chunks that exist are kept."""
    config = preset.simulated()
    days = (end - pd.Timestamp(config.start)).days
    total = -(-days // config.chunk_days)
    chunks = simulate_nature_run(ArtifactStore(store), config, preset.state.build(), end)
    return list(tqdm(chunks, total=total, desc="simulating", unit="chunk"))


@task(cache_policy=NO_CACHE)
def fetch(
    source: CdsSource, store: str, preset: Preset, start: pd.Timestamp, end: pd.Timestamp
) -> SourceSpec:
    """Download what a source makes on demand into the store's cache; what is there is kept."""
    schema = preset.state.build()
    times = pd.date_range(start, end, freq=f"{schema.step_hours}h", inclusive="left")
    return source.fetch(schema, times, source.cache or f"{ArtifactStore(store).url}/cds")


@task(cache_policy=NO_CACHE)
def ingest_states(
    job: ingest.IngestJob,
    start: pd.Timestamp,
    end: pd.Timestamp,
    cluster: ClusterSettings,
    *,
    verify: bool = True,
) -> str:
    """Bring the states of [start, end) into their cube; returns its URL."""
    cube = job.cube()
    with StoreLock(cube.url) as lock:
        units = ingest.plan_ingest(job, start, end, verify=verify)
        cube.prepare([unit.block for unit in units])
        run_units(ingest.ingest_unit, units, cluster, "ingesting", lock.check)
    return cube.url


@task(cache_policy=NO_CACHE)
def fit_statistics(store: str, preset: Preset, states: str, cluster: ClusterSettings) -> Artifact:
    """Fit the normalisation on the training period."""
    parts = statistics.statistics_parts(store, preset, states)
    missing = statistics.missing_parts(parts)
    run_units(statistics.sum_part, missing, cluster, "statistics")
    return statistics.merge_statistics(parts)


@task(cache_policy=NO_CACHE)
def fit_network(order: TrainingOrder, settings: LaunchSettings, logs: str) -> Artifact:
    """Train a network, from its last checkpoint if there is one.

    Args:
        order: Which network, on what.
        settings: Where it is trained.
        logs: Folder of files for TensorBoard.
    """
    job = order.job()
    curve = LiveCurve(f"{order.network} of {order.preset.name}")
    with shown(job.recipe.step, Path(logs) / f"{job.recipe.step}-{job.recipe.key[:12]}") as show:

        def observe(progress: Progress) -> None:
            tell(
                TRAINED,
                step=job.recipe.step,
                key=job.recipe.key,
                iteration=progress.iteration,
                loss=progress.loss,
                samples_per_second=progress.samples_per_second,
            )
            show(progress)
            curve(progress)

        return launch(order, settings, observe)


@task(cache_policy=NO_CACHE)
def encode_states(
    job: encode.EncodeJob,
    start: pd.Timestamp,
    end: pd.Timestamp,
    cluster: ClusterSettings,
    *,
    verify: bool = True,
) -> str:
    """Encode the states of [start, end); returns the URL of the cube of latents."""
    cube = job.cube()
    with StoreLock(cube.url) as lock:
        units = encode.plan_encode(job, start, end, verify=verify)
        cube.prepare([unit.block for unit in units])
        run_units(encode.encode_unit, units, cluster, "encoding", lock.check)
    return cube.url


@task(cache_policy=NO_CACHE)
def measure_reconstruction(
    job: encode.EncodeJob,
    start: pd.Timestamp,
    end: pd.Timestamp,
    cluster: ClusterSettings,
    report: str,
) -> str:
    """Decode the latents of [start, end), compare with their states, and write a table of it."""
    blocks = job.cube().blocks(start, end)
    units = [encode.EncodeUnit(job, block, "compare") for block in blocks]
    errors = run_units(encode.reconstruction_errors, units, cluster, "decoding")
    write_text(report, encode.reconstruction_table(job, errors).to_csv(index=False))
    return report


@task(cache_policy=NO_CACHE)
def fit_reconstruction(store: str, coder: TrainedCoder, states: str) -> Artifact:
    """Measure what an autoencoder loses of held-out states."""
    return reconstruction.fit_reconstruction(ArtifactStore(store), coder, Cube.load(states))


@task(cache_policy=NO_CACHE)
def fit_latent_statistics(store: str, preset: Preset, encoded: str) -> Artifact:
    """Fit mean and spread of latents on the training period."""
    return latents.fit_latent_statistics(ArtifactStore(store), preset, Cube.load(encoded))


@task(cache_policy=NO_CACHE)
def fit_background(store: str, preset: Preset, encoded: str, fitted: Artifact) -> Artifact:
    """Estimate the background covariance of blankets from the training period."""
    return latents.fit_background(
        ArtifactStore(store), preset, Cube.load(encoded), fitted, states=preset.denoiser.states
    )


@task(cache_policy=NO_CACHE)
def register(
    folder: str, preset: Preset, parts: TrainedParts, encoded: str, trained_on: str
) -> str:
    """Write a model's folder; returns the model's key."""
    return register_model(Path(folder), preset, parts, Cube.load(encoded), trained_on)


@task(cache_policy=NO_CACHE)
def pack_sample(
    folder: str, chunks: list[Artifact], start: pd.Timestamp, end: pd.Timestamp
) -> str:
    """Pack a stretch of the nature run."""
    sample.pack_sample(Path(folder), chunks, start, end)
    return folder
