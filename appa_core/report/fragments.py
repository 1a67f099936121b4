"""The parts of the page that are plain HTML: score table and provenance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from appa_core.errors import DataError
from appa_core.report.content import SCORES, ForecastReport, ReportTable
from appa_core.report.units import display_of, shown_name
from appa_core.schema import VARIABLES

_HEADINGS = (
    "Variable", "Level", "Lead (h)", "RMSE of mean", "CRPS", "Spread", "Spread/skill",
    "RMSE of persistence", "RMSE of climatology", "Unit",
)  # fmt: skip


def shown_scores(report: ForecastReport) -> list[dict[str, Any]]:
    """Score rows in display units, with the channel's name; None where a score is missing.

    Raises:
        DataError: A row lacks its variable, lead time or unit.
    """
    return [_shown_row(row) for row in report.score_rows]


def _shown_row(row: Mapping[str, Any]) -> dict[str, Any]:
    missing = [key for key in ("variable", "lead_hours") if key not in row]
    if missing:
        raise DataError(f"a score row lacks {', '.join(missing)}: {dict(row)}")
    variable, level = str(row["variable"]), _number(row.get("level"))
    if "units" not in row and variable not in VARIABLES:
        raise DataError(
            f"a score row of {variable!r}, which the schema does not know, lacks units"
        )
    display = display_of(str(row["units"]) if "units" in row else VARIABLES[variable][0])
    scores = {name: _number(row.get(name)) for name in SCORES}
    scale = {name: 1.0 if name == "ssr" else display.scale for name in SCORES}
    return {
        "channel": variable if level is None else f"{variable}_{level:g}",
        "variable": variable,
        "level": level,
        "lead": int(row["lead_hours"]),
        "units": display.units_of_differences,
    } | {name: _rounded(x, scale[name]) for name, x in scores.items()}


def score_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """All scores, a line for each channel and lead."""
    if not rows:
        return "<p>This forecast has not been scored.</p>"
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in _HEADINGS)
    body = "\n".join(_score_line(row) for row in rows)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="All scores">'
        f'<table id="all-scores"><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def plain_table(table: ReportTable) -> str:
    """A table with its heading, as a section of the page."""
    head = "".join(f'<th scope="col">{escape(c)}</th>' for c in table.columns)
    body = "\n".join(
        f"<tr>{''.join(f'<td>{escape(_cell(c))}</td>' for c in row)}</tr>" for row in table.rows
    )
    return (
        f'<section aria-label="{escape(table.title)}"><h2>{escape(table.title)}</h2>\n'
        f'<p class="hint">{escape(table.note)}</p>\n'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">'
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div></section>"
    )


def _cell(value: str | float | None) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) else number_text(_number(value))


def definition_list(mapping: Mapping[str, Any]) -> str:
    """A mapping as a definition list; mappings within it as lists within the list."""
    items = (
        f"<div><dt>{escape(str(key))}</dt><dd>{_definition(value)}</dd></div>"
        for key, value in mapping.items()
    )
    return f"<dl>{''.join(items)}</dl>"


def number_text(value: float | None) -> str:
    """Three significant digits, or a dash."""
    if value is None:
        return "\u2013"
    magnitude = abs(value)
    if magnitude == 0:
        return "0"
    digits = 2 - math.floor(math.log10(magnitude))
    text = f"{value:.{min(max(digits, 0), 6)}f}" if 1e-4 <= magnitude < 1e7 else f"{value:.2e}"
    return text.replace("-", "\u2212")


def _definition(value: Any) -> str:
    if isinstance(value, Mapping):
        return definition_list(value)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        items = list(value)
        if any(isinstance(item, Mapping) for item in items):
            return "".join(_definition(item) for item in items)
        return escape(", ".join(map(str, items)))
    return escape(str(value))


def _score_line(row: Mapping[str, Any]) -> str:
    level = "surface" if row["level"] is None else f"{row['level']:g} hPa"
    texts = [level, str(row["lead"]), *(number_text(row[name]) for name in SCORES), row["units"]]
    cells = "".join(f"<td>{escape(text)}</td>" for text in texts)
    name = shown_name(str(row["variable"]))
    return f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'


def _number(value: Any) -> float | None:
    """A finite number, or None for None, NaN, infinity and the empty text of a CSV file."""
    if value is None or value == "":
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _rounded(value: float | None, scale: float) -> float | None:
    return None if value is None else float(f"{value * scale:.6g}")
