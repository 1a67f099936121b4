"""What the store holds: `python -m flows.status`.

What exists, is missing, stale, damaged or being made; sizes; last scores. With `--verify` every
byte is compared with its checksum. The exit status is 2 if something is damaged. As the deployment
`status`, the same is a page in the Prefect UI.
"""

from __future__ import annotations

import argparse

from flows.cli import new_parser, prepare_environment, run_command, store_default


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("status", "What the store holds.")
    parser.add_argument("--verify", action="store_true", help="compare checksums of all files")
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

from collections.abc import Sequence  # noqa: E402

import pandas as pd  # noqa: E402
from prefect import flow  # noqa: E402

from appa_core.errors import IntegrityError  # noqa: E402
from appa_core.io.store import ArtifactStore  # noqa: E402
from appa_core.steps.overview import Overview, overview  # noqa: E402
from tasks.figures import publish_page  # noqa: E402

_SHOWN_DAYS = 10


def tables(seen: Overview) -> list[tuple[str, list[str], list[list[str]]]]:
    """An overview as tables: title, columns, rows."""
    rows_of_series = [
        [
            series.key[:12], series.what, f"{series.first} to {series.last}", str(series.held),
            _days(series.missing), _days(series.stale), _days(series.damaged),
            f"{series.wall_seconds:.0f} s",
        ]
        for series in seen.series
    ]  # fmt: skip
    running = [[e.place, str(e.owner)] for e in seen.leases if e.owner.is_alive]
    left = [[e.place, str(e.owner)] for e in seen.leases if not e.owner.is_alive]
    steps = [[s.step, str(s.count), size_text(s.bytes), s.last] for s in seen.steps]
    scores = [[_cell(v) for v in row] for row in seen.scores.round(4).itertuples(index=False)]
    columns = ["series", "what", "days", "held", "missing", "stale", "damaged", "a day takes"]
    found = [
        ("Reanalyses by day", columns, rows_of_series),
        ("Being made", ["where", "by"], running),
        ("Locks of commands that ended without a word", ["where", "by"], left),
        ("Damaged", ["artifact", "what"], [list(pair) for pair in seen.damaged]),
        ("Unfinished", ["artifact"], [[name] for name in seen.unfinished]),
        ("Last scores (SI units)", [str(c) for c in seen.scores.columns], scores),
        ("Artifacts by step", ["step", "how many", "size", "last made"], steps),
    ]
    return [table for table in found if table[2]]


def size_text(count: float) -> str:
    """Bytes in a unit that people read."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _cell(value: object) -> str:
    return "" if pd.isna(value) else str(value)  # type: ignore[call-overload]


def _days(days: Sequence[str]) -> str:
    if len(days) > _SHOWN_DAYS:
        return f"{', '.join(days[:_SHOWN_DAYS])} and {len(days) - _SHOWN_DAYS} more"
    return ", ".join(days)


def as_text(seen: Overview) -> str:
    """An overview for a terminal."""
    total = sum(step.bytes for step in seen.steps)
    lines = [f"{seen.url}: {size_text(total)}", ""]
    for title, columns, rows in tables(seen):
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        lines.append(title)
        for row in (columns, *rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            lines.append("  " + "  ".join(cells).rstrip())
        lines.append("")
    return "\n".join(lines).rstrip()


def as_markdown(seen: Overview) -> str:
    """An overview as a page."""
    parts = [f"# Store `{seen.url}`"]
    for title, columns, rows in tables(seen):
        lines = [f"| {' | '.join(row)} |" for row in (columns, *rows)]
        lines.insert(1, "|" + "---|" * len(columns))
        parts.append(f"## {title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


@flow(name="status-job", timeout_seconds=3600)
def status_job(store: str = "", *, verify: bool = False) -> bool:
    """A page with what the store holds, is missing, stale, damaged or being made.

    Args:
        store: Artifact store; empty: APPA_STORE, else ./appa-store.
        verify: Compare checksums of all files, which reads them all.

    Returns:
        Whether nothing is known to be damaged.
    """
    seen = overview(ArtifactStore(store_default(store)), verify=verify)
    publish_page(as_markdown(seen), "store-status", f"What {seen.url} holds")
    return seen.is_sound


def _main(arguments: argparse.Namespace) -> None:
    seen = overview(ArtifactStore(arguments.store), verify=arguments.verify)
    print(as_text(seen))
    if not seen.is_sound:
        raise IntegrityError(
            "something is damaged; the commands that made it make it again (of days: python -m "
            "flows.backfill), once artifacts whose bytes differ are removed"
        )


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
