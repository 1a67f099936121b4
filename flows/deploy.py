"""Register all deployments on the Prefect server in use: `python -m flows.deploy`.

What they are is in `infra/prefect.yaml`; where they run in a file of `infra/pools/`. The work pool
is made if it is not there. The same command again brings the server up to date.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.cli import prepare_environment, run_command

_INFRA = Path(__file__).resolve().parent.parent / "infra"


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flows.deploy", description="Register all deployments."
    )
    add = parser.add_argument
    add(
        "--file",
        default=str(_INFRA / "prefect.yaml"),
        help="what is deployed (default: infra/prefect.yaml)",
    )
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
from collections.abc import Collection, Mapping  # noqa: E402
from typing import Any  # noqa: E402

import yaml  # noqa: E402
from prefect.client.orchestration import get_client  # noqa: E402
from prefect.client.schemas.actions import (  # noqa: E402
    DeploymentScheduleCreate,
    WorkPoolCreate,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig  # noqa: E402
from prefect.client.schemas.schedules import CronSchedule  # noqa: E402
from prefect.deployments.runner import RunnerDeployment  # noqa: E402
from prefect.exceptions import ObjectAlreadyExists  # noqa: E402
from prefect.flows import Flow  # noqa: E402
from prefect.types.entrypoint import EntrypointType  # noqa: E402

from appa_core.errors import InputError  # noqa: E402


def read_deployments(path: str | Path) -> list[dict[str, Any]]:
    """Deployments of a file in the form of `prefect.yaml`.

    Raises:
        InputError: It cannot be read, or lacks what is needed.
    """
    try:
        content = yaml.safe_load(Path(path).read_text("utf-8"))
        deployments: list[dict[str, Any]] = content["deployments"]
        for deployment in deployments:
            _ = deployment["name"], deployment["entrypoint"], deployment["work_pool"]["name"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected deployments with a name, an entrypoint and a work_pool, as in "
            f"infra/prefect.yaml; {type(error).__name__}: {error}"
        ) from error
    return deployments


def read_pool(name: str) -> dict[str, Any]:
    """A work pool's `type` and `job_variables`, by name in `infra/pools` or by file.

    Raises:
        InputError: There is no such pool.
    """
    own = _INFRA / "pools" / f"{name}.yaml"
    path = own if own.is_file() else Path(name)
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
        _ = content["type"], content["job_variables"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        known = ", ".join(sorted(p.stem for p in (_INFRA / "pools").glob("*.yaml")))
        raise InputError(
            f"unknown pool {name!r}; there are {known}; or give a YAML file with a type and "
            "job_variables"
        ) from error
    return content


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


def deployment_of(
    entry: Mapping[str, Any], job_variables: Mapping[str, Any], active: Collection[str] = ()
) -> RunnerDeployment:
    """A deployment of an entry of `prefect.yaml`.

    Args:
        entry: The entry.
        job_variables: Of the work pool's kind; the entry's own come before them.
        active: Names of deployments whose schedules are switched on.
    """
    limit = entry.get("concurrency_limit")
    pool = entry["work_pool"]
    deployment = flow_of(entry["entrypoint"]).to_deployment(
        name=entry["name"],
        description=entry.get("description"),
        tags=entry.get("tags", []),
        parameters=entry.get("parameters", {}),
        schedules=[_schedule(s, entry["name"], active) for s in entry.get("schedules", [])],
        concurrency_limit=ConcurrencyLimitConfig(**limit) if isinstance(limit, dict) else limit,
        work_pool_name=pool["name"],
        job_variables={**job_variables, **pool.get("job_variables", {})},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(deployment, RunnerDeployment)
    return deployment


def _schedule(
    entry: Mapping[str, Any], name: str, active: Collection[str]
) -> DeploymentScheduleCreate:
    return DeploymentScheduleCreate(
        schedule=CronSchedule(cron=entry["cron"], timezone=entry["timezone"]),
        active=bool(entry.get("active", True)) or name in active,
        slug=name,
    )


def deploy(
    file: str | Path = _INFRA / "prefect.yaml", pool: str = "process", active: Collection[str] = ()
) -> list[str]:
    """Register all deployments, and their work pools.

    Args:
        file: What is deployed.
        pool: Where flows run.
        active: Names of deployments whose schedules are switched on.

    Returns:
        Full names of the deployments.

    Raises:
        InputError: A file, a pool or a flow does not exist; nothing has been registered.
    """
    entries, kind = read_deployments(file), read_pool(pool)
    unknown = set(active) - {entry["name"] for entry in entries}
    if unknown:
        raise InputError(f"--activate {', '.join(sorted(unknown))}: there is no such deployment")
    deployments = [deployment_of(entry, kind["job_variables"], active) for entry in entries]
    with get_client(sync_client=True) as client:
        for name in sorted({entry["work_pool"]["name"] for entry in entries}):
            try:
                client.create_work_pool(WorkPoolCreate(name=name, type=kind["type"]))
            except ObjectAlreadyExists:
                _require_type(client.read_work_pool(name).type, name, kind["type"])
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
