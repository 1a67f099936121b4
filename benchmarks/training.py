"""Speed of training: `python -m benchmarks.training --output docs/training_speed.md`.

The project's training, reading its data from the stores, against a bare loop over the same module
and optimiser with data in memory, in one run and in turns; networks of `small`, data that ship.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.nn import functional as F

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
from tasks.launch import LaunchSettings
from tasks.memory import KEEP_MEMORY

PAGE = """\
# Speed of training

Made by `python -m benchmarks.training --output docs/training_speed.md`. Networks of `small`,
batches of 16, {threads} threads, in the environment of training processes.

`bare loop`: forward, backward, clipping and optimiser step of the same module on batches in
memory. `training`: the project's, with its data read from the stores (in the page cache), noise
drawn, averaged weights and finite losses checked; checkpoints and validation are left out. Rates
(samples/s) are medians of {rounds} rounds that took turns; the ratio is the median of theirs, with
the lowest and the highest. Both multiply in the precision of the preset. Utilisation: operations
of the network (`python -m flows.size`) over those of the faster of {probes}, in that precision
and in the same run: {peaks}.

| network | precision | bare loop | training | ratio | utilisation, bare | utilisation, training |
|---|---|---|---|---|---|---|
{table}
"""
_WARM_UP = 3


@dataclass(frozen=True)
class Probe:
    """A kernel that networks spend their time in.

    Args:
        name: For the page.
        operations: Of a call, two for a multiplication and an addition.
        call: Runs it once.
    """

    name: str
    operations: int
    call: Callable[[], Any]


def probes(
    dtype: torch.dtype, size: int = 2048, channels: int = 256, rows: int = 34
) -> list[Probe]:
    """A product of matrices, and a convolution of as many operations or so.

    Both, because matrix libraries do not use what every processor offers.
    """
    a, b = torch.ones(2, size, size, dtype=dtype)
    x = torch.ones(4, channels, rows, 2 * rows - 2, dtype=dtype)
    w = torch.ones(channels, channels, 3, 3, dtype=dtype)
    places = 4 * (rows - 2) * (2 * rows - 4)
    return [
        Probe(f"a matrix product of {size} x {size}", 2 * size**3, lambda: a @ b),
        Probe(
            f"a 3 x 3 convolution of {channels} channels",
            2 * places * channels * channels * 9,
            lambda: F.conv2d(x, w),
        ),
    ]


def peak_flops(found: list[Probe], repeats: int = 20) -> float:
    """Operations a second of the fastest probe, at its best."""

    def best(probe: Probe) -> float:
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            probe.call()
            seconds.append(time.perf_counter() - started)
        return probe.operations / min(seconds)

    return max(best(probe) for probe in found)


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
    times, reduced = [], job.settings.precision != "float32"
    network.train()
    for batch in batches:
        with torch.autocast("cpu", job.settings.dtype, enabled=reduced):
            loss = lesson.loss(network, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), job.settings.clip_norm)
        for rated in optimisers:
            rated.optimiser.step()
            rated.optimiser.zero_grad(set_to_none=True)
        times.append(time.perf_counter())
    return _rate(job, times)


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
    return _rate(job, times[:-1])


def _rate(job: TrainingJob, times: list[float]) -> float:
    """Samples a second from the times at which iterations ended."""
    count = len(times) - 1 - _WARM_UP
    return job.lesson.batch_size * count / (times[-1] - times[_WARM_UP])


def compare(job: TrainingJob, iterations: int, rounds: int, run: RunSettings) -> list[list[float]]:
    """Rates of the bare loop and of the training in every round; who comes first alternates."""
    pairs = []
    for number in range(rounds):
        pair = [0.0, 0.0]
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            pair[which] = (
                bare_rate(job, iterations) if which == 0 else training_rate(job, iterations, run)
            )
        pairs.append(pair)
    return pairs


def table_row(
    name: str, precision: str, pairs: list[list[float]], operations: int, peak: float
) -> str:
    """A line of the page.

    Args:
        name: The network.
        precision: Of its products.
        pairs: Samples a second of the bare loop and of the training, by round.
        operations: Of training on one sample.
        peak: Operations a second that the machine offers.
    """
    bare, ours = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
    ratios = sorted(ours / bare for bare, ours in pairs)
    used = [f"{rate * operations / peak:.0%}" for rate in (bare, ours)]
    ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}, {ratios[-1]:.2f})"
    return f"| {name} | {precision} | {bare:.1f} | {ours:.1f} | {ratio} | {used[0]} | {used[1]} |"


def _as_trainings_run() -> None:
    """Start again in the environment of training processes, unless this is it."""
    if not set(KEEP_MEMORY) <= set(os.environ):
        environment = LaunchSettings().environment()
        arguments = [sys.executable, "-m", "benchmarks.training", *sys.argv[1:]]
        os.execve(sys.executable, arguments, environment)  # noqa: S606


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loader-workers", type=int, default=0)
    parser.add_argument("--networks", nargs="+", default=["autoencoder", "denoiser"])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    _as_trainings_run()
    run = RunSettings(loader_workers=arguments.loader_workers)
    preset, lines = shipped_preset(), []
    footprint, peaks = measure_footprint(preset), dict[str, float]()
    with tempfile.TemporaryDirectory() as scratch:
        for name, job in prepare(scratch, preset).items():
            if name in arguments.networks:
                iterations = 60 if name == "autoencoder" else 12
                pairs = compare(job, iterations, arguments.rounds, run)
                operations = getattr(footprint, name).training_flops
                precision, kernels = job.settings.precision, probes(job.settings.dtype)
                peaks[precision] = max(peaks.get(precision, 0.0), peak_flops(kernels))
                lines.append((name, precision, pairs, operations))
    text = PAGE.format(
        threads=torch.get_num_threads(),
        rounds=arguments.rounds,
        peaks=", ".join(f"{peak / 1e9:.0f} GFLOP/s in {name}" for name, peak in peaks.items()),
        probes=" and ".join(probe.name for probe in kernels),
        table="\n".join(table_row(*line, peaks[line[1]]) for line in lines),
    )
    sys.stdout.write(text)
    if arguments.output:
        arguments.output.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
