"""Trying again, later and later, what may pass by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task, exponential_backoff

from appa_core.errors import AbsentError, AppaError, BusyError, ResourceError

_Result = TypeVar("_Result")
#: Problems with which the same request may succeed later; others are the request's own.
_PASSING = (AbsentError, BusyError, ResourceError)
_RETRIES, _FIRST_SECONDS, _JITTER = 3, 30.0, 0.3


def may_pass(error: object) -> bool:
    """Whether the same request may succeed later."""
    return not isinstance(error, AppaError) or isinstance(error, _PASSING)


def _of_state(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    return may_pass(state.result(raise_on_failure=False))


@task(
    cache_policy=NO_CACHE,
    task_run_name="{label}",
    retries=_RETRIES,
    retry_delay_seconds=exponential_backoff(_FIRST_SECONDS),
    retry_jitter_factor=_JITTER,
    retry_condition_fn=_of_state,
)
def attempt(label: str, work: Callable[[], _Result]) -> _Result:  # noqa: ARG001
    """What some work returns; it is tried again after half a minute, a minute, two.

    Args:
        label: Of the task's run.
        work: Goes on from what it has done when it is called again.
    """
    return work()
