"""What is deployed, and where it runs: `infra/prefect.yaml` and the files of `infra/pools/`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import Flow
from prefect.types.entrypoint import EntrypointType
from pydantic import ConfigDict, Field, TypeAdapter

from appa_core.config.base import Strict
from appa_core.config.named import parse_named
from appa_core.errors import InputError

INFRA = Path(__file__).resolve().parent.parent / "infra"
_POOLS = INFRA / "pools"
_ENV = "env"
_Content = TypeVar("_Content")


class Schedule(CronSchedule):
    """When a deployment runs by itself, once that is switched on."""

    timezone: str
    active: bool = True


class Limit(Strict):
    """How many of its runs there may be at once, and what becomes of one more."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"] = "ENQUEUE"


class PoolOfDeployment(Strict):
    """Where a deployment runs, and variables of its own."""

    name: str = Field(min_length=1)
    job_variables: dict[str, Any] = Field(default_factory=dict)


class Deployment(Strict):
    """An entry of `prefect.yaml`: those of Prefect's keys that this project uses."""

    name: str = Field(min_length=1)
    entrypoint: str
    description: str | None = None
    tags: list[str] = Field(default_factory=list)
    parameters: dict[str, Any] = Field(default_factory=dict)
    schedules: list[Schedule] = Field(default_factory=list)
    concurrency_limit: Limit | None = None
    work_pool: PoolOfDeployment


class PoolKind(Strict):
    """What kind of work pool there is, and the variables that all deployments get in it."""

    type: str = Field(min_length=1)
    job_variables: dict[str, Any] = Field(default_factory=dict)


class _Project(Strict):
    """Other keys of `prefect.yaml` are Prefect's own."""

    model_config = ConfigDict(extra="ignore")

    deployments: list[Deployment] = Field(min_length=1)


def read_deployments(path: str | Path) -> list[Deployment]:
    """Deployments of a file in the form of `prefect.yaml`.

    Raises:
        InputError: It cannot be read, or lacks what is needed.
    """
    return _read("deployments", Path(path), TypeAdapter(_Project)).deployments


def read_pool(name: str) -> PoolKind:
    """A kind of work pool, by name in `infra/pools` or by file.

    Raises:
        InputError: There is no such pool.
    """
    known = sorted(path.stem for path in _POOLS.glob("*.yaml"))
    path = _POOLS / f"{name}.yaml" if name in known else Path(name)
    if not path.is_file():
        raise InputError(
            f"unknown pool {name!r}; there are {', '.join(known)}; or give a YAML file with a "
            "type and job_variables"
        )
    return _read("pool", path, TypeAdapter(PoolKind))


def _read(what: str, path: Path, adapter: TypeAdapter[_Content]) -> _Content:
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {what} {path}: {error}") from error
    return parse_named(what, text, adapter, source=str(path))


def deployment_of(
    entry: Deployment,
    flow: Flow[..., Any],
    job_variables: Mapping[str, Any],
    active: Collection[str] = (),
) -> RunnerDeployment:
    """A deployment as Prefect has it.

    Args:
        entry: The entry of `prefect.yaml`.
        flow: Of its entrypoint.
        job_variables: Of the work pool's kind; the entry's own come before them.
        active: Names of deployments whose schedules are switched on.

    Raises:
        InputError: A parameter makes no sense.
    """
    try:
        deployment = flow.to_deployment(
            name=entry.name,
            description=entry.description,
            tags=entry.tags,
            parameters=entry.parameters,
            schedules=[_schedule(s, entry.name, active) for s in entry.schedules],
            concurrency_limit=_limit(entry.concurrency_limit),
            work_pool_name=entry.work_pool.name,
            job_variables=_joined(job_variables, entry.work_pool.job_variables),
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
    except ValueError as error:
        raise InputError(f"deployment {entry.name}: {error}") from error
    assert isinstance(deployment, RunnerDeployment)
    return deployment


def _limit(limit: Limit | None) -> ConcurrencyLimitConfig | None:
    if limit is None:
        return None
    strategy = ConcurrencyLimitStrategy(limit.collision_strategy)
    return ConcurrencyLimitConfig(limit=limit.limit, collision_strategy=strategy)


def _schedule(entry: Schedule, name: str, active: Collection[str]) -> DeploymentScheduleCreate:
    return DeploymentScheduleCreate(
        schedule=CronSchedule(cron=entry.cron, timezone=entry.timezone),
        active=entry.active or name in active,
        slug=name,
    )


def _joined(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Job variables of a pool's kind and of a deployment; environments are put together.

    Raises:
        InputError: An environment has no names.
    """
    environments = [variables.get(_ENV, {}) for variables in (common, own)]
    if not all(isinstance(each, Mapping) for each in environments):
        raise InputError(f"{_ENV} of job variables: expected names and values, got {environments}")
    return {**common, **own, _ENV: {**environments[0], **environments[1]}}
