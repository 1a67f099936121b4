"""Speed of training: `python -m benchmarks.training --output docs/training_speed.md`.

The project's training, reading its data from the stores, against a bare loop over the same module
and optimiser with data in memory, in one run and in turns; networks of `small`, data that ship.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from appa_core.config.presets import Preset, load_preset
from appa_core.io.cube import Cube
from appa_core.io.sources import SourceSpec
from appa_core.io.store import ArtifactStore
from appa_core.steps.coder import RegisteredCoder
from appa_core.steps.encode import EncodeJob, encode_unit, plan_encode
from appa_core.steps.footprint import measure_footprint
from appa_core.steps.ingest import IngestJob, ingest_unit, plan_ingest
from appa_core.steps.latents import fit_latent_statistics
from appa_core.steps.statistics import merge_statistics, statistics_parts, sum_part
from appa_core.steps.train_autoencoder import autoencoder_job
from appa_core.steps.train_denoiser import denoiser_job
from appa_core.steps.training import Progress, TrainingJob, run_training
from appa_core.training.optimisers import build_optimisers
from appa_core.training.settings import RunSettings
from tasks.catalog import model_folder, resolve_source

PAGE = """\
# Speed of training

Made by `python -m benchmarks.training --output docs/training_speed.md`. Networks of `small`,
batches of 16, {threads} threads, float32. `bare loop`: forward, backward, clipping and optimiser
step of the same module on batches in memory. `training`: the project's, with its data read from
the stores, noise drawn, averaged weights and finite losses checked. Medians of {rounds} rounds in
turns; checkpoints and validation are left out. Utilisation: of {peak:.0f} GFLOP/s, the speed of a
matrix product of 2048 x 2048 in the same run.

| network | bare loop (samples/s) | training (samples/s) | ratio | utilisation |
|---|---|---|---|---|
{table}
"""
_WARM_UP = 2


def shipped_preset() -> Preset:
    """The networks of `small`, with the periods of the sample that ships."""
    small, tiny = load_preset("small"), load_preset("tiny")
    return small.model_copy(
        update={"split": tiny.split, "normalisation": tiny.normalisation, "data": tiny.data}
    )


def prepare(store: str, preset: Preset) -> dict[str, TrainingJob]:
    """Both trainings, with states and latents of the sample in a store."""
    start, end = pd.Timestamp(preset.split.train_start), pd.Timestamp(preset.split.test_start)
    source = resolve_source("sample")
    assert isinstance(source, SourceSpec)
    job = IngestJob(store, source, preset.state.build(), preset.data.block_states)
    for unit in plan_ingest(job, start, end):
        ingest_unit(unit)
    states = job.cube()
    parts = statistics_parts(store, preset, states.url)
    for part in parts:
        sum_part(part)
    coder = RegisteredCoder.of(model_folder("small"))
    encoding = EncodeJob(store, states.url, coder)
    for block in plan_encode(encoding, start, end):
        encode_unit(block)
    latents: Cube = encoding.cube()
    spread = fit_latent_statistics(ArtifactStore(store), preset, latents)
    return {
        "autoencoder": autoencoder_job(preset, states, merge_statistics(parts)),
        "denoiser": denoiser_job(preset, latents, spread),
    }


def bare_rate(job: TrainingJob, iterations: int) -> float:
    """Samples a second of a plain loop with its batches in memory."""
    lesson, network = job.lesson, job.lesson.network()
    optimisers = build_optimisers(network, job.settings)
    batches = [lesson.batch(i, range(lesson.batch_size)) for i in range(iterations)]
    times = []
    network.train()
    for batch in batches:
        lesson.loss(network, batch).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), job.settings.clip_norm)
        for rated in optimisers:
            rated.optimiser.step()
            rated.optimiser.zero_grad(set_to_none=True)
        times.append(time.perf_counter())
    return lesson.batch_size * (iterations - 1 - _WARM_UP) / (times[-1] - times[_WARM_UP])


def training_rate(job: TrainingJob, iterations: int, run: RunSettings) -> float:
    """Samples a second of the project's training."""
    times: list[float] = []

    def note(_: Progress) -> None:
        times.append(time.perf_counter())

    # the last iteration comes with a validation and a checkpoint; it is left out
    settings = replace(job.settings, iterations=iterations + 1)
    shortened = replace(job, settings=settings, checkpoint_every=iterations + 1)
    with tempfile.TemporaryDirectory() as scratch:
        run_training(ArtifactStore(scratch), shortened, run=run, observe=note)
    return job.lesson.batch_size * (iterations - 1 - _WARM_UP) / (times[-2] - times[_WARM_UP])


def peak_flops() -> float:
    """Operations a second of a large matrix product."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * 2048**3 / best


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loader-workers", type=int, default=0)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    run = RunSettings(loader_workers=arguments.loader_workers)
    preset, peak, lines = shipped_preset(), peak_flops(), []
    footprint = measure_footprint(preset)
    with tempfile.TemporaryDirectory() as scratch:
        for name, job in prepare(scratch, preset).items():
            iterations = 60 if name == "autoencoder" else 12
            pairs = [
                (bare_rate(job, iterations), training_rate(job, iterations, run))
                for _ in range(arguments.rounds)
            ]
            bare, ours = (statistics.median(p[i] for p in pairs) for i in (0, 1))
            used = ours * getattr(footprint, name).training_flops / peak
            lines.append(f"| {name} | {bare:.1f} | {ours:.1f} | {ours / bare:.2f} | {used:.0%} |")
    text = PAGE.format(
        threads=torch.get_num_threads(),
        rounds=arguments.rounds,
        peak=peak / 1e9,
        table="\n".join(lines),
    )
    sys.stdout.write(text)
    if arguments.output:
        arguments.output.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
