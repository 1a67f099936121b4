"""Time and memory of an evaluation, against plain xarray: `python -m benchmarks.verification`.

A synthetic ensemble of 30 days is written once; two processes of their own then compute the same
scores of it, by region and time: one as flows.evaluate does, in pieces that are kept in a store,
one with whole arrays in xarray and in the precision of the file. What they find is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.config.evaluation import EvaluationRequest
from appa_core.config.requests import forecast_request
from appa_core.io.datasets import write_zarr_blocks
from appa_core.io.forecasts import FieldSelection, trajectory_dataset
from appa_core.io.hashing import content_key
from appa_core.io.results import Result
from appa_core.io.store import write_atomically
from appa_core.schema import Grid, StateSchema
from appa_core.steps.evaluated import Evaluated
from appa_core.steps.evaluation_fields import (
    BLOCK_BYTES,
    STATISTICS,
    evaluate_fields,
    plan_fields,
)
from appa_core.steps.evaluation_scores import Pooling, score_table
from appa_core.steps.forecast import StateSource
from benchmarks import verification_plain
from benchmarks.memory import peak_memory

START = pd.Timestamp("2024-01-01")
EVENT = "2m_temperature>290"
#: Scores that both compute.
COMPARED = (
    "rmse", "bias", "mae", "spread", "crps", "crps_ensemble", "ssr", "energy", "variogram",
    "coverage:50", f"brier:{EVENT}",
)  # fmt: skip
PAGE = """\
# Speed of verification

Made by `python -m benchmarks.verification {options}`
on {machine}; each runs in a process of its own, one after the other.

A synthetic ensemble: {shape}. Both compute
{scores},
and rank histograms, of four regions over all times. Plain xarray holds all in memory, as float32,
and computes what is needed at every cell once for all regions. flows.evaluate reads what fits into
a block, sums in float64, and keeps its pieces in a store.

| | wall (s) | CPU (s) | peak memory (MiB) | of it after imports |
|---|---|---|---|---|
{rows}

flows.evaluate over plain xarray: {ratios}. (On a machine
that does other work too, CPU time is what can be compared.) Largest relative difference of a
score, in plain xarray's float32: {difference}.
"""


@dataclass(frozen=True)
class Case:
    """An ensemble to score.

    Args:
        days: Length, four states a day.
        members: Size.
        rows: Latitudes.
    """

    days: int = 30
    members: int = 10
    rows: int = 240

    @property
    def schema(self) -> StateSchema:
        """A field at the surface and one aloft."""
        grid = Grid.equiangular(self.rows, 2 * self.rows)
        return StateSchema.build(["2m_temperature"], ["temperature"], [500], grid, 6)

    @property
    def times(self) -> pd.DatetimeIndex:
        """Of the states."""
        return pd.date_range(START, periods=4 * self.days, freq="6h")


def write_case(case: Case, folder: Path) -> None:
    """The truth and an ensemble about it, a few states at a time."""
    schema, rng = case.schema, np.random.default_rng(0)
    request = forecast_request(start=str(START))
    selection = FieldSelection.of(schema, request)
    shape = (len(schema.channels), *schema.grid.shape)
    usual = 288 - 40 * np.sin(np.deg2rad(schema.grid.latitudes))[:, None] ** 2

    def blocks(*, of_members: bool) -> Iterator[xr.Dataset]:
        for low in range(0, len(case.times), 4):
            times = case.times[low : low + 4]
            centre = usual + 3 * np.random.default_rng(low).normal(size=(len(times), *shape))
            count = case.members if of_members else 1
            values = centre + 2 * rng.normal(size=(count, len(times), *shape))
            dataset = trajectory_dataset(values.astype(np.float32), selection, times)
            yield dataset if of_members else dataset.isel(member=0, drop=True)

    write_zarr_blocks(blocks(of_members=False), folder / "truth.zarr")
    (folder / "result").mkdir()
    write_zarr_blocks(blocks(of_members=True), folder / "result" / "reanalysis.zarr")
    artifact = {"digest": content_key(vars(case)), "files": {"reanalysis.zarr/zarr.json": ""}}
    manifest = {"request": {}, "artifacts": {"fields": artifact}}
    write_atomically(folder / "result" / "manifest.json", json.dumps(manifest))


def in_pieces(folder: Path, scratch: Path) -> pd.DataFrame:
    """What flows.evaluate does of fields."""
    request = EvaluationRequest(events=(EVENT,), resamples=1)
    truth = StateSource("truth", str(folder / "truth.zarr"), "0")
    of = Evaluated(str(scratch), Result.open(folder / "result"), request, truth, None)
    parts = []
    for unit in plan_fields(of, BLOCK_BYTES):
        with evaluate_fields(unit).local() as data:
            parts.append(pd.read_parquet(data / STATISTICS))
    pooling = Pooling(of.fields().members, True, 1, 0)
    table = score_table(pd.concat(parts, ignore_index=True), pooling)
    whole = table[table["lead_hours"].isna() & (table["season"] == "all")]
    return whole[["score", "variable", "region", "value"]]


@dataclass(frozen=True)
class Measured:
    """What a process needed.

    Args:
        wall: Seconds that passed.
        cpu: Seconds of all cores.
        imports: Largest memory before it began, MiB.
        peak: Largest memory, MiB.
        scores: score, variable, region, value.
    """

    wall: float
    cpu: float
    imports: float
    peak: float
    scores: list[dict[str, Any]]


def measured(function: Callable[[], pd.DataFrame]) -> Measured:
    """Scores of a function, and what it needed."""
    before = peak_memory()
    wall, cpu = time.perf_counter(), time.process_time()
    table = function()
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    peak = peak_memory()
    rows = [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    return Measured(*seconds, before, peak, rows)


def run_alone(name: str, folder: Path) -> Measured:
    """Measure one of both in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.verification", "--alone", name, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def largest_difference(one: Measured, two: Measured) -> float:
    """Largest relative difference of scores that both have.

    Raises:
        SystemExit: A score is missing on one side.
    """
    keys = ["score", "variable", "region"]
    a, b = (pd.DataFrame(x.scores).set_index(keys)["value"] for x in (one, two))
    a = a[a.index.get_level_values("score").isin(COMPARED)]
    if set(a.index) != set(b.index):
        sys.exit(f"not the same scores: {sorted(set(a.index) ^ set(b.index))}")
    # a bias near zero is compared with the size of errors
    size = np.maximum(np.abs(b), 1e-2)
    return float((np.abs(a.loc[b.index] - b) / size).max())


def report(case: Case, pieces: Measured, plain: Measured) -> str:
    """The page."""
    shape = (
        f"{case.days} days of 6 h, {case.members} members, {case.rows} x {2 * case.rows} cells, "
        "2 fields"
    )
    rows = [
        f"| {label} | {m.wall:.1f} | {m.cpu:.1f} | {m.peak:.0f} | {m.peak - m.imports:.0f} |"
        for label, m in (("flows.evaluate", pieces), ("plain xarray", plain))
    ]
    ratios = {
        "wall time": pieces.wall / plain.wall,
        "CPU time": pieces.cpu / plain.cpu,
        "peak memory": pieces.peak / plain.peak,
    }
    said = ", ".join(f"{name} {value:.2f}" for name, value in ratios.items())
    return PAGE.format(
        options=f"--days {case.days} --members {case.members} --rows {case.rows}",
        machine=f"{platform.machine()} with {os.cpu_count()} cores",
        shape=shape,
        scores=textwrap.fill(", ".join(COMPARED), 99),
        rows="\n".join(rows),
        ratios=said,
        difference=f"{largest_difference(pieces, plain):.0e}",
    )


def main() -> None:
    """Write the case, measure both, print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=Case.days)
    parser.add_argument("--members", type=int, default=Case.members)
    parser.add_argument("--rows", type=int, default=Case.rows)
    parser.add_argument("--output", type=Path, help="Markdown file (default: standard output)")
    parser.add_argument("--alone", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        name, folder = arguments.alone[0], Path(arguments.alone[1])
        with tempfile.TemporaryDirectory() as scratch:
            found = measured(
                (lambda: in_pieces(folder, Path(scratch)))
                if name == "pieces"
                else (lambda: verification_plain.scores(folder, EVENT))
            )
        sys.stdout.write(json.dumps(asdict(found)) + "\n")
        return
    case = Case(arguments.days, arguments.members, arguments.rows)
    with tempfile.TemporaryDirectory() as scratch:
        write_case(case, Path(scratch))
        page = report(case, *(run_alone(name, Path(scratch)) for name in ("pieces", "plain")))
    if arguments.output:
        write_atomically(arguments.output, page)
    else:
        sys.stdout.write(page)


if __name__ == "__main__":
    main()
