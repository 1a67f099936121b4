"""Speed of the data plane: `python -m benchmarks.data --output docs/data_speed.md`.

Ratios measured in one run, against plain zarr copying the same bytes and against the bare network
on data in memory. What is compared takes turns; the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import zarr

from appa_core.config.build import build_autoencoder
from appa_core.config.presets import Preset, load_preset
from appa_core.io.cube import Cube
from appa_core.io.sources import SourceSpec
from appa_core.schema import StateSchema
from appa_core.steps.coder import Coder, CoderReference, RegisteredCoder
from appa_core.steps.encode import EncodeJob, encode_unit, plan_encode
from appa_core.steps.ingest import IngestJob, ingest_unit, plan_ingest
from appa_core.steps.statistics import statistics_parts, sum_part
from tasks.catalog import model_folder

PAGE = """\
# Speed of the data plane

Made by `python -m benchmarks.data --output docs/data_speed.md`. {setting}

`bare zarr` reads every chunk of the source and writes it to new arrays with zarr's own defaults,
one state a chunk, and does nothing else. Rates are medians of {rounds} rounds that took turns.

{table}

Ten times the period, each in a new process: {growth}.
"""
START = pd.Timestamp("2020-01-01")
_MEANS = {"temperature": 260.0, "2m_temperature": 285.0, "mean_sea_level_pressure": 101_000.0}
_SPREAD = {"geopotential": 100.0, "mean_sea_level_pressure": 500.0, "specific_humidity": 1e-4}


def wide_preset(latitudes: int, longitudes: int) -> Preset:
    """The preset `small` on another grid, with ERA5's 13 levels and one normalisation for all."""
    preset = load_preset("small")
    levels = (50, 100, 150, 200, 250, 300, 400, 500, 600, 700, 850, 925, 1000)
    changes = {"latitudes": latitudes, "longitudes": longitudes, "levels_hpa": levels}
    return preset.model_copy(
        update={
            "state": preset.state.model_copy(update=changes),
            "normalisation": preset.normalisation.model_copy(update={"kind": "global"}),
            "data": preset.data.model_copy(update={"block_states": 16}),
            "autoencoder": preset.autoencoder.model_copy(update={"channel_weights": {}}),
            "split": preset.split.model_copy(
                update={
                    "train_start": START.date(),
                    "validation_start": (START + pd.Timedelta(days=24)).date(),
                    "test_start": (START + pd.Timedelta(days=40)).date(),
                }
            ),
        }
    )


def write_source(path: Path, schema: StateSchema, states: int) -> SourceSpec:
    """Noise about plausible means, one state a chunk."""
    root = zarr.open_group(path, mode="w")
    rng = np.random.default_rng(0)
    axes = {
        "time": np.arange(states) * schema.step_hours,
        "latitude": np.asarray(schema.grid.latitudes),
        "longitude": np.asarray(schema.grid.longitudes),
        "level": np.asarray(schema.levels),
    }
    for name, values in axes.items():
        root.create_array(name, data=values, dimension_names=[name])
    root["time"].attrs["units"] = f"hours since {START:%Y-%m-%d}"
    root["level"].attrs["units"] = "hPa"
    levels = np.asarray(schema.levels)[:, None, None]
    heights = 9.80665 * 44_331 * (1 - (levels / 1013.25) ** 0.19026)
    for name in schema.variables:
        upper = any(c.variable == name and c.level is not None for c in schema.channels)
        shape = ((len(schema.levels),) if upper else ()) + schema.grid.shape
        dims = ["time", *(["level"] if upper else []), "latitude", "longitude"]
        array = root.create_array(
            name, shape=(states, *shape), chunks=(1, *shape), dtype="f4", dimension_names=dims
        )
        array.attrs["units"] = next(c.units for c in schema.channels if c.variable == name)
        base = heights if name == "geopotential" else _MEANS.get(name, 0.0)
        for i in range(states):
            noise = np.abs(rng.standard_normal(shape, np.float32))
            array[i] = (base + _SPREAD.get(name, 1e-3) * noise).astype(np.float32)
    return SourceSpec(name="benchmark", format="zarr", urls=(str(path),), fingerprint="benchmark")


def copy_bare(source: Path, target: Path) -> None:
    """Every chunk from one store to another, as plainly as zarr does it."""
    shutil.rmtree(target, ignore_errors=True)
    read, write = zarr.open_group(source, mode="r"), zarr.open_group(target, mode="w")
    for name, array in read.arrays():
        copy = write.create_array(name, shape=array.shape, chunks=array.chunks, dtype=array.dtype)
        for i in range(0, array.shape[0], array.chunks[0]):
            copy[i : i + array.chunks[0]] = array[i : i + array.chunks[0]]


def ingest_all(job: IngestJob, states: int) -> Cube:
    """Ingest all states of a source, in this process."""
    end = START + states * pd.Timedelta(hours=job.schema.step_hours)
    for unit in plan_ingest(job, START, end):
        ingest_unit(unit)
    return job.cube()


def seconds(call: Callable[[], object]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@dataclass
class Rounds:
    """Wall times of calls that take turns."""

    calls: dict[str, Callable[[], object]]
    count: int

    def medians(self) -> dict[str, float]:
        """Median seconds by name."""
        times: dict[str, list[float]] = {name: [] for name in self.calls}
        for _ in range(self.count):
            for name, call in self.calls.items():
                times[name].append(seconds(call))
        return {name: statistics.median(values) for name, values in times.items()}


def measure_stores(folder: Path, states: int, rounds: int) -> tuple[dict[str, float], str]:
    """Rates against bare zarr, and what they were measured on."""
    preset, coarse = wide_preset(64, 128), wide_preset(32, 64)
    schema = preset.state.build()
    source = write_source(folder / "source.zarr", schema, states)

    def job(name: str, onto: StateSchema) -> IngestJob:
        shutil.rmtree(folder / name, ignore_errors=True)
        return IngestJob(str(folder / name), source, onto, preset.data.block_states)

    cube = ingest_all(job("kept", schema), states)

    def normalise() -> None:
        shutil.rmtree(folder / "kept" / "statistics-part", ignore_errors=True)
        for part in statistics_parts(str(folder / "kept"), preset, cube.url):
            sum_part(part)

    medians = Rounds(
        {
            "bare zarr": lambda: copy_bare(folder / "source.zarr", folder / "copy.zarr"),
            "ingest": lambda: ingest_all(job("same", schema), states),
            "ingest, regridded": lambda: ingest_all(job("other", coarse.state.build()), states),
            "normalise": normalise,
        },
        rounds,
    ).medians()
    size = states * len(schema.channels) * np.prod(schema.grid.shape) * 4
    setting = (
        f"{states} states of {len(schema.channels)} fields on 128 x 64 ({size / 1e6:.0f} MB), "
        "also regridded to 64 x 32; "
        f"{torch.get_num_threads()} threads."
    )
    return {name: size / 1e6 / value for name, value in medians.items()}, setting


@dataclass(frozen=True)
class WideCoder:
    """The registered coder with a wider, untrained autoencoder: more arithmetic for each byte."""

    registered: RegisteredCoder
    hidden: int = 512
    blocks: int = 4

    @property
    def key(self) -> str:
        """Identity."""
        return f"{self.registered.key}-{self.hidden}-{self.blocks}"

    @property
    def preset(self) -> Preset:
        """The registered model's, with other sizes."""
        preset = self.registered.preset
        sizes = {"hidden_channels": self.hidden, "blocks": self.blocks}
        wide = preset.autoencoder.model_copy(update=sizes)
        return preset.model_copy(update={"autoencoder": wide})

    def load(self, device: str) -> Coder:
        """The networks."""
        return _wide(self, device)


@lru_cache
def _wide(reference: WideCoder, device: str) -> Coder:
    autoencoder = build_autoencoder(reference.preset).to(device).eval()
    return replace(reference.registered.load(device), autoencoder=autoencoder)


def measure_encoding(
    folder: Path, coder: CoderReference, states: int, rounds: int
) -> tuple[float, float]:
    """States a second: bare network on data in memory, and encoding from store to store."""
    schema, store = coder.preset.state.build(), folder / "encode"
    shutil.rmtree(store, ignore_errors=True)
    source = write_source(store / "source.zarr", schema, states)
    cube = ingest_all(IngestJob(str(store), source, schema, 160), states)
    times = cube.times()
    network = coder.load("cpu")
    memory = network.standardised(cube, times)

    def encode() -> None:
        shutil.rmtree(store / "latents", ignore_errors=True)
        job = EncodeJob(str(store), cube.url, coder)
        for unit in plan_encode(job, times[0], times[-1] + pd.Timedelta(hours=1)):
            encode_unit(unit)

    medians = Rounds({"bare": lambda: network.encode(memory), "encode": encode}, rounds).medians()
    return states / medians["bare"], states / medians["encode"]


def peak_memory() -> float:
    """Most memory that this process had, MiB (Linux; a new process counts from zero)."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def _grown(folder: str, states: int) -> tuple[float, float]:
    """Seconds and largest memory in MiB of ingesting so many states."""
    schema = load_preset("small").state.build()
    source = SourceSpec("grown", "zarr", (f"{folder}/grown.zarr",), fingerprint="grown")
    job = IngestJob(f"{folder}/grown-{states}", source, schema, 40)
    spent = seconds(lambda: ingest_all(job, states))
    return spent, peak_memory()


def measure_growth(folder: Path, states: int) -> str:
    """Time and memory of a period and of one ten times as long."""
    write_source(folder / "grown.zarr", load_preset("small").state.build(), 10 * states)
    results = []
    for count in (states, 10 * states):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            results.append(pool.apply(_grown, (str(folder), count)))
    (short, small), (long, large) = results
    return (
        f"{long / short:.1f} times the seconds ({short:.1f} and {long:.1f}), "
        f"{large / small:.2f} times the memory ({small:.0f} and {large:.0f} MiB)"
    )


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rates, setting = measure_stores(folder, arguments.states, arguments.rounds)
        small = RegisteredCoder.of(model_folder("small"))
        encodings = {
            name: measure_encoding(folder, coder, states, arguments.rounds)
            for name, coder, states in (
                ("`small`", small, 8 * arguments.states),
                ("512 channels, 4 blocks, untrained", WideCoder(small), 2 * arguments.states),
            )
        }
        growth = measure_growth(folder, 2 * arguments.states)
    lines = ["| what | rate | ratio |", "|---|---|---|"]
    for name, rate in rates.items():
        lines.append(f"| {name} | {rate:.0f} MB/s | {rate / rates['bare zarr']:.2f} |")
    for name, (bare, encoded) in encodings.items():
        lines.append(f"| network alone, {name} | {bare:.0f} states/s | 1.00 |")
        lines.append(f"| encode, {name} | {encoded:.0f} states/s | {encoded / bare:.2f} |")
    text = PAGE.format(
        setting=setting, rounds=arguments.rounds, table="\n".join(lines), growth=growth
    )
    sys.stdout.write(text)
    if arguments.output:
        arguments.output.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
