"""What a store holds, for people: steps, series and their gaps, who is at work, last scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import pandas as pd

from appa_core.config.series import DAY, SeriesRequest
from appa_core.errors import AppaError
from appa_core.io.day_ledger import DayLedger, DayRecord, all_series
from appa_core.io.inventory import Holding, Lease, holdings, leases
from appa_core.io.store import ArtifactStore
from appa_core.steps.verify import SCORES

_SCORED = {"scores": "forecast", "analysis-scores": "analysis"}
_COLUMNS = ("rmse", "crps", "ssr")
_SHOWN = (("geopotential", 500), ("temperature", 850), ("2m_temperature", None))


@dataclass(frozen=True)
class StepTotal:
    """All that a store holds of a step.

    Args:
        step: Its name.
        count: Artifacts or cubes.
        bytes: Of all files.
        last: When the newest was committed, UTC; empty where that is not known.
    """

    step: str
    count: int
    bytes: int
    last: str


@dataclass(frozen=True)
class SeriesState:
    """How far a series of days has come.

    Args:
        key: Of the series.
        what: What it is drawn from, and how.
        first: First day that is held.
        last: Last day that is held.
        held: How many days are held and whole.
        missing: Days between that are not held.
        stale: Days that do not start from what is now held of the day before.
        damaged: Days whose record is damaged, or refers to what is gone.
        wall_seconds: Median of what a day took.
    """

    key: str
    what: str
    first: str
    last: str
    held: int
    missing: tuple[str, ...]
    stale: tuple[str, ...]
    damaged: tuple[str, ...]
    wall_seconds: float


@dataclass(frozen=True)
class Overview:
    """A store at a time.

    Args:
        url: Of the store.
        steps: What it holds by step.
        damaged: What is wrong with which artifact.
        unfinished: Artifacts that are being written, or that a killed command left.
        series: Reanalyses by day.
        leases: Locks, those of owners who are gone too.
        scores: Latest scores: of what, field, valid time and numbers.
    """

    url: str
    steps: tuple[StepTotal, ...]
    damaged: tuple[tuple[str, str], ...]
    unfinished: tuple[str, ...]
    series: tuple[SeriesState, ...]
    leases: tuple[Lease, ...]
    scores: pd.DataFrame

    @property
    def is_sound(self) -> bool:
        """Whether nothing is known to be damaged."""
        return not self.damaged and not any(s.damaged for s in self.series)


def overview(store: ArtifactStore, *, verify: bool = False) -> Overview:
    """Look through a store.

    Args:
        store: Which.
        verify: Compare checksums of all files too, which reads them all.
    """
    found = list(holdings(store, verify=verify))
    bad = {h.name: h.problem for h in found if h.problem and not h.is_unfinished}
    sound = {(h.step, h.key) for h in found if not h.problem}
    return Overview(
        store.url,
        tuple(_totals(found)),
        tuple(sorted(bad.items())),
        tuple(h.name for h in found if h.is_unfinished),
        tuple(_series(ledger, sound) for ledger in all_series(store)),
        tuple(leases(store)),
        _last_scores(store, found),
    )


def _totals(found: Sequence[Holding]) -> list[StepTotal]:
    steps = defaultdict(list)
    for holding in found:
        steps[holding.step].append(holding)
    return [
        StepTotal(step, len(some), sum(h.bytes for h in some), max(h.created for h in some))
        for step, some in sorted(steps.items())
    ]


def _series(ledger: DayLedger, sound: set[tuple[str, str]]) -> SeriesState:
    days = ledger.days()
    records = {day: ledger.find(day) for day in days}
    whole = {d: r for d, r in records.items() if r is not None and r.needs <= sound}
    between = list(pd.date_range(days[0], days[-1], freq=DAY)) if days else []
    description = ledger.description()
    request = None if description is None else SeriesRequest(**description["request"])
    return SeriesState(
        key=ledger.key,
        what=_what(request),
        first=f"{days[0]:%Y-%m-%d}" if days else "",
        last=f"{days[-1]:%Y-%m-%d}" if days else "",
        held=len(whole),
        missing=_texts(d for d in between if d not in records),
        stale=_texts(d for d in whole if _is_stale(d, whole, request)),
        damaged=_texts(d for d in days if d not in whole),
        wall_seconds=median([r.wall_seconds for r in whole.values()] or [0.0]),
    )


def _is_stale(
    day: pd.Timestamp, whole: dict[pd.Timestamp, DayRecord], request: SeriesRequest | None
) -> bool:
    """Whether the day before is held, and is not what a day started from."""
    before = whole.get(day - DAY)
    if before is None or (request is not None and day == request.stream_start(day)):
        return False
    return whole[day].previous != before.key


def _what(request: SeriesRequest | None) -> str:
    if request is None:
        return "its description is damaged"
    return (
        f"{request.observations} by {request.method}, {request.members} members of "
        f"{request.model}, seed {request.seed}, from {request.start}"
    )


def _texts(days: Iterable[pd.Timestamp]) -> tuple[str, ...]:
    return tuple(f"{day:%Y-%m-%d}" for day in days)


def _last_scores(store: ArtifactStore, found: Sequence[Holding]) -> pd.DataFrame:
    """Scores of well-known fields in the last state of the newest forecast and analysis."""
    parts = []
    for step, what in _SCORED.items():
        some = [h for h in found if h.step == step and not h.problem]
        if not some:
            continue
        newest = max(some, key=lambda h: (h.created, h.key))
        try:
            table = _scores(store, newest)
        except (AppaError, OSError):  # it went away meanwhile
            continue
        parts.append(table.assign(of=what, made=newest.created))
    columns = ["of", "made", "field", "time", *_COLUMNS]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def _scores(store: ArtifactStore, holding: Holding) -> pd.DataFrame:
    with store.get(holding.step, holding.key).local() as folder:
        table = pd.read_csv(folder / SCORES)
    pairs = zip(table["variable"], table["level"], strict=True)
    shown = [(v, None if pd.isna(level) else int(level)) in _SHOWN for v, level in pairs]
    table = table[shown] if any(shown) else table
    names = table["variable"] + table["level"].map(
        lambda level: "" if pd.isna(level) else f" {int(level)} hPa"
    )
    when = "valid_time" if "valid_time" in table else "lead_hours"
    table = table.assign(field=names, time=table[when].astype(str))
    return table.groupby("field", sort=False).tail(1)
