"""Speed of the data plane: `python -m benchmarks.data --output docs/data_speed.md`.

Ratios measured in one run, against plain zarr copying the same bytes and against the bare network
on data in memory. What is compared takes turns; the median of the rounds counts. Run it on a
machine that does nothing else.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import zarr
from zarr.codecs import BloscCodec

from appa_core.config.presets import Preset, load_preset
from appa_core.io.sources import SourceSpec
from appa_core.schema import StateSchema
from appa_core.steps.coder import RegisteredCoder
from appa_core.steps.ingest import IngestJob
from appa_core.steps.statistics import statistics_parts, sum_part
from benchmarks.encoding import EncodingRates, WideCoder, measure_encoding
from benchmarks.memory import peak_memory
from benchmarks.stores import START, ingest_all, seconds, write_source
from tasks.catalog import model_folder

_BLOCK = 16
#: What the project asks for, as shares of the rate of bare zarr, or of the network alone.
BARS = {"ingest": 0.6, "ingest, regridded": 0.4, "normalise": 0.6, "encode": 0.85}
# of cubes: see ADR 7
_CODEC = BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")
PAGE = """\
# Speed of the data plane

Made by `python -m benchmarks.data --output docs/data_speed.md`. {setting}

`bare zarr` reads the source and writes it to new arrays, {block} states at a time, one state a
chunk, and does nothing else: with zarr's own codec, and with the one of cubes. Ingestion also
checks values, hashes, and brings the bytes to the disk before it goes on (fsync); normalisation
reads and sums. Rates are of the source's bytes, medians of {rounds} rounds that took turns; ratios
are to the faster of the two. `bar` is what the project asks for.

{stores}

Encoding reads states from a cube, standardises them, and writes latents to another, on {cores}
workers that run already. The network alone has standardised states in memory: one batch after
another with all cores for each, as torch does it by itself, and {cores} batches at a time with a
core for each. The bar is to the first.

{encodings}

Ten times the period, each in a new process: {growth}.
"""


def wide_preset(latitudes: int, longitudes: int) -> Preset:
    """The preset `small` on another grid, with ERA5's 13 levels and one normalisation for all."""
    preset = load_preset("small")
    levels = (50, 100, 150, 200, 250, 300, 400, 500, 600, 700, 850, 925, 1000)
    changes = {"latitudes": latitudes, "longitudes": longitudes, "levels_hpa": levels}
    return preset.model_copy(
        update={
            "state": preset.state.model_copy(update=changes),
            "normalisation": preset.normalisation.model_copy(update={"kind": "global"}),
            "data": preset.data.model_copy(update={"block_states": _BLOCK}),
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


def copy_bare(source: Path, target: Path, **settings: Any) -> None:
    """All arrays from one store to another, as plainly as zarr does it."""
    shutil.rmtree(target, ignore_errors=True)
    read, write = zarr.open_group(source, mode="r"), zarr.open_group(target, mode="w")
    for name, array in read.arrays():
        copy = write.create_array(
            name, shape=array.shape, chunks=array.chunks, dtype=array.dtype, **settings
        )
        for i in range(0, array.shape[0], _BLOCK * array.chunks[0]):
            copy[i : i + _BLOCK * array.chunks[0]] = array[i : i + _BLOCK * array.chunks[0]]


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
            "bare zarr, the cube's codec": lambda: copy_bare(
                folder / "source.zarr", folder / "copy.zarr", compressors=_CODEC
            ),
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


def stores_table(rates: Mapping[str, float]) -> str:
    """Rates in MB/s by name, with their ratios to the faster copy."""
    fastest = max(rate for name, rate in rates.items() if name.startswith("bare"))
    rows = [
        (name, f"{rate:.0f} MB/s", rate / fastest, BARS.get(name)) for name, rate in rates.items()
    ]
    return _table(("what", "rate", "ratio", "bar"), rows)


def encodings_table(rates: Mapping[str, EncodingRates]) -> str:
    """Rates in states a second, by network."""
    rows = []
    for name, rate in rates.items():
        pairs = (
            ("network alone, all cores", rate.alone, None),
            ("network alone, a core for each", rate.side_by_side, None),
            ("encode", rate.encode, BARS["encode"]),
        )
        rows += [
            (f"{what}, {name}", f"{value:.0f} states/s", value / rate.alone, bar)
            for what, value, bar in pairs
        ]
    return _table(("what", "rate", "ratio", "bar"), rows)


def _table(head: Sequence[str], rows: Iterable[tuple[str, str, float, float | None]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name, rate, ratio, bar in rows:
        lines.append(f"| {name} | {rate} | {ratio:.2f} | {'' if bar is None else f'{bar:.2f}'} |")
    return "\n".join(lines)


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=96, help="at least 96")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if arguments.states < 96:
        parser.error("the training period of the benchmark has 96 states")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rates, setting = measure_stores(folder, arguments.states, arguments.rounds)
        small = RegisteredCoder.of(model_folder("small"))
        encodings = {
            name: measure_encoding(folder, coder, states, arguments.rounds)
            for name, coder, states in (
                ("`small`", small, 20 * arguments.states),
                ("512 channels, 4 blocks, untrained", WideCoder(small), 2 * arguments.states),
            )
        }
        growth = measure_growth(folder, 2 * arguments.states)
    text = PAGE.format(
        setting=setting,
        rounds=arguments.rounds,
        block=_BLOCK,
        cores=os.cpu_count() or 1,
        stores=stores_table(rates),
        encodings=encodings_table(encodings),
        growth=growth,
    )
    sys.stdout.write(text)
    if arguments.output:
        arguments.output.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
