"""Skill from observations: `python -m benchmarks.observing --write-tables docs/scores`.

Prints, as Markdown, the tables of the results page, on known states of the test period, and keeps
them where `python -m benchmarks.results` makes the page of them. Everything that is drawn is kept
in the store: the same command continues where it stopped. `--quick` makes one date with few
members, to see that all works.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from appa_core.errors import InputError
from benchmarks.experiments import EXPERIMENTS, OWN, Plan
from benchmarks.observed import Laboratory
from benchmarks.shown import show
from benchmarks.tables import MeasuredTable, changed_options, today
from flows.cli import store_default

DATES = ("2023-12-18", "2023-12-27", "2024-01-05", "2024-01-14", "2024-01-23", "2024-02-01")


def measure(name: str, plan: Plan, command: str) -> dict[str, MeasuredTable]:
    """Run an experiment; its tables, with what they are of.

    Args:
        name: Of the experiment.
        plan: What to run.
        command: That runs it.
    """
    lab, dates = plan.lab, plan.dates
    about = {
        "command": command,
        "date": today(),
        "weights": lab.weights,
        "seed": str(lab.seed),
        "data": lab.data,
    }
    # a month has a start of its own
    if name != "month":
        about["starts"] = f"{len(dates)} from {dates[0]} to {dates[-1]}"
    about |= {"members": str(lab.members), "method": OWN}
    found = {}
    for table, rows in EXPERIMENTS[name](plan).items():
        more = {str(key): str(value) for key, value in rows.attrs.items()}
        found[table] = MeasuredTable(about | more, rows)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, run, print, write.

    Raises:
        InputError: A quick run is to be kept as if it were a measurement.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", nargs="+", choices=EXPERIMENTS, default=[*EXPERIMENTS])
    parser.add_argument("--dates", nargs="+", default=DATES)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--model", default="small")
    parser.add_argument("--source", default="sample")
    parser.add_argument("--store", default=store_default())
    parser.add_argument("--write-tables", type=Path, metavar="DIR", help="such as docs/scores")
    parser.add_argument("--quick", action="store_true", help="one date, few members, three days")
    arguments = parser.parse_args(argv)
    if arguments.quick and arguments.write_tables:
        raise InputError("a quick run measures nothing that is worth keeping; leave out --quick")
    members = 3 if arguments.quick else arguments.members
    lab = Laboratory(arguments.store, arguments.model, arguments.source, members)
    dates = list(arguments.dates)[:1] if arguments.quick else list(arguments.dates)
    plan = Plan(lab, dates, 6 if arguments.quick else 30)
    sys.stdout.write(
        f"{len(dates)} start dates ({', '.join(dates)}), {members} members, model "
        f"{arguments.model}; 95 % intervals by Student's t over dates.\n\n"
    )
    rest = changed_options(parser, arguments, ("dates", "members", "model", "source"))
    for name in arguments.experiments:
        command = f"python -m benchmarks.observing --experiments {name}{rest}"
        for table, measured in measure(name, plan, command).items():
            sys.stdout.write(f"## {table}\n{measured.caption}\n\n")
            sys.stdout.write(f"{show(table, measured.rows)}\n\n")
            sys.stdout.flush()
            if arguments.write_tables:
                measured.write(arguments.write_tables / f"{table}.csv")


if __name__ == "__main__":
    main()
