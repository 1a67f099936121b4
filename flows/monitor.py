"""Whether data are missing and skill drifts: `python -m flows.monitor`.

Looks at the store alone; no flow is run. Ends with status 1 if somebody should look at something,
which it says. `--heartbeats` tells the Prefect server in use to mark runs as crashed that stop
without a word.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from flows.cli import new_parser, prepare_environment, run_command


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("monitor", "Whether data are missing and skill drifts.")
    add = parser.add_argument
    add(
        "--late-hours",
        type=float,
        default=36.0,
        metavar="HOURS",
        help="since a source's last state, until it is late (default: %(default)s)",
    )
    add(
        "--drift-limit",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="growth of a field's error that is too much (default: %(default)s)",
    )
    add("--now", help="time to judge by, UTC (default: that of the clock)")
    add("--metrics", metavar="FILE", help="write gauges: FILE.prom for node-exporter")
    add("--heartbeats", action="store_true", help="register the rule on the server in use")
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

from pathlib import Path  # noqa: E402

import pandas as pd  # noqa: E402

from appa_core.config.requests import parse_time  # noqa: E402
from appa_core.io.store import ArtifactStore  # noqa: E402
from appa_core.steps.health import Holding, Skill, alerts, holdings, skills  # noqa: E402
from tasks.watching.health import write_health  # noqa: E402


def print_health(held: list[Holding], measured: list[Skill], found: list[str]) -> None:
    """What there is, and what somebody should look at, for a terminal."""
    for holding in held:
        print(f"states    {holding.source}: {holding.states}, last {holding.last}")
    for skill in measured:
        change = "too few to say" if skill.drift is None else f"{skill.drift:+.1%}"
        print(f"skill     {skill.field}: {skill.last:.3f} of climatology, drift {change}")
    for text in found:
        print(f"alert     {text}")
    if not found:
        print("nothing is missing, no skill has drifted")


def _main(arguments: argparse.Namespace) -> None:
    if arguments.heartbeats:
        # of Prefect, which takes a while to import
        heartbeats = importlib.import_module("tasks.watching.heartbeats")
        heartbeats.register_silent_runs()
        print(f"rule      {heartbeats.NAME}")
    now = parse_time(arguments.now) if arguments.now else pd.Timestamp.now("UTC").tz_localize(None)
    store = ArtifactStore(arguments.store)
    held, measured = holdings(store), skills(store)
    limits = {"late_hours": arguments.late_hours, "drift_limit": arguments.drift_limit}
    found = alerts(held, measured, now, **limits)
    print_health(held, measured, found)
    if arguments.metrics:
        write_health(Path(arguments.metrics), held, measured, found, now)
    if found:
        sys.exit(1)


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
