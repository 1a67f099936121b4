r"""What is done every night: yesterday's states, yesterday's reanalysis.

    python -m flows.nightly reanalysis --observations reports/ --model small
    python -m flows.nightly ingest --source era5-cds --preset small

The reanalysis first makes what stands no more of the days before (reports that came late, a day
that failed), then waits for yesterday's observations, and goes on from the day before. The result
is that of `flows.backfill`, byte for byte.
"""

from __future__ import annotations

import argparse

from flows.cli import (
    Parser,
    add_cluster_options,
    add_common_options,
    add_ensemble_options,
    add_observation_options,
    add_series_options,
    add_truth_option,
    prepare_environment,
    run_command,
    store_default,
)


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m flows.nightly",
        description="Yesterday's states, or yesterday's reanalysis.",
    )
    commands = parser.add_subparsers(dest="what", required=True)
    every = commands.add_parser("reanalysis", help="go on from the day before")
    add_common_options(every)
    _add_wait_options(every)
    every.add_argument("--look-back-days", type=int, default=3, help="days that are seen to again")
    every.add_argument("--least-rows", type=int, default=1, help="fewest reports of a day")
    add_series_options(every)
    add_observation_options(every)
    add_truth_option(every)
    add_ensemble_options(every)
    states = commands.add_parser("ingest", help="bring yesterday's states into the store")
    add_common_options(states)
    _add_wait_options(states)
    states.add_argument(
        "--look-back-days", type=int, default=7, help="days that are seen to again"
    )
    states.add_argument("--source", required=True, help="catalog entry, path or URL")
    states.add_argument("--preset", default="small", help="by name or YAML file")
    add_cluster_options(states)
    return parser.parse_args(argv)


def _add_wait_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--day", help="the day, UTC (default: yesterday)")
    add("--wait-hours", type=float, default=6.0, help="longest wait (default: %(default)s)")
    add("--poll-minutes", type=float, default=10.0, help="between looks (default: %(default)s)")


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

from datetime import UTC, datetime  # noqa: E402
from typing import Any  # noqa: E402

import pandas as pd  # noqa: E402
from prefect import flow  # noqa: E402

from appa_core.config.presets import Preset, load_preset  # noqa: E402
from appa_core.config.requests import parse_time  # noqa: E402
from appa_core.config.series import DAY  # noqa: E402
from appa_core.errors import InputError  # noqa: E402
from appa_core.io.cube import Cube  # noqa: E402
from appa_core.steps.series import Late, Series  # noqa: E402
from flows.backfill import prepare_series, require_all  # noqa: E402
from flows.ingest import ingest  # noqa: E402
from tasks.arrivals import Patience, await_observations, await_states  # noqa: E402
from tasks.cluster import ClusterSettings  # noqa: E402
from tasks.day import DaySettings  # noqa: E402
from tasks.series import Outcome, Policy, lanes_of  # noqa: E402
from tasks.sharing import work_through  # noqa: E402


def yesterday(now: datetime | None = None) -> str:
    """The day before a time, by default this one, in UTC."""
    time = (now or datetime.now(UTC)).astimezone(UTC)
    return f"{pd.Timestamp(time.date()) - DAY:%Y-%m-%d}"


def nightly_reanalysis(  # noqa: PLR0913
    observations: str,
    *,
    day: str | None = None,
    look_back_days: int = 3,
    patience: Patience | None = None,
    late: Late = "renew",
    store: str | None = None,
    output: str | None = None,
    cluster: ClusterSettings | None = None,
    recompute: bool = False,
    **options: Any,
) -> list[Outcome]:
    """Make a day of a series, and those shortly before it that do not stand.

    Args:
        observations: A simulated network, a catalog entry, or files.
        day: Which day; yesterday if None.
        look_back_days: Days before it that are seen to again.
        patience: How long to wait for the day's observations.
        late: `renew` makes days after one that was made again again too; `leave` leaves them.
        store: Artifact store; APPA_STORE or ./appa-store if None.
        output: Folder of the days; ./results/reanalysis-<key of the series> if None.
        cluster: Where members are drawn; in this process if None.
        recompute: Make every step again.
        **options: Of `flows.backfill.prepare_series`.

    Returns:
        What became of each day.

    Raises:
        AbsentError: The observations did not come in time.
        AppaError: A day failed.
    """
    if look_back_days < 0:
        raise InputError(f"expected 0 or more days to look back, got {look_back_days}")
    where = store_default(store)
    last = parse_time(day or yesterday())
    series = prepare_series(f"{last:%Y-%m-%d}", observations, where, **options)
    folder = output or f"results/reanalysis-{series.ledger.key[:12]}"
    policy = Policy(late, DaySettings(folder, cluster, recompute))
    first = max(series.request.first_day, last - look_back_days * DAY)
    return run_night(series, first, last, policy, patience or Patience())


@flow(name="nightly-reanalysis", validate_parameters=False)
def run_night(
    series: Series,
    first: pd.Timestamp,
    last: pd.Timestamp,
    policy: Policy,
    patience: Patience,
) -> list[Outcome]:
    """See to the days before -> wait for the day's observations -> make it."""
    before: list[Outcome] = []
    if first < last:
        before = work_through(series, lanes_of(series, first, last - DAY), policy, 1, 1)
    await_observations(series, last, patience)
    outcomes = before + work_through(series, lanes_of(series, last, last), policy, 1, 1)
    return [o for o in outcomes if o.day >= first]


@flow(name="nightly-ingest", validate_parameters=False)
def nightly_ingest(
    preset: Preset,
    store: str,
    source: str,
    day: str,
    *,
    look_back_days: int = 7,
    patience: Patience | None = None,
    cluster: ClusterSettings | None = None,
) -> str:
    """Bring the states of a day into the store, and renew those before it that changed.

    Args:
        preset: Fields, grid, step, size of blocks.
        store: Artifact store.
        source: Catalog entry, path or URL.
        day: Which day.
        look_back_days: Days before it that are seen to again.
        patience: How long to wait for the day's states.
        cluster: Where blocks are worked on.

    Returns:
        URL of the cube of states.

    Raises:
        InputError: There is no such source.
        AbsentError: The states did not come in time.
    """
    last = parse_time(day)
    await_states(preset, source, last, patience or Patience())
    return ingest(preset, store, source, last - look_back_days * DAY, last + DAY, cluster=cluster)


def _patience(arguments: dict[str, Any]) -> Patience:
    least = arguments.pop("least_rows", 1)
    return Patience(arguments.pop("wait_hours"), arguments.pop("poll_minutes"), least)


def _main(arguments: argparse.Namespace) -> None:
    fields = dict(vars(arguments))
    fields.pop("traceback")
    what, patience = fields.pop("what"), _patience(fields)
    if what == "reanalysis":
        outcomes = nightly_reanalysis(**fields, patience=patience)
        for outcome in outcomes:
            print(outcome)
        require_all(outcomes)
        return
    url = nightly_ingest(
        load_preset(arguments.preset),
        arguments.store,
        arguments.source,
        arguments.day or yesterday(),
        look_back_days=arguments.look_back_days,
        patience=patience,
        cluster=ClusterSettings.of(arguments),
    )
    cube = Cube.load(url)
    print(f"states    {url}")
    print(f"until     {cube.times()[-1]:%Y-%m-%dT%H:%M}")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
