"""What orchestration costs: `python -m benchmarks.overhead --output docs/overhead.md`.

A flow of trivial tasks against plain calls; the forecast job against the same steps without
Prefect; the start of the embedded server; `--help` of every command.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import prefect
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

import flows
from appa_core.config.requests import forecast_request
from appa_core.steps.forecast import ForecastJob, prepare_forecast
from benchmarks.chaos_report import table
from flows.cli import prepare_environment
from flows.forecast import run_forecast
from flows.server import start_server
from tasks.catalog import model_folder, state_source

_STEP_MS, _SHARE = 15.0, 0.05
_HEADINGS = ("what", "measured", "wanted")
_WHAT = (
    "The job is the default forecast from an empty store, its model loaded; without Prefect flows "
    "and tasks are called as plain functions."
)
_START = "2024-02-03T06"


@task(cache_policy=NO_CACHE)
def trivial(number: int) -> int:
    """A step that does nothing."""
    return number + 1


@flow(name="trivial-steps")
def trivial_steps(count: int) -> int:
    """So many of them, one after the other."""
    number = 0
    for _ in range(count):
        number = trivial(number)
    return number


def plain_steps(count: int) -> int:
    """The same without Prefect."""
    number = 0
    for _ in range(count):
        number = trivial.fn(number)
    return number


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@dataclass(frozen=True)
class Steps:
    """What a step costs beyond a plain call, in milliseconds, repeat by repeat.

    Args:
        count: Steps of a flow.
        alone: Of flows that find the server at rest.
        queued: Of flows one right after the other: the server, which records what a flow did
            after the flow has ended, is still at work on the last one.
    """

    count: int
    alone: list[float]
    queued: list[float]


def step_costs(count: int, repeats: int, rest: float) -> Steps:
    """Both kinds, with so many seconds of rest before each flow that has the server to itself."""
    alone = []
    for _ in range(repeats):
        time.sleep(rest)
        alone.append(step_milliseconds(count))
    return Steps(count, alone, [step_milliseconds(count) for _ in range(repeats)])


def step_milliseconds(count: int) -> float:
    """What a step of one flow costs beyond a plain call."""
    with_prefect = seconds(lambda: trivial_steps(count))
    return 1000 * (with_prefect - seconds(lambda: plain_steps(count))) / count


@contextmanager
def without_prefect() -> Iterator[None]:
    """Flows and tasks are plain functions."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)

    kinds: tuple[Any, ...] = (prefect.Flow, prefect.Task)
    kept = [kind.__call__ for kind in kinds]
    for kind in kinds:
        kind.__call__ = call
    try:
        yield
    finally:
        for kind, own in zip(kinds, kept, strict=True):
            kind.__call__ = own


def forecast_seconds(job: ForecastJob) -> float:
    """The forecast job from an empty store to its results; models are loaded already."""
    with tempfile.TemporaryDirectory() as folder:
        return seconds(
            lambda: run_forecast(job, f"{folder}/store", f"{folder}/out", recompute=False)
        )


@dataclass(frozen=True)
class Share:
    """The forecast job with and without Prefect, repeat by repeat.

    Args:
        full: Seconds with it.
        plain: Seconds without.
    """

    full: list[float]
    plain: list[float]

    @property
    def share(self) -> float:
        """Of the wall time that is orchestration: median over repeats."""
        return statistics.median((f - p) / f for f, p in zip(self.full, self.plain, strict=True))


def orchestration_share(members: int, repeats: int) -> Share:
    """How much of the forecast job is orchestration; both kinds take turns."""
    request = forecast_request(start=_START, members=members)
    job = prepare_forecast(request, state_source("sample"), model_folder("small"), "cpu")
    with without_prefect():
        forecast_seconds(job)
    full, plain = [], []
    for _ in range(repeats):
        full.append(forecast_seconds(job))
        with without_prefect():
            plain.append(forecast_seconds(job))
    return Share(full, plain)


@dataclass(frozen=True)
class Starts:
    """From typing a command to its help or its results, in seconds.

    Args:
        help: `--help` of each command, the best of three.
        overlapped: The forecast command with the embedded server started beside its imports.
        after: The same with the server started after them.
    """

    help: list[float]
    overlapped: float
    after: float


def start_seconds(members: int) -> Starts:
    """Starts of the forecast command, each in a process of its own."""
    words = ["--start", _START, "--members", str(members), "--lead-hours", "6"]
    return Starts(
        [min(seconds(partial(_run, name, ["--help"])) for _ in range(3)) for name in commands()],
        _cold(words, {}),
        _cold(words, {"APPA_SERVER": "late"}),
    )


def _cold(words: Sequence[str], more: dict[str, str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        places = ["--store", f"{folder}/store", "--output", f"{folder}/out"]
        return seconds(lambda: _run("forecast", [*words, *places], more))


def commands() -> list[str]:
    """Modules of `flows` that are commands."""
    modules = sorted(Path(flows.__file__).parent.glob("*.py"))
    return [path.stem for path in modules if "__main__" in path.read_text("utf-8")]


def _run(name: str, words: Sequence[str], more: dict[str, str] | None = None) -> None:
    command = [sys.executable, "-m", f"flows.{name}", *words]
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    subprocess.run(  # noqa: S603
        command, env=environment | (more or {}), check=True, capture_output=True
    )


def _milliseconds(each: Sequence[float]) -> str:
    return f"{statistics.median(each):.1f} ms ({min(each):.1f} to {max(each):.1f})"


def report(steps: Steps, share: Share, starts: Starts, command: str) -> str:
    """A page in Markdown."""
    rows = [
        (
            f"a step of a flow of {steps.count}, beyond a plain call",
            _milliseconds(steps.alone),
            f"{_STEP_MS:g} ms",
        ),
        (
            "the same while the server records the flow before",
            _milliseconds(steps.queued),
            "",
        ),
        (
            "orchestration in the forecast job",
            f"{share.share:.1%} of {statistics.median(share.full):.2f} s",
            f"{_SHARE:.0%}",
        ),
        (
            f"`--help` of {len(starts.help)} commands, the slowest",
            f"{max(starts.help):.2f} s",
            "1 s",
        ),
        ("forecast command, cold, server beside imports", f"{starts.overlapped:.1f} s", ""),
        ("the same, server after imports", f"{starts.after:.1f} s", ""),
    ]
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Prefect {prefect.__version__}"
    where = f"`{command}` on {machine}; medians."
    parts = ("# What orchestration costs", where, table(_HEADINGS, rows), _WHAT)
    return "\n\n".join(parts) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    add = parser.add_argument
    add("--steps", type=int, default=200, help="of the trivial flow (default: %(default)s)")
    add("--members", type=int, default=8, help="of the forecast (default: %(default)s)")
    add("--repeats", type=int, default=5, help="of each measurement (default: %(default)s)")
    add("--rest", type=float, default=10.0, help="seconds before a flow (default: %(default)s)")
    add("--output", type=Path, help="write the page here (default: print it)")
    arguments = parser.parse_args(argv)
    prepare_environment(verbose=False)
    start_server()
    trivial_steps(5)
    steps = step_costs(arguments.steps, arguments.repeats, arguments.rest)
    share = orchestration_share(arguments.members, arguments.repeats)
    starts = start_seconds(arguments.members)
    text = report(steps, share, starts, "python -m benchmarks.overhead")
    if arguments.output:
        arguments.output.write_text(text, "utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
