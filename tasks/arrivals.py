"""Waiting for what has not arrived yet, for a bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_logger

from appa_core.config.observing import SimulatedNetwork
from appa_core.config.presets import Preset
from appa_core.config.series import DAY
from appa_core.errors import AbsentError
from appa_core.io.sources import SourceSpec, open_source
from appa_core.steps.series import Series
from tasks.catalog import resolve_source
from tasks.day import reader
from tasks.reach import require_reachable

_log = get_logger("appa.arrivals")
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Patience:
    """How long to wait, and for what.

    Args:
        hours: Longest wait.
        poll_minutes: From one look to the next.
        least_rows: Fewest reports that a day must have.
    """

    hours: float = 6.0
    poll_minutes: float = 10.0
    least_rows: int = 1


def wait_for(look: Callable[[], _Found], patience: Patience, what: str) -> _Found:
    """What a look finds, once it finds something.

    Args:
        look: Raises `AbsentError` while it is not there.
        patience: How long.
        what: For messages.

    Raises:
        AbsentError: It did not come in time.
    """
    end = time.monotonic() + 3600 * patience.hours
    while True:
        try:
            return look()
        except AbsentError as error:
            left = end - time.monotonic()
            if left <= 0:
                raise AbsentError(
                    f"{what} did not arrive within {patience.hours:g} h: {error}; run this again "
                    "when it has, or wait longer (--wait-hours)"
                ) from error
            _log.info("waiting for %s: %s", what, error)
            time.sleep(min(60 * patience.poll_minutes, left))


@task(cache_policy=NO_CACHE, task_run_name="observations of {day:%Y-%m-%d}")
def await_observations(series: Series, day: pd.Timestamp, patience: Patience) -> str:
    """Wait until the observations of a day and of its overlap are there; returns their identity.

    They are there when the last is within a step of the end of what the day hears, there are
    enough of them, and (if there is time to wait) two looks in a row find the same. Simulated ones
    are there when the states
    that they are made of are.

    Raises:
        AbsentError: They did not all arrive in time; the message says how far they go.
    """
    what = f"observations of {day:%Y-%m-%d}"
    if isinstance(series.job.source, SimulatedNetwork):
        return wait_for(lambda: series.identity(day, reader(series, day)), patience, what)
    seen = ""

    def look() -> str:
        nonlocal seen
        _require_rows(series, day, patience)
        found, before = series.identity(day, reader(series, day)), seen
        seen = found
        if patience.hours > 0 and found != before:
            raise AbsentError("they are there, and may still grow until the next look")
        return found

    return wait_for(look, patience, what)


@task(cache_policy=NO_CACHE)
def await_states(preset: Preset, source: str, day: pd.Timestamp, patience: Patience) -> None:
    """Wait until a source holds all states of a day; of one that makes them on demand, do not.

    Raises:
        InputError: There is no such source.
        AbsentError: They did not all arrive in time.
    """
    found = resolve_source(source)
    if not isinstance(found, SourceSpec):
        return
    schema = preset.state.build()
    times = pd.date_range(day, day + DAY, freq=f"{schema.step_hours}h", inclusive="left")
    require_reachable(found)

    def look() -> None:
        with open_source(found) as reader:
            held = reader.available(schema)
        absent = times[~times.isin(held)]
        if len(absent):
            last = f"{held[-1]:%Y-%m-%dT%H:%M}" if len(held) else "nothing"
            raise AbsentError(
                f"it has no state at {absent[0]:%Y-%m-%dT%H:%M}, and ends with {last}"
            )

    wait_for(look, patience, f"states of {day:%Y-%m-%d} from {source}")


def _require_rows(series: Series, day: pd.Timestamp, patience: Patience) -> None:
    """Refuse a table that does not reach the end of what a day hears, or is too small."""
    source, window = series.job.source, series.window(day)
    assert not isinstance(source, SimulatedNetwork)
    table = reader(series, day)(source)
    last, end = table.frame["valid_time"].max(), window[-1]
    if len(table) < patience.least_rows or last <= end - series.step:
        raise AbsentError(
            f"there are {len(table)} rows, the last of {last:%Y-%m-%dT%H:%M}; expected "
            f"{patience.least_rows} or more, the last within {series.step} of "
            f"{end:%Y-%m-%dT%H:%M} UTC"
        )
