"""Flows that a Prefect worker runs for benchmarks, and how they are asked for."""

from __future__ import annotations

import importlib
import os
import time
from typing import Any
from uuid import UUID

from prefect import Flow, flow
from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.types.entrypoint import EntrypointType

from benchmarks.chaos_parts import POOL
from flows.cli import watch_if_asked

_LOOK_SECONDS = 1.0
_POOL_SECONDS = 120.0


@flow(name="chaos-job")
def chaos_job(module: str, arguments: list[str], folder: str) -> None:
    """Run a command of this project, in a folder, within a run of a deployment."""
    os.chdir(folder)
    watch_if_asked()
    command = importlib.import_module(f"flows.{module}")
    command._main(command._parse(arguments))  # noqa: SLF001 - what its command line does


@flow(name="trivial-run")
def trivial_run(number: int) -> int:
    """A run that does nothing."""
    return number


def register(what: Flow[..., Any]) -> UUID:
    """Register a flow of this module, once the worker has made its pool.

    Returns:
        Its deployment.
    """
    end = time.monotonic() + _POOL_SECONDS
    with get_client(sync_client=True) as client:
        while True:
            try:
                client.read_work_pool(POOL)
                break
            except ObjectNotFound:
                if time.monotonic() > end:
                    raise
                time.sleep(_LOOK_SECONDS)
    deployment = what.to_deployment(
        name=POOL, work_pool_name=POOL, entrypoint_type=EntrypointType.MODULE_PATH
    )
    assert isinstance(deployment, RunnerDeployment)
    made = deployment.apply()
    assert isinstance(made, UUID)
    return made


def ask_for(deployment: UUID, **parameters: Any) -> UUID:
    """Ask for a run; returns its id."""
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(deployment, parameters=parameters)
    return run.id
