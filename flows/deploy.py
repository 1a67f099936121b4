"""Register all deployments on the Prefect server in use: `python -m flows.deploy`.

What they are is in `infra/prefect.yaml`; where they run in a file of `infra/pools/`. The work pool
is made if it is not there. The same command again brings the server up to date.
"""

from __future__ import annotations

import argparse

from flows.cli import Parser, prepare_environment, run_command


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(prog="python -m flows.deploy", description="Register all deployments.")
    add = parser.add_argument
    add("--file", help="what is deployed (default: infra/prefect.yaml)")
    add(
        "--pool",
        default="process",
        help="where flows run: process, docker, kubernetes, slurm, or a file like those in "
        "infra/pools (default: %(default)s)",
    )
    add("--activate", nargs="+", default=[], metavar="NAME", help="switch on schedules of these")
    add("--traceback", action="store_true", help="show where an error arose")
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

import importlib  # noqa: E402
import sys  # noqa: E402
from collections.abc import Collection  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from prefect.client.orchestration import get_client  # noqa: E402
from prefect.client.schemas.actions import WorkPoolCreate  # noqa: E402
from prefect.exceptions import ObjectAlreadyExists  # noqa: E402
from prefect.flows import Flow  # noqa: E402

from appa_core.errors import InputError  # noqa: E402
from tasks.deployments import (  # noqa: E402
    INFRA,
    deployment_of,
    read_deployments,
    read_pool,
)


def flow_of(entrypoint: str) -> Flow[..., Any]:
    """The flow of an entrypoint such as `flows.deployed.forecast_job`.

    Raises:
        InputError: There is none.
    """
    module, _, name = entrypoint.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"entrypoint {entrypoint}: {error}") from error
    if not isinstance(found, Flow):
        raise InputError(f"entrypoint {entrypoint} is no flow")
    return found


def deploy(
    file: str | Path | None = None, pool: str = "process", active: Collection[str] = ()
) -> list[str]:
    """Register all deployments, and their work pools.

    Args:
        file: What is deployed; `infra/prefect.yaml` if None.
        pool: Where flows run.
        active: Names of deployments whose schedules are switched on.

    Returns:
        Full names of the deployments.

    Raises:
        InputError: A file, a pool or a flow does not exist; nothing has been registered.
    """
    entries, kind = read_deployments(file or INFRA / "prefect.yaml"), read_pool(pool)
    unknown = set(active) - {entry.name for entry in entries}
    if unknown:
        raise InputError(f"--activate {', '.join(sorted(unknown))}: there is no such deployment")
    deployments = [
        deployment_of(entry, flow_of(entry.entrypoint), kind.job_variables, active)
        for entry in entries
    ]
    with get_client(sync_client=True) as client:
        for name in sorted({entry.work_pool.name for entry in entries}):
            try:
                client.create_work_pool(WorkPoolCreate(name=name, type=kind.type))
            except ObjectAlreadyExists:
                _require_type(client.read_work_pool(name).type, name, kind.type)
    for deployment in deployments:
        deployment.apply()
    return [deployment.full_name for deployment in deployments]


def _require_type(found: str, name: str, wanted: str) -> None:
    if found != wanted:
        raise InputError(
            f"work pool {name} is of type {found}, expected {wanted}; name another pool in the "
            "file of deployments, or remove that one (prefect work-pool delete)"
        )


def _main(arguments: argparse.Namespace) -> None:
    for name in deploy(arguments.file, arguments.pool, arguments.activate):
        print(name)
    print("\nstart a worker where they are to run: prefect worker start --pool appa")


if _ARGUMENTS is not None:
    sys.path.insert(0, str(Path.cwd()))
    run_command(_main, _ARGUMENTS)
