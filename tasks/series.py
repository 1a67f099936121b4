"""Days of a series in the order that they depend on each other, shared by all who make them.

A *lane* is the days of a stream that are wanted. Whoever makes a day holds its lease; others turn
to another lane, or wait, and then find it done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import httpx
import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectException
from prefect.logging import get_logger

from appa_core.config.series import DAY
from appa_core.errors import AppaError, BusyError, InputError, ResourceError, StoppedError
from appa_core.io.day_ledger import DayRecord
from appa_core.io.lock import StoreLock
from appa_core.steps.series import DONE, Expected, Late, Link, Series, wanted_days
from tasks.day import DaySettings, export_day, make_day, reader

_log = get_logger("appa.series")
#: What a day can be besides the states of `Series.state_of`.
MADE, FAILED, KEPT = "made", "failed", "kept"
#: What says nothing of a day: the next would fail too, and must not be bridged to.
_OF_NO_DAY = (StoppedError, ResourceError, httpx.HTTPError, PrefectException)
#: In a plan: a day that cannot be made now, and one that is made again on request.
WAITING, RECOMPUTED = "waiting", "recompute"


@dataclass(frozen=True)
class Policy:
    """How days are gone through.

    Args:
        late: Whether days after one that was made again are made again too.
        how: Where days are made.
        bridges: Whether the day after one that failed starts from what the model makes of the
            gap; else the days after it fail too.
    """

    late: Late = "renew"
    how: DaySettings = field(default_factory=DaySettings)
    bridges: bool = True


@dataclass(frozen=True)
class Outcome:
    """What became of a day.

    Args:
        day: Which.
        state: `made`, `done` (before), `kept` (it stands, and its observations cannot be read
            now), `failed`; in a plan `waiting`, or why it would be made.
        why: Of a failure.
        seconds: That it took.
    """

    day: pd.Timestamp
    state: str
    why: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}  {self.state:8}  {self.why}".rstrip()


@dataclass(frozen=True)
class Lane:
    """Days of a stream, and how far they have been gone through.

    Args:
        days: In order; those of the spin-up first.
        link: What the next of them starts from.
        position: The next of them.
        outcomes: Of the days before.
        is_blocked: Someone else makes the next day.
    """

    days: tuple[pd.Timestamp, ...]
    link: Link
    position: int = 0
    outcomes: tuple[Outcome, ...] = ()
    is_blocked: bool = False

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left."""
        return self.position >= len(self.days)

    @property
    def label(self) -> str:
        """The next day, for people."""
        return "" if self.is_done else f"{self.days[self.position]:%Y-%m-%d}"

    def after(self, link: Link, outcome: Outcome | None = None) -> Lane:
        """The lane with its next day settled."""
        more = () if outcome is None else (outcome,)
        return replace(
            self,
            link=link,
            position=self.position + 1,
            outcomes=self.outcomes + more,
            is_blocked=False,
        )


def lanes_of(series: Series, first: pd.Timestamp, last: pd.Timestamp) -> list[Lane]:
    """The wanted days by stream, each from the last day before them that stands.

    Args:
        series: Which.
        first: First wanted day.
        last: Last wanted day.

    Raises:
        InputError: They are before the first day of the series.
    """
    request = series.request
    if first < request.first_day:
        raise InputError(
            f"{first:%Y-%m-%d} is before {request.start}, the first day of this series; start "
            "there, or begin another series with --first-day"
        )
    starts = sorted({request.stream_start(day) for day in wanted_days(first, last)})
    lanes = []
    for number, start in enumerate(starts):
        end = starts[number + 1] - DAY if number + 1 < len(starts) else last
        lanes.append(_lane(series, start, max(first, start), end))
    return lanes


def _lane(series: Series, start: pd.Timestamp, first: pd.Timestamp, last: pd.Timestamp) -> Lane:
    """Back from the first wanted day to one that stands, or to where the stream begins."""
    day = first
    while day > start:
        record = series.ledger.find(day - DAY)
        if record is not None and series.holds(record):
            return Lane(tuple(wanted_days(day, last)), series.link_of(record))
        day -= DAY
    return Lane(tuple(wanted_days(series.request.drawn_from(start), last)), Link())


@task(cache_policy=NO_CACHE, task_run_name="days from {label}")
def advance(series: Series, lane: Lane, policy: Policy, days: int, label: str) -> Lane:  # noqa: ARG001
    """Go through some days of a lane.

    Args:
        series: Which series.
        lane: Where it stands.
        policy: How.
        days: Most days that are made.
        label: Of the task's run.
    """
    made = 0
    while not lane.is_done and made < days:
        lane = _next(series, lane, policy)
        if lane.is_blocked:
            return lane
        made += bool(lane.outcomes) and lane.outcomes[-1].state in {MADE, FAILED}
    return lane


def _next(series: Series, lane: Lane, policy: Policy) -> Lane:
    """The lane with its next day settled, or blocked."""
    day = lane.days[lane.position]
    if _is_spin_up(series, lane, day):
        return lane.after(_spin_up(series, day, lane.link))
    try:
        outcome, link = _settle(series, day, lane.link, policy)
    except BusyError:
        return replace(lane, is_blocked=True)
    except _OF_NO_DAY:
        raise
    except Exception as error:  # a day must not keep the others from being made
        if not policy.bridges:
            raise
        outcome, link = Outcome(day, FAILED, _reason(error)), bridge(series, day, lane.link)
        _log.error("reanalysis of %s failed: %s", f"{day:%Y-%m-%d}", outcome.why)
    return lane.after(link, outcome)


def _is_spin_up(series: Series, lane: Lane, day: pd.Timestamp) -> bool:
    return day < series.request.stream_start(lane.days[-1])


def _settle(series: Series, day: pd.Timestamp, link: Link, policy: Policy) -> tuple[Outcome, Link]:
    """See whether a day stands, and make it if not."""
    record = series.ledger.find(day)
    expected = _expected(series, day, link, record)
    if record is not None and (expected is None or _stands(series, record, expected, policy)):
        export_day(series, record, policy.how)
        return Outcome(day, KEPT if expected is None else DONE), series.link_of(record)
    assert expected is not None
    with StoreLock(series.ledger.lease(day)) as lease:
        record = series.ledger.find(day)  # someone may have made it meanwhile
        if record is not None and _stands(series, record, expected, policy):
            return Outcome(day, DONE), series.link_of(record)
        series.ledger.describe({"request": series.request.hashed()})
        record = make_day(series, day, link, expected, policy.how)
        lease.check()
    export_day(series, record, policy.how)
    return Outcome(day, MADE, seconds=record.wall_seconds), series.link_of(record)


def _stands(series: Series, record: DayRecord, expected: Expected, policy: Policy) -> bool:
    return not policy.how.recompute and series.state_of(record, expected, policy.late) == DONE


def _expected(
    series: Series, day: pd.Timestamp, link: Link, record: DayRecord | None
) -> Expected | None:
    """What a day is to be made from; None: that cannot be told now, and the day is whole.

    Raises:
        AppaError: There are no observations, and no day either.
    """
    try:
        return series.expected(day, link, series.identity(day, reader(series, day)))
    except (AppaError, OSError):
        if record is not None and series.holds(record):
            return None
        raise


def bridge(series: Series, day: pd.Timestamp, link: Link) -> Link:
    """What stands in for a day that failed: the model goes on from the day before it."""
    return Link(series.expected(day, link, "").key, None, day, link)


def _spin_up(series: Series, day: pd.Timestamp, link: Link) -> Link:
    series = series.spinning_up(day, link)
    try:
        observed = series.identity(day, reader(series, day))
    except (AppaError, OSError):
        return bridge(series, day, link)
    return Link(series.expected(day, link, observed).key, None, day, link, hears=True)


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if isinstance(error, AppaError | OSError) else f"{type(error).__name__}: {text}"


def planned(series: Series, lanes: Sequence[Lane], policy: Policy) -> list[Outcome]:
    """What `advance` would find and do, day by day; nothing is written.

    Days that would be made carry the seconds that those of the series have taken, in the median.
    """
    seconds = typical_seconds(series)
    found = []
    for lane in lanes:
        link = lane.link
        for day in lane.days:
            if _is_spin_up(series, lane, day):
                link = _spin_up(series, day, link)
                continue
            outcome, link = _foreseen(series, day, link, policy)
            is_made = outcome.state not in {DONE, KEPT, WAITING}
            found.append(replace(outcome, seconds=seconds) if is_made else outcome)
    return found


def typical_seconds(series: Series) -> float:
    """Median of what the days of a series have taken; 0 if there are none."""
    records = (series.ledger.find(day) for day in series.ledger.days())
    taken = [record.wall_seconds for record in records if record is not None]
    return median(taken) if taken else 0.0


def _foreseen(
    series: Series, day: pd.Timestamp, link: Link, policy: Policy
) -> tuple[Outcome, Link]:
    record = series.ledger.find(day)
    try:
        expected = _expected(series, day, link, record)
    except (AppaError, OSError) as error:
        return Outcome(day, WAITING, _reason(error)), bridge(series, day, link)
    if record is not None and expected is None:
        return Outcome(day, KEPT), series.link_of(record)
    assert expected is not None
    state = series.state_of(record, expected, policy.late)
    if record is not None and state == DONE and not policy.how.recompute:
        return Outcome(day, DONE), series.link_of(record)
    return Outcome(day, RECOMPUTED if state == DONE else state), Link(
        expected.key, None, day, link
    )
