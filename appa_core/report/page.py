"""Rendering of a forecast report as one self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from appa_core.report.coastlines import coastline_text
from appa_core.report.content import FieldBlock, ForecastReport
from appa_core.report.encode import encode_report, script_safe_json
from appa_core.report.fragments import definition_list, plain_table, score_table, shown_scores

__all__ = ["FieldBlock", "ForecastReport", "render_forecast_report"]

#: In the order in which they run: later files use what earlier ones define.
_SCRIPTS = (
    "data.js", "palette.js", "projections.js", "geo.js", "maps.js", "charts.js", "scores.js",
    "dom.js", "panels.js", "plume.js", "counts.js", "verification.js", "page.js",
)  # fmt: skip
_STYLES = ("page.css", "figures.css", "media.css")


def render_forecast_report(content: ForecastReport, budget_bytes: int | None = None) -> str:
    """The page as text: it loads nothing, and the same content gives the same text.

    Args:
        content: What to show.
        budget_bytes: For the text of the fields; those that do not fit are left out, from the
            last on, and named. The rest of a page is about 0.3 MB.

    Returns:
        HTML, to be written as UTF-8.

    Raises:
        DataError: A score row lacks its variable, lead time or unit.
    """
    script = "\n".join(_asset(name) for name in _SCRIPTS)
    style = "\n".join(_asset(name) for name in _STYLES)
    scores = shown_scores(content)
    data = encode_report(content, scores, budget_bytes)
    slots = {
        "title": escape(content.title),
        "notice": _notice(content.simulated_notice),
        "summary": escape(_summary(content)),
        "score-note": escape(content.score_note),
        "score-table": score_table(scores),
        "hours-label": escape(content.hours_label),
        "members-note": _members_note(content.note_on_members),
        "tables": "\n".join(plain_table(table) for table in content.tables),
        "provenance": definition_list(content.provenance),
        "thinning": _thinning(content, data["leftOut"]),
        "data": script_safe_json(data),
        "coastlines": coastline_text(),
        "script": script,
        "style": style,
        "script-hash": _csp_hash(script),
        "style-hash": _csp_hash(style),
    }
    return re.sub(r"\{\{([a-z-]+)\}\}", lambda match: slots[match[1]], _asset("page.html"))


def _asset(name: str) -> str:
    return (files("appa_core.report") / name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    """Source expression of an inline element, so that the browser runs no other script."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _notice(text: str) -> str:
    return f'<p class="notice" role="note">{escape(text)}</p>' if text else ""


def _members_note(text: str) -> str:
    return f'<p class="hint" id="members-note">{escape(text)}</p>' if text else ""


def _thinning(content: ForecastReport, left_out: Sequence[str]) -> str:
    """What of the result the page does not hold, so that nobody takes it for all."""
    note = f'<p class="hint">{escape(content.thinning)}</p>' if content.thinning else ""
    if not left_out:
        return note
    names = escape(", ".join(left_out))
    count = f"{len(left_out)} field{'s' if len(left_out) > 1 else ''}"
    return (
        f'{note}<details class="hint" id="left-out">'
        f"<summary>Not on this page, for its size: {count}</summary><p>{names}.</p></details>"
    )


def _summary(content: ForecastReport) -> str:
    members = sorted({block.ensemble.shape[0] for block in content.fields})
    rows, columns = content.grid.shape
    counts = " to ".join(str(m) for m in dict.fromkeys((members[0], members[-1])))
    size = f"{counts} members. Grid of {rows} by {columns} points."
    if content.is_forecast:
        first, last = content.lead_hours[0], content.lead_hours[-1]
        return f"Start {content.init_label}. Leads {first} to {last} h. {size}"
    times = content.valid_times
    return f"{times[0]} to {times[-1]}, {len(times)} states shown. {size}"
