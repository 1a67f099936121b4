"""A job that a Prefect worker runs: registers it, asks for a run, and waits for its end.

`python -m benchmarks.chaos_deployed MODULE ARGUMENT...` ends with status 0 if the run completed.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from uuid import UUID

import httpx
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectException

from benchmarks.chaos_parts import POOL, deployed_run
from flows.cli import watch_if_asked

_LOOK_SECONDS = 0.5
#: A run that has not begun, or whose process is gone, for so long is asked for again.
_LOST_SECONDS = 45.0


@flow(name="chaos-job")
def chaos_job(module: str, arguments: list[str]) -> None:
    """Run a command of this project within a run of a deployment."""
    watch_if_asked()
    command = importlib.import_module(f"flows.{module}")
    command._main(command._parse(arguments))  # noqa: SLF001 - what its command line does


def _state(run: UUID) -> State | None:
    """State of a run; None if the server does not answer."""
    try:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(run).state
    except (httpx.HTTPError, PrefectException, OSError):
        return None


def _await(run: UUID) -> bool:
    """Wait for a run's end; whether it completed."""
    seen = time.monotonic()
    while time.monotonic() - seen < _LOST_SECONDS:
        state = _state(run)
        if state is not None and state.is_final():
            return state.is_completed()
        if deployed_run() is not None:
            seen = time.monotonic()
        time.sleep(_LOOK_SECONDS)
    return False


def main(module: str, arguments: list[str]) -> int:
    """Register, ask for a run, wait."""
    here = Path.cwd()
    chaos_job.from_source(
        source=str(here), entrypoint="benchmarks/chaos_deployed.py:chaos_job"
    ).deploy(name=POOL, work_pool_name=POOL, print_next_steps=False, ignore_warnings=True)
    run = run_deployment(
        f"chaos-job/{POOL}",
        parameters={"module": module, "arguments": arguments},
        timeout=0,
        as_subflow=False,
    )
    return 0 if _await(run.id) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
