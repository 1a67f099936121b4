"""Many runs that wait for one worker: `python -m benchmarks.queued --output docs/queued.md`.

Whether all finish, and what the worker's memory does meanwhile.
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
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType

from appa_core.errors import ResourceError
from benchmarks.chaos_jobs import SERVER, WORKER
from benchmarks.chaos_parts import Parts
from benchmarks.chaos_report import table
from benchmarks.deployed import register, trivial_run

_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 3 * 3600.0
_MIB = 2**20


@dataclass(frozen=True)
class Queue:
    """What became of runs.

    Args:
        runs: How many were asked for at once.
        completed: How many completed.
        seconds: From asking to the end of the last.
        resident: Memory of the worker over that time, in bytes.
    """

    runs: int
    completed: int
    seconds: float
    resident: list[int]

    @property
    def memory(self) -> str:
        """In each tenth of the time, so that growth can be told from warming up."""
        tenth = max(1, len(self.resident) // 10)
        parts = [self.resident[i : i + tenth] for i in range(0, len(self.resident), tenth)]
        return ", ".join(f"{statistics.median(part) / _MIB:.0f}" for part in parts[:10]) + " MiB"


def queue_runs(runs: int, limit: int) -> Queue:
    """Ask for runs at once, with a server and a worker of their own.

    Args:
        runs: How many.
        limit: How many the worker takes at once.

    Raises:
        ResourceError: They do not end.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        Parts(Path(folder), (SERVER, WORKER), limit) as parts,
    ):
        command = [sys.executable, "-m", "benchmarks.queued", "--runs", str(runs)]
        done = subprocess.run(  # noqa: S603
            [*command, "--worker", str(parts.pid(WORKER))],
            env=parts.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise ResourceError(f"the runs do not end:\n{done.stderr[-2000:]}")
    completed, seconds, *resident = done.stdout.splitlines()[-1].split()
    return Queue(runs, int(completed), float(seconds), [int(x) for x in resident])


def _completed(client: SyncPrefectClient) -> int:
    done = FlowRunFilterStateType(any_=[StateType.COMPLETED])
    return int(
        client.count_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=done)))
    )


def ask(runs: int, worker: psutil.Process) -> Queue:
    """Ask the server in use for runs, and wait for their end."""
    deployment = register(trivial_run)
    resident: list[int] = []
    with get_client(sync_client=True) as client:
        began = time.monotonic()
        for number in range(runs):
            client.create_flow_run_from_deployment(deployment, parameters={"number": number})
        while (done := _completed(client)) < runs:
            if time.monotonic() - began > _PATIENCE_SECONDS:
                break
            with suppress(psutil.Error):
                resident.append(worker.memory_info().rss)
            time.sleep(_LOOK_SECONDS)
        return Queue(runs, done, time.monotonic() - began, resident)


def report(queue: Queue, limit: int) -> str:
    """A page in Markdown."""
    rows = [
        (f"{queue.runs} runs at once on one worker, {limit} side by side",
         f"{queue.completed} completed", "all"),
        ("their time", f"{queue.seconds:.0f} s", ""),
        ("the worker's memory, tenth by tenth", queue.memory, "flat"),
        ("its largest", f"{max(queue.resident) / _MIB:.0f} MiB", ""),
    ]  # fmt: skip
    command = f"python -m benchmarks.queued --runs {queue.runs} --limit {limit}"
    where = f"`{command}` on {os.cpu_count()} cores ({platform.machine()})"
    parts = ("# Many runs that wait", where, table(("what", "measured", "wanted"), rows))
    return "\n\n".join(parts) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; with `--worker` the part that asks, which prints what it saw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queued", description=__doc__)
    add = parser.add_argument
    add("--runs", type=int, default=200, help="that wait (default: %(default)s)")
    add("--limit", type=int, default=2, help="of them at once (default: %(default)s)")
    add("--output", type=Path, help="write the page here (default: print it)")
    add("--worker", type=int, metavar="PID", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.worker is not None:
        queue = ask(arguments.runs, psutil.Process(arguments.worker))
        words = [str(queue.completed), f"{queue.seconds:.1f}", *map(str, queue.resident)]
        sys.stdout.write(" ".join(words) + os.linesep)
        return 0
    text = report(queue_runs(arguments.runs, arguments.limit), arguments.limit)
    if arguments.output:
        arguments.output.write_text(text, "utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
