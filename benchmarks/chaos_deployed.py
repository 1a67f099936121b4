"""A job that a Prefect worker runs: asks for a run, and waits for its end.

`python -m benchmarks.chaos_deployed MODULE ARGUMENT...` ends with status 0 if the run completed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectException

from benchmarks.chaos_parts import deployed_run
from benchmarks.deployed import ask_for, chaos_job, register

_LOOK_SECONDS = 0.5
#: A run that has not begun, or whose process is gone, for so long is asked for again.
_LOST_SECONDS = 45.0


def _state(run: UUID) -> State | None:
    """State of a run; None if the server does not answer."""
    try:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(run).state
    except (httpx.HTTPError, PrefectException, RuntimeError, OSError):
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
    where = str(Path.cwd())
    run = ask_for(register(chaos_job), module=module, arguments=arguments, folder=where)
    return 0 if _await(run) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
