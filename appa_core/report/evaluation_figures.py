"""An evaluation as Markdown with images: scores, spread against error, ranks, spectra."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from appa_core.report.evaluation import Evaluation, Rows
from appa_core.report.figures import embedded, legend_below, mark_hours
from appa_core.report.fragments import number_text
from appa_core.report.units import display_of
from appa_core.schema import Channel

#: Forecast, score, heading and line of what is shown over time.
_SKILL: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("ensemble", "rmse", "RMSE of the mean", {"color": "#1f5fae", "lw": 2.5}),
    ("ensemble", "spread", "spread", {"color": "#4b8a55", "ls": "-."}),
    ("persistence", "rmse", "RMSE of persistence", {"color": "#b4471b", "ls": "--"}),
    ("climatology", "rmse", "RMSE of climatology", {"color": "#8a6d1d", "ls": ":"}),
)
#: Columns of the table.
_COLUMNS = (
    ("ensemble", "rmse", "RMSE"),
    ("persistence", "rmse", "of persistence"),
    ("climatology", "rmse", "of climatology"),
    ("ensemble", "crps", "CRPS"),
    ("ensemble", "ssr", "spread/skill"),
    ("ensemble", "acc", "ACC"),
)
_USED = frozenset(score for _, score, *_ in (*_SKILL, *_COLUMNS))
_WITHOUT_UNITS = frozenset({"ssr", "acc"})
_SOURCES = (
    ("truth", {"color": "#111418"}),
    ("members", {"color": "#1f5fae", "ls": "--"}),
    ("mean", {"color": "#8db9e2", "ls": "-."}),
    ("autoencoder", {"color": "#b4471b", "ls": ":"}),
)
_MOST_LEADS = 6
_RANK_LEADS = 3

#: A score by (forecast, score, lead in hours; None for all times together).
_Found = Mapping[tuple[str, str, int | None], float]


def evaluation_page(title: str, evaluation: Evaluation, channels: Sequence[Channel]) -> str:
    """Scores, and what there is of curves, rank histograms and spectra, as Markdown.

    Args:
        title: Heading.
        evaluation: Tables, of one region and all seasons.
        channels: Fields that are shown.
    """
    parts = [f"# {title}"]
    if evaluation.scores:
        parts.append(f"## Scores\n\n{score_lines(evaluation.scores, channels)}")
    drawn = {
        "Spread and error": _panels(channels, _skill_panels(evaluation.scores)),
        "Rank histograms": _panels(channels, _rank_panels(evaluation)),
        "Spectra": _panels(channels, _spectrum_panels(evaluation.spectra)),
    }
    parts += [
        f"## {name}\n\n{embedded(figure, f'{name} of {title}')}"
        for name, figure in drawn.items()
        if figure is not None
    ]
    return "\n\n".join(parts) + "\n"


def score_lines(scores: Rows, channels: Sequence[Channel]) -> str:
    """A Markdown table in display units, a row for each field and some leads."""
    by_channel = {c: _found(scores, c) for c in channels}
    held = {key[:2] for found in by_channel.values() for key in found}
    columns = [c for c in _COLUMNS if c[:2] in held]
    heads = ["field", "lead (h)", *(head for _, _, head in columns), "unit"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for channel, found in by_channel.items():
        units = display_of(channel.units).units_of_differences
        for lead in _some({key[2] for key in found}, _MOST_LEADS):
            cells = [number_text(found.get((f, score, lead))) for f, score, _ in columns]
            when = "all" if lead is None else str(lead)
            lines.append(f"| {channel.short} | {when} | {' | '.join(cells)} | {units} |")
    return "\n".join(lines)


_Draw = Callable[[Axes, Channel], bool]


def _panels(channels: Sequence[Channel], draw: _Draw) -> Figure | None:
    """A panel for each field of which there is something to draw; None if there is none."""
    figure = Figure(figsize=(4 * max(len(channels), 1), 3.3), layout="constrained")
    panels = figure.subfigures(1, max(len(channels), 1), squeeze=False)[0]
    is_empty = True
    for panel, channel in zip(panels, channels, strict=False):
        axes = panel.subplots()
        if draw(axes, channel):
            is_empty = False
            legend_below(panel, columns=2, size=7)
        else:
            axes.set_visible(False)
    return None if is_empty else figure


def _skill_panels(scores: Rows) -> _Draw:
    def draw(axes: Axes, channel: Channel) -> bool:
        found = _found(scores, channel)
        leads = sorted({key[2] for key in found if key[2] is not None})
        for forecast, score, label, style in _SKILL:
            values = [found.get((forecast, score, lead), math.nan) for lead in leads]
            if np.isfinite(values).any():
                axes.plot(leads, values, label=label, **style)
        units = display_of(channel.units).units_of_differences
        mark_hours(axes)
        axes.set(title=channel.short, xlabel="lead (h)", ylabel=units)
        return bool(axes.lines)

    return draw


def _rank_panels(evaluation: Evaluation) -> _Draw:
    """Shares of ranks over those of a flat histogram, with the name of their shape."""

    def draw(axes: Axes, channel: Channel) -> bool:
        verdicts = {
            _lead(row): str(row["verdict"]) for row in _of(evaluation.calibration, channel)
        }
        histograms: dict[int | None, dict[int, float]] = defaultdict(dict)
        for row in _of(evaluation.ranks, channel):
            histograms[_lead(row)][int(row["rank"])] = float(row["count"])
        for lead in _some(histograms, _RANK_LEADS):
            counts = np.asarray([n for _, n in sorted(histograms[lead].items())])
            when = "all times" if lead is None else f"{lead} h"
            label = f"{when}: {verdicts[lead]}" if lead in verdicts else when
            axes.stairs(counts / counts.mean(), np.arange(len(counts) + 1), label=label)
        axes.axhline(1.0, color="#111418", lw=0.5)
        axes.set(title=channel.short, xlabel="rank", ylabel="count / flat", ylim=(0, None))
        return bool(histograms)

    return draw


def _spectrum_panels(spectra: Rows) -> _Draw:
    """Power by wavenumber at the last lead of which it is known."""

    def draw(axes: Axes, channel: Channel) -> bool:
        rows = list(_of(spectra, channel))
        leads = _some({_lead(row) for row in rows}, _MOST_LEADS)
        if not leads:
            return False
        display = display_of(channel.units)
        for source, style in _SOURCES:
            power = sorted(
                (int(row["wavenumber"]), float(row["power"]) * display.scale**2)
                for row in rows
                if row["source"] == source and _lead(row) == leads[-1] and row["wavenumber"] > 0
            )
            if power:
                axes.loglog(*zip(*power, strict=True), label=source, **style)
        when = "" if leads[-1] is None else f", {leads[-1]} h"
        label = f"power ({display.units_of_power})"
        axes.set(title=f"{channel.short}{when}", xlabel="total wavenumber", ylabel=label)
        return bool(axes.lines)

    return draw


def _of(rows: Rows, channel: Channel) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        if (row["variable"], row["level"]) == (channel.variable, channel.level):
            yield row


def _found(scores: Rows, channel: Channel) -> _Found:
    """Scores of a field in display units."""
    scale = display_of(channel.units).scale
    return {
        (str(row["forecast"]), str(row["score"]), _lead(row)): float(row["value"])
        * (1.0 if row["score"] in _WITHOUT_UNITS else scale)
        for row in _of(scores, channel)
        if row["score"] in _USED and row["value"] is not None
    }


def _lead(row: Mapping[str, Any]) -> int | None:
    lead = row["lead_hours"]
    return None if lead is None else int(lead)


def _some(leads: Iterable[int | None], most: int) -> list[int | None]:
    """All together first; of the others the first, the last, and some between."""
    different = set(leads)
    known = sorted(lead for lead in different if lead is not None)
    together: list[int | None] = [None] if None in different else []
    if len(known) > most:
        picks = np.linspace(0, len(known) - 1, most).round().astype(int)
        known = [known[i] for i in picks]
    return [*together, *known]
