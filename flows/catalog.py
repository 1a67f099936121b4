"""What states, observations and weights there are, and whether this machine can reach them.

`python -m flows.catalog` lists all; with names, all that is known of those. The network is asked,
for a few seconds at most. No flow is run.
"""

from __future__ import annotations

import argparse

from flows.cli import Parser, local_folder, run_command


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m flows.catalog",
        description="List sources of states, observations and weights.",
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="say all about these entries (default: a table)")
    add("--no-check", action="store_true", help="do not ask the network what can be reached")
    add(
        "--timeout",
        type=float,
        default=3.0,
        metavar="SECONDS",
        help="how long to wait for all answers together (default: %(default)s)",
    )
    add("--json", action="store_true", help="for programs")
    add(
        "--catalogs",
        type=local_folder,
        metavar="DIR",
        help="folder of other catalogs (default: the project's)",
    )
    add("--traceback", action="store_true", help="show where an error arose")
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None

import json  # noqa: E402
import textwrap  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from itertools import groupby  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from appa_core.errors import InputError  # noqa: E402
from appa_core.schema import Channel  # noqa: E402
from tasks.listing import Listed, list_entries  # noqa: E402

_HEADINGS = ("name", "kind", "coverage", "grid", "step", "levels", "licence", "reachable")
_WIDTH = 99


def as_json(rows: Sequence[Listed]) -> str:
    """Entries for programs: one object each; dates are ISO 8601, unknown is null."""
    return json.dumps([_facts(row) for row in rows], indent=1)


def as_table(rows: Sequence[Listed]) -> str:
    """Entries for people, a table for each catalog."""
    parts = []
    for catalog, group in groupby(rows, key=lambda row: row.catalog):
        members = list(group)
        lines = [_HEADINGS, *(_cells(row) for row in members)]
        columns = [i for i, cells in enumerate(zip(*lines, strict=True)) if any(cells[1:])]
        widths = {i: max(len(line[i]) for line in lines) for i in columns}
        table = ["  ".join(line[i].ljust(widths[i]) for i in columns).rstrip() for line in lines]
        parts.append("\n".join([catalog.upper(), *table, *_fields(members)]))
    return "\n\n".join(parts)


def as_paragraphs(rows: Sequence[Listed]) -> str:
    """All that is known of entries."""
    return "\n\n".join("\n".join(_lines(row)) for row in rows)


def _facts(row: Listed) -> dict[str, Any]:
    about = row.about.model_dump(
        mode="json", exclude={"packed", "kind", "surface", "upper_air", "split"}
    )
    return {
        "catalog": row.catalog,
        "name": row.name,
        "kind": row.kind,
        **{key: None if value == "" else value for key, value in about.items()},
        **row.facts,
        "url": row.url or None,
        "parameters": list(row.parameters),
        "reachable": row.reachable,
        "note": row.note or None,
    }


def _cells(row: Listed) -> tuple[str, ...]:
    about = row.about
    return (
        row.name,
        row.kind,
        _coverage(row),
        about.grid,
        f"{about.step_hours} h" if about.step_hours else "",
        str(len(about.levels_hpa) or ""),
        about.licence,
        _reachable(row, row.note.partition(":")[0]),
    )


def _coverage(row: Listed) -> str:
    if row.about.start is None:
        return ""
    return f"{row.about.start} to {row.about.end or 'now'}"


def _reachable(row: Listed, note: str) -> str:
    answer = {True: "yes", False: "no", None: ""}[row.reachable]
    return ": ".join(part for part in (answer, note) if part) or "not checked"


def _fields(rows: Sequence[Listed]) -> list[str]:
    """Which variables the entries have, in short; those with the same ones together."""
    lines: list[str] = []
    by_variables: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if row.about.variables:
            by_variables.setdefault(row.about.variables, []).append(row.name)
    for variables, names in by_variables.items():
        short = " ".join(Channel(name).short for name in variables)
        lines += textwrap.wrap(f"{short}: {', '.join(names)}", _WIDTH, subsequent_indent="  ")
    return ["", "variables", *lines] if lines else []


def _lines(row: Listed) -> list[str]:
    facts = {k: v for k, v in _facts(row).items() if v not in (None, "", [])}
    facts["reachable"] = _reachable(row, row.note)
    name = facts.pop("name")
    facts.pop("note", None)
    if "total_precipitation" not in row.about.variables:
        facts.pop("accumulation")
    wrapped = []
    for key, value in facts.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        wrapped += textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=f"  {key:13}",
            subsequent_indent=" " * 15,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return [name, *wrapped]


def _main(arguments: argparse.Namespace) -> None:
    folder = Path(arguments.catalogs) if arguments.catalogs else None
    check = not arguments.no_check
    rows = list_entries(folder, check=check, timeout_seconds=arguments.timeout)
    known = [row.name for row in rows]
    for name in arguments.names:
        if name not in known:
            raise InputError(f"no entry {name!r}; there are: {', '.join(known)}")
    if arguments.names:
        rows = [row for row in rows if row.name in arguments.names]
    if arguments.json:
        print(as_json(rows))
    else:
        print(as_paragraphs(rows) if arguments.names else as_table(rows))
        if not arguments.names:
            print("\na NAME says all about an entry; --help says more")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
