"""Flows of a reanalysis that grows day by day, as the Prefect UI shows them; see `deployed`."""

from __future__ import annotations

from functools import partial
from typing import Literal

from prefect import flow

from flows.backfill import backfill, require_all
from flows.deployed import HOUR, Device, Method
from flows.nightly import nightly_reanalysis, yesterday
from tasks.arrivals import Patience
from tasks.attempts import attempt
from tasks.cluster import ClusterSettings
from tasks.figures import publish_page
from tasks.series import Outcome

Late = Literal["renew", "leave"]


@flow(name="nightly-reanalysis-job", timeout_seconds=20 * HOUR)
def nightly_reanalysis_job(  # noqa: PLR0913
    observations: str = "simulated:stations=0.05,orbiters=1",
    *,
    day: str = "",
    first_day: str = "",
    look_back_days: int = 3,
    wait_hours: float = 6.0,
    least_rows: int = 1,
    late: Late = "renew",
    method: Method = "mmps",
    members: int = 8,
    seed: int = 0,
    model: str = "small",
    withhold: float = 0.1,
    truth: str = "",
    overlap_hours: int | None = None,
    device: Device = "cpu",
    workers: int = 0,
    dask_address: str = "",
    store: str = "",
    output: str = "",
) -> list[str]:
    """Yesterday's reanalysis, from where the day before ended.

    Args:
        observations: A simulated network, a catalog entry, or files.
        day: Which day; empty: yesterday, UTC.
        first_day: Of the series; empty: that of the series in the store with these settings.
        look_back_days: Days before that are made again if their reports changed.
        wait_hours: Longest wait for the day's observations.
        least_rows: Fewest reports that a day must have.
        late: Days after one that is made again: make them again, or leave them.
        method: How states are drawn.
        members: Size of the ensemble.
        seed: Another seed draws other members.
        model: Name or folder of registered weights.
        withhold: Share of stations that is kept apart, to verify with.
        truth: Catalog entry of known states to score against; empty: none.
        overlap_hours: After a day, drawn with it and again by the next; empty: as far as a
            stretch looks ahead.
        device: Where networks run.
        workers: Processes that draw members side by side; 0: none.
        dask_address: Scheduler of a running Dask cluster to use instead; empty: none.
        store: Artifact store; empty: APPA_STORE, else ./appa-store.
        output: Folder of the days; empty: below ./results.

    Returns:
        What became of each day.
    """
    work = partial(
        nightly_reanalysis, observations, day=day or yesterday(), first_day=first_day or None,
        look_back_days=look_back_days, patience=Patience(wait_hours, least_rows=least_rows),
        late=late, method=method, members=members, seed=seed, model=model, withhold=withhold,
        truth=truth, overlap_hours=overlap_hours, device=device, store=store or None,
        output=output or None, cluster=ClusterSettings(dask_address or None, workers),
    )  # fmt: skip
    return _settled(attempt("nightly reanalysis", work))


@flow(
    name="backfill-job", flow_run_name="backfill {start} to {end}", timeout_seconds=14 * 24 * HOUR
)
def backfill_job(  # noqa: PLR0913
    start: str = "2024-01-01",
    end: str = "2024-01-04",
    *,
    observations: str = "simulated:stations=0.05,orbiters=1",
    first_day: str = "",
    chunk_days: int = 1,
    max_parallel: int = 1,
    stream_days: int = 0,
    late: Late = "renew",
    dry_run: bool = False,
    method: Method = "mmps",
    members: int = 8,
    seed: int = 0,
    model: str = "small",
    withhold: float = 0.1,
    truth: str = "",
    overlap_hours: int | None = None,
    device: Device = "cpu",
    workers: int = 0,
    dask_address: str = "",
    store: str = "",
    output: str = "",
) -> list[str]:
    """The days of a period that the store lacks, or that were made from something else.

    Args:
        start: First day, UTC.
        end: Day before which it ends.
        observations: A simulated network, a catalog entry, or files.
        first_day: Of the series; empty: that of the series in the store with these settings, else
            the start.
        chunk_days: Days of one task.
        max_parallel: Streams that are worked on side by side.
        stream_days: Start anew every so many days; 0: one stream.
        late: Days after one that is made again: make them again, or leave them.
        dry_run: Only say what would be done.
        method: How states are drawn.
        members: Size of the ensemble.
        seed: Another seed draws other members.
        model: Name or folder of registered weights.
        withhold: Share of stations that is kept apart, to verify with.
        truth: Catalog entry of known states to score against; empty: none.
        overlap_hours: After a day, drawn with it and again by the next; empty: as far as a
            stretch looks ahead.
        device: Where networks run.
        workers: Processes that draw members side by side; 0: none.
        dask_address: Scheduler of a running Dask cluster to use instead; empty: none.
        store: Artifact store; empty: APPA_STORE, else ./appa-store.
        output: Folder of the days; empty: below ./results.

    Returns:
        What became of each day, or would.
    """
    work = partial(
        backfill, start, end, observations, first_day=first_day or None, chunk_days=chunk_days,
        max_parallel=max_parallel, stream_days=stream_days, late=late, dry_run=dry_run,
        method=method, members=members, seed=seed, model=model, withhold=withhold, truth=truth,
        overlap_hours=overlap_hours, device=device, store=store or None, output=output or None,
        cluster=ClusterSettings(dask_address or None, workers),
    )  # fmt: skip
    return _settled(attempt("backfill", work))


def _settled(outcomes: list[Outcome]) -> list[str]:
    """Show what became of days; days that failed fail the run."""
    _show_days(outcomes)
    require_all(outcomes)
    return [str(outcome) for outcome in outcomes]


def _show_days(outcomes: list[Outcome]) -> None:
    """Show what became of the days of a series."""
    rows = [f"| {o.day:%Y-%m-%d} | {o.state} | {o.seconds:.0f} | {o.why} |" for o in outcomes]
    table = "\n".join(["| day | state | seconds | why |", "|---|---|---|---|", *rows])
    publish_page(f"# Days\n\n{table}", "days", "Days of a reanalysis")
