"""Removing from a store what nothing needs any more.

Kept is what is younger than a limit, what a day of a series refers to, what is expensive to make
(trainings, ingested states), and everything that any of these was made from, as their manifests
say. The rest can be made again by the commands that made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from appa_core.errors import BusyError, IntegrityError
from appa_core.io.day_ledger import all_series
from appa_core.io.inventory import Holding, closure, holdings, leases
from appa_core.io.lock import StoreLock
from appa_core.io.store import ArtifactStore

#: Steps whose artifacts are drawn, decoded or derived from models and observations.
DISPOSABLE = frozenset({
    "analysis-report", "analysis-scores", "analysis-stretch", "climatology-draws", "denial-impact",
    "departures", "encode-known", "filtering-fields", "forecast", "forecast-blanket",
    "observations", "reanalysis-fields", "report", "scores", "simulated-observations",
    "smoothed-fields", "start-from-observations",
})  # fmt: skip


@dataclass(frozen=True)
class Cleanup:
    """What would be removed, and what stays.

    Args:
        remove: In an order in which nothing is removed before what was made from it.
        kept: How many holdings stay.
    """

    remove: tuple[Holding, ...]
    kept: int

    @property
    def bytes(self) -> int:
        """That would be freed."""
        return sum(holding.bytes for holding in self.remove)


def plan_cleanup(
    store: ArtifactStore, before: pd.Timestamp, steps: frozenset[str] = DISPOSABLE
) -> Cleanup:
    """What can go.

    Args:
        store: Which store.
        before: What was committed since then stays, UTC.
        steps: Of these steps alone.

    Raises:
        IntegrityError: A manifest is damaged, so that what it needs is not known.
        BusyError: Someone is at work in the store.
    """
    _require_calm(store)
    found = list(holdings(store))
    damaged = [h.name for h in found if h.manifest is None and not h.is_unfinished]
    if damaged:
        raise IntegrityError(
            f"what {', '.join(damaged)} of {store.url} needs is not known, for its manifest is "
            "damaged; remove it (the command that made it makes it again), then clean up"
        )
    needs = {h.key: h.needs for h in found}
    kept = closure(_wanted(store, found, before, steps), needs)
    old = [h for h in found if h.key not in kept and not h.is_unfinished]
    return Cleanup(tuple(_children_first(old)), len(found) - len(old))


def _wanted(
    store: ArtifactStore, found: Sequence[Holding], before: pd.Timestamp, steps: frozenset[str]
) -> set[str]:
    """Keys that stay for reasons of their own."""
    wanted = {
        h.key
        for h in found
        if h.is_cube or h.step not in steps or not h.created or _time(h.created) >= before
    }
    for ledger in all_series(store):
        for day in ledger.days():
            record = ledger.find(day)
            if record is not None:
                wanted |= {key for _, key in record.needs}
    return wanted


def _time(created: str) -> pd.Timestamp:
    return pd.Timestamp(created).tz_convert(None)


def _children_first(found: Iterable[Holding]) -> list[Holding]:
    """In an order in which what was made from others comes before them."""
    left = {h.key: h for h in found}
    ordered: list[Holding] = []
    while left:
        needed = set().union(*(h.needs for h in left.values()))
        free = [h for h in left.values() if h.key not in needed]
        ordered += free
        for holding in free or list(left.values()):
            left.pop(holding.key)
    return ordered


def clean_up(
    store: ArtifactStore, before: pd.Timestamp, steps: frozenset[str] = DISPOSABLE
) -> Cleanup:
    """Remove what `plan_cleanup` says; after a kill, the same call goes on.

    Raises:
        IntegrityError: A manifest is damaged.
        BusyError: Someone is at work in the store, or cleans it up.
    """
    with StoreLock(f"{store.url}/cleanup/all") as lock:
        plan = plan_cleanup(store, before, steps)
        for holding in plan.remove:
            lock.check()
            store.remove(holding.step, holding.key)
    return plan


def _require_calm(store: ArtifactStore) -> None:
    for lease in leases(store):
        if lease.owner.is_alive and not lease.place.startswith("cleanup/"):
            raise BusyError(
                f"{store.url}/{lease.place} is being written by {lease.owner}; clean up when it "
                "has ended"
            )
