"""Figures of a result as Markdown with images, for where a page cannot be shown."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from appa_core.report.coastlines import coastlines
from appa_core.report.content import FieldBlock, ForecastReport
from appa_core.report.figures import embedded, legend_below, mark_hours
from appa_core.report.fragments import number_text, shown_scores

_MEMBER, _MEAN, _TRUTH = "#8db9e2", "#1f5fae", "#111418"


def figures_page(content: ForecastReport) -> str:
    """Maps, a plume and scores of the first field of a report, as Markdown."""
    block = content.fields[0]
    lead = min(4, len(content.lead_hours) - 1)
    when = content.valid_times[lead]
    parts = [f"# {content.title}"]
    if content.simulated_notice:
        parts.append(f"> {content.simulated_notice}")
    named = f"{block.label}, {when}"
    parts.append(f"## Maps\n\n{embedded(field_maps(content, block, lead), f'Maps of {named}')}")
    if content.note_on_members:
        parts.append(content.note_on_members)
    parts.append(f"## Plume\n\n{embedded(plume(content, block), f'Plume of {block.label}')}")
    scores = score_curves(content, block)
    if scores is not None:
        image = embedded(scores, f"Scores of {block.label}")
        parts.append(f"## Scores\n\n{image}\n\n{_score_lines(content)}")
    return "\n\n".join(parts) + "\n"


def field_maps(content: ForecastReport, block: FieldBlock, lead: int) -> Figure:
    """Ensemble mean and spread at a time, in Mollweide's equal-area projection.

    Args:
        content: Grid and times.
        block: The field.
        lead: Position among the times.
    """
    display = block.shown
    mean = block.ensemble[:, lead].mean(0) * display.scale + display.offset
    shown = {f"Mean ({display.units})": (mean, "viridis")}
    if block.ensemble.shape[0] > 1:
        spread = block.spread(lead) * display.scale
        shown[f"Spread ({display.units_of_differences})"] = (spread, "GnBu")
    figure = Figure(figsize=(5.2 * len(shown), 3.1), layout="constrained")
    figure.suptitle(f"{block.label}, {content.valid_times[lead]}")
    for place, (title, (values, colours)) in enumerate(shown.items(), 1):
        axes = figure.add_subplot(1, len(shown), place, projection="mollweide")
        _draw_map(axes, content, values, colours)
        axes.set_title(title, fontsize=10)
    return figure


def _draw_map(axes: Axes, content: ForecastReport, values: np.ndarray, colours: str) -> None:
    longitudes = np.asarray(content.longitudes)
    east = np.where(longitudes >= 180, longitudes - 360, longitudes)
    order = np.argsort(east)
    mesh = axes.pcolormesh(
        np.deg2rad(_edges(east[order], 180)),
        np.deg2rad(_edges(np.asarray(content.latitudes), 90)),
        values[:, order],
        cmap=colours,
        rasterized=True,
    )
    for line in coastlines():
        axes.plot(*np.deg2rad(np.asarray(line)).T, color="black", lw=0.4)
    axes.set(xticks=[], yticks=[])
    axes.figure.colorbar(mesh, ax=axes, orientation="horizontal", shrink=0.7, pad=0.03)


def _edges(centres: np.ndarray, bound: float) -> np.ndarray:
    """Edges of cells between their centres, within [-bound, bound]."""
    middle = (centres[1:] + centres[:-1]) / 2
    first, last = 2 * centres[0] - middle[0], 2 * centres[-1] - middle[-1]
    edges: np.ndarray = np.concatenate([[first], middle, [last]])
    return edges.clip(-bound, bound)


def plume(content: ForecastReport, block: FieldBlock) -> Figure:
    """Members, mean and truth over time at the first place of a report, else at its middle."""
    row, column, name = _point(content)
    display = block.shown
    hours = list(content.lead_hours)
    figure = Figure(figsize=(8, 3.3), layout="constrained")
    axes = figure.subplots()
    mark_hours(axes)
    members = block.ensemble[:, :, row, column] * display.scale + display.offset
    for i, member in enumerate(members):
        axes.plot(hours, member, color=_MEMBER, lw=0.8, label=None if i else "members")
    axes.plot(hours, members.mean(0), color=_MEAN, lw=2.5, label="mean")
    if block.truth is not None:
        truth = block.truth[:, row, column] * display.scale + display.offset
        axes.plot(hours, truth, color=_TRUTH, lw=1.5, ls="--", label="truth")
    axes.set(
        xlabel=f"{content.hours_label} (h)", ylabel=display.units, title=f"{block.label}, {name}"
    )
    legend_below(figure)
    return figure


def _point(content: ForecastReport) -> tuple[int, int, str]:
    lat, lon = np.asarray(content.latitudes), np.asarray(content.longitudes)
    if content.places:
        place = content.places[0]
        turn = np.abs((lon - place.longitude + 180) % 360 - 180)
        return int(np.abs(lat - place.latitude).argmin()), int(turn.argmin()), place.name
    row, column = len(lat) * 3 // 4, len(lon) // 2
    east = (lon[column] + 180) % 360 - 180
    sides = ("N" if lat[row] >= 0 else "S", "E" if east >= 0 else "W")
    return row, column, f"{abs(lat[row]):.1f}° {sides[0]}, {abs(east):.1f}° {sides[1]}"


def score_curves(content: ForecastReport, block: FieldBlock) -> Figure | None:
    """RMSE, spread and baselines of a field over time; None where it has no scores."""
    rows = [r for r in shown_scores(content) if r["channel"] == block.channel_name]
    if not rows:
        return None
    figure = Figure(figsize=(8, 3.3), layout="constrained")
    axes = figure.subplots()
    mark_hours(axes)
    hours = [r["lead"] for r in rows]
    for name, label, style in (
        ("rmse", "RMSE of the mean", {"color": _MEAN, "lw": 2.5}),
        ("spread", "spread", {"color": "#4b8a55", "ls": "-."}),
        ("rmse_persistence", "RMSE of persistence", {"color": "#b4471b", "ls": "--"}),
        ("rmse_climatology", "RMSE of climatology", {"color": "#8a6d1d", "ls": ":"}),
    ):
        values = [np.nan if r[name] is None else r[name] for r in rows]
        if np.isfinite(values).any():
            axes.plot(hours, values, label=label, **style)
    axes.set(
        xlabel=f"{content.hours_label} (h)",
        ylabel=block.shown.units_of_differences,
        title=block.label,
    )
    legend_below(figure)
    return figure


def _score_lines(content: ForecastReport) -> str:
    """Scores of the shown fields at the first, a middle and the last time, as a table."""
    names = {block.channel_name: block.label for block in content.fields}
    rows = [r for r in shown_scores(content) if r["channel"] in names]
    leads = sorted({r["lead"] for r in rows})
    picks = {leads[0], leads[len(leads) // 2], leads[-1]}
    lines = ["| field | hours | RMSE | CRPS | spread/skill | unit |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {names[r['channel']]} | {r['lead']} | {number_text(r['rmse'])} "
        f"| {number_text(r['crps'])} | {number_text(r['ssr'])} | {r['units']} |"
        for r in rows
        if r["lead"] in picks
    ]
    return "\n".join(lines)
