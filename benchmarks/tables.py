"""Measured tables that are kept with the project: a CSV file with what it is of at its head."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from appa_core.errors import DataError
from appa_core.io.store import write_atomically
from appa_core.metrics.intervals import paired_change

#: What the head of every table says.
REQUIRED = ("command", "date", "weights", "seed")


@dataclass(frozen=True, eq=False)
class MeasuredTable:
    """Numbers and where they come from.

    Args:
        about: `command`, `date`, `weights` (their key), `seed`, and whatever else there is to say.
        rows: The numbers, as they were measured.
    """

    about: Mapping[str, str]
    rows: pd.DataFrame

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        head = "".join(f"# {name}: {value}\n" for name, value in self.about.items())
        body = self.rows.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, head + body)

    @classmethod
    def read(cls, path: Path) -> MeasuredTable:
        """A file that `write` wrote.

        Raises:
            DataError: The head does not say what the table is of.
        """
        lines = path.read_text("utf-8").splitlines()
        head = [line[1:].partition(":") for line in lines if line.startswith("#")]
        about = {name.strip(): value.strip() for name, _, value in head}
        missing = [name for name in REQUIRED if not about.get(name)]
        if missing:
            raise DataError(
                f"{path} does not say its {', '.join(missing)}; expected lines such as "
                "'# seed: 0' at its head: write it by the command that measures"
            )
        body = "\n".join(line for line in lines if not line.startswith("#"))
        return cls(about, pd.read_csv(io.StringIO(body)))

    @property
    def caption(self) -> str:
        """One paragraph that says what the table is of."""
        rest = {n: v for n, v in self.about.items() if n not in {"command", "date"}}
        said = "; ".join(f"{name} {value}" for name, value in rest.items())
        return f"`{self.about['command']}`, {self.about['date']}: {said}."


def today() -> str:
    """The date of a measurement, ISO 8601, UTC."""
    return f"{datetime.now(UTC):%Y-%m-%d}"


def changed_options(
    parser: argparse.ArgumentParser, given: argparse.Namespace, names: Sequence[str]
) -> str:
    """Options of a command line that are not as usual, each with a blank before it.

    Args:
        parser: Of the options.
        given: What it made of the command line.
        names: Options that bear on the numbers, as attributes: `lead_hours`.
    """
    words = ""
    for name in names:
        value = getattr(given, name)
        if value != parser.get_default(name):
            text = str(value) if isinstance(value, str | int) else " ".join(map(str, value))
            words += f" --{name.replace('_', '-')} {text}"
    return words


def bounded(name: str, value: float, low: float, high: float) -> dict[str, float]:
    """Three cells of a row, which `markdown` shows as one: a number and its bounds."""
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def ratio(name: str, a: Sequence[float], b: Sequence[float]) -> dict[str, float]:
    """Mean of a / b over cases and its 95 % interval, which one case lacks."""
    change = paired_change(a, b)
    return bounded(name, 1 + change.mean, 1 + change.low, 1 + change.high)


def markdown(
    rows: pd.DataFrame, formats: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> str:
    """A Markdown table.

    Columns `X_low` and `X_high` are shown behind X, in brackets.

    Args:
        rows: Its cells.
        formats: Of columns, such as `.3f`; others are shown to four significant digits.
        headers: What columns are called; their own names by default.
    """
    names = list(rows.columns)
    shown = [n for n in names if not (n.endswith(("_low", "_high")) and _bounds(n) in names)]
    titles = [(headers or {}).get(n, n) for n in shown]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(shown) + "|"]
    for row in rows.to_dict("records"):
        named = {str(name): value for name, value in row.items()}
        lines.append(f"| {' | '.join(_cells(named, shown, formats))} |")
    return "\n".join(lines)


def _bounds(name: str) -> str:
    """What a bound is of."""
    return name.rpartition("_")[0]


def _cells(
    row: Mapping[str, object], shown: Sequence[str], formats: Mapping[str, str]
) -> Iterator[str]:
    for name in shown:
        number = formats.get(name, "")
        text = _cell(row[name], number)
        bound = formats.get(f"{name}_low", number)
        low, high = (
            _cell(row.get(f"{name}_{end}", float("nan")), bound) for end in ("low", "high")
        )
        yield f"{text} ({low} .. {high})" if low and high else text


def _cell(value: object, number: str) -> str:
    if not isinstance(value, float):
        return str(value)
    if pd.isna(value):
        return ""
    # four digits, zeros at the end among them, but no bare point
    return format(value, number) if number else format(value, "#.4g").rstrip(".")
