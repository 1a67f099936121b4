r"""Fill the gaps of a reanalysis that grows day by day.

On a command line:

    python -m flows.backfill reanalysis --start 2023-12-16 --end 2024-01-31 \
        --observations simulated:stations=0.05,orbiters=1

Gaps are found from the store. What is done is skipped; days whose observations, model or day
before changed are made again; a day that fails is reported, and the days after it are made. The
command can be stopped and started at will, and several share the work. `--dry-run` says what it
would do.
"""

from __future__ import annotations

import argparse

from flows.cli import (
    add_ensemble_options,
    add_member_cluster_options,
    add_observation_options,
    add_series_options,
    add_truth_option,
    new_parser,
    prepare_environment,
    run_command,
    store_default,
)


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("backfill", "Fill the gaps of a reanalysis that grows day by day.")
    add = parser.add_argument
    add("what", choices=["reanalysis"], help="what is filled")
    add("--start", required=True, help="first day, UTC, such as 2023-12-16")
    add("--end", required=True, help="day before which it ends")
    add("--chunk-days", type=int, default=1, help="days of one task (default: %(default)s)")
    add(
        "--max-parallel",
        type=int,
        default=1,
        help="streams that are worked on side by side (default: %(default)s)",
    )
    add("--dry-run", action="store_true", help="say what it would do, and how long")
    add(
        "--stop-at-failure",
        action="store_true",
        help="do not go on past a day that fails; else the model bridges it",
    )
    add_series_options(parser)
    add_observation_options(parser)
    add_truth_option(parser)
    add_ensemble_options(parser)
    add_member_cluster_options(parser)
    return parser.parse_args(argv)


# --help and malformed options are answered before the imports below, which take seconds
_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

from typing import Any  # noqa: E402

import pandas as pd  # noqa: E402
from prefect import flow  # noqa: E402

from appa_core.config.requests import parse_time  # noqa: E402
from appa_core.config.series import DAY, series_request  # noqa: E402
from appa_core.errors import AppaError, InputError  # noqa: E402
from appa_core.steps.series import DONE, Late, Series, first_day_of  # noqa: E402
from flows.observing import call_arguments, request_fields  # noqa: E402
from tasks.cluster import ClusterSettings  # noqa: E402
from tasks.day import DaySettings  # noqa: E402
from tasks.reports import prepare_job  # noqa: E402
from tasks.series import (  # noqa: E402
    FAILED,
    KEPT,
    MADE,
    WAITING,
    Lane,
    Outcome,
    Policy,
    lanes_of,
    planned,
)
from tasks.sharing import work_through  # noqa: E402


def prepare_series(
    start: str,
    observations: str,
    store: str,
    *,
    first_day: str | None = None,
    device: str = "cpu",
    **options: Any,
) -> Series:
    """A checked series.

    Args:
        start: First day that is wanted.
        observations: A simulated network, a catalog entry, or files.
        store: Artifact store.
        first_day: Of the series; that of the series in the store with these settings if None.
        device: Where networks run.
        **options: Other fields of `SeriesRequest`.

    Raises:
        InputError: Something that was asked for is not possible; nothing has been written.
        IntegrityError: Data or weights are damaged.
    """
    fields = request_fields(options, start=start, observations=observations)
    request = series_request(**fields)
    first = first_day or first_day_of(store, request)
    request = series_request(**fields | {"start": f"{parse_time(first):%Y-%m-%d}"})
    series = Series(prepare_job("reanalysis", request, device, None), request, store)
    _ = series.analysis(request.first_day).plan  # whether it can be drawn
    _ = series.analysis(request.first_day + DAY).plan
    return series


def backfill(  # noqa: PLR0913
    start: str,
    end: str,
    observations: str,
    *,
    store: str | None = None,
    output: str | None = None,
    chunk_days: int = 1,
    max_parallel: int = 1,
    late: Late = "renew",
    stop_at_failure: bool = False,
    dry_run: bool = False,
    cluster: ClusterSettings | None = None,
    recompute: bool = False,
    **options: Any,
) -> list[Outcome]:
    """Make the days of a series that do not stand.

    Args:
        start: First day, ISO 8601, UTC.
        end: Day before which it ends.
        observations: A simulated network, a catalog entry, or files.
        store: Artifact store; APPA_STORE or ./appa-store if None.
        output: Folder of the days, each in one of its own;
            ./results/reanalysis-<key of the series> if None.
        chunk_days: Days of one task.
        max_parallel: Streams that are worked on side by side.
        late: `renew` makes days after one that was made again again too; `leave` leaves them.
        stop_at_failure: Whether a day that fails ends it.
        dry_run: Only say what would be done.
        cluster: Where members are drawn; in this process if None.
        recompute: Make every step again.
        **options: Of `prepare_series`.

    Returns:
        What became of each day; of a dry run, what would.

    Raises:
        InputError: Something that was asked for is not possible; nothing has been written.
    """
    first, last = parse_time(start), parse_time(end) - DAY
    if last < first or min(chunk_days, max_parallel) < 1:
        raise InputError(
            f"{start} to {end}, {chunk_days} days a task, {max_parallel} at once: expected an end "
            "after the start, and 1 or more of the others"
        )
    where = store_default(store)
    series = prepare_series(start, observations, where, **options)
    lanes = lanes_of(series, first, last)
    folder = output or f"results/reanalysis-{series.ledger.key[:12]}"
    how = DaySettings(folder, cluster, recompute)
    policy = Policy(late, how, bridges=not stop_at_failure)
    if dry_run:
        return planned(series, lanes, policy)
    return run_backfill(series, lanes, policy, chunk_days, max_parallel)


@flow(name="backfill-reanalysis", validate_parameters=False)
def run_backfill(
    series: Series, lanes: list[Lane], policy: Policy, chunk_days: int, max_parallel: int
) -> list[Outcome]:
    """Go through all lanes, some side by side."""
    return work_through(series, lanes, policy, chunk_days, max_parallel)


def require_all(outcomes: list[Outcome]) -> None:
    """Complain of days that failed.

    Raises:
        AppaError: Some did; the message says which, and why.
    """
    failed = [o for o in outcomes if o.state == FAILED]
    if failed:
        lines = "\n".join(f"  {o.day:%Y-%m-%d}: {o.why}" for o in failed)
        raise AppaError(
            f"{len(failed)} of {len(outcomes)} days failed; the others are done, and the same "
            f"command tries these again:\n{lines}"
        )


def _print_plan(arguments: argparse.Namespace, outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        print(outcome)
    to_make = [o for o in outcomes if o.state not in {DONE, KEPT, WAITING}]
    seconds = sum(o.seconds for o in to_make)
    print(f"\n{len(to_make)} of {len(outcomes)} days would be made")
    if seconds:
        print(f"about {pd.Timedelta(seconds=round(seconds))} of work, by what days have taken")
    elif to_make:
        print("how long is not known: no day of this series has been made yet")
    if seconds and arguments.max_parallel > 1 and arguments.stream_days:
        print(f"shared by up to {arguments.max_parallel} streams at a time")


def _main(arguments: argparse.Namespace) -> None:
    fields = call_arguments(arguments)
    fields.pop("what")
    outcomes = backfill(**fields)
    if arguments.dry_run:
        _print_plan(arguments, outcomes)
        return
    for outcome in outcomes:
        print(outcome)
    made = [o for o in outcomes if o.state == MADE]
    print(f"\n{len(made)} of {len(outcomes)} days made, in {sum(o.seconds for o in made):.0f} s")
    require_all(outcomes)


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
