"""Measured tables that are kept with the project: a CSV file with what it is of at its head."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from appa_core.errors import DataError
from appa_core.io.store import write_atomically

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


def markdown(rows: pd.DataFrame, formats: Mapping[str, str]) -> str:
    """A Markdown table.

    Args:
        rows: Its cells.
        formats: Of columns, such as `.3f`; others are shown to four significant digits.
    """
    lines = [f"| {' | '.join(rows.columns)} |", "|---" * len(rows.columns) + "|"]
    for row in rows.to_dict("records"):
        cells = [_cell(value, formats.get(str(name), ".4g")) for name, value in row.items()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: object, number: str) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else format(value, number)
    return str(value)
