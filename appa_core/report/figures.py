"""Figures of trainings and of results, as PNG images for Markdown."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from appa_core.report.coastlines import coastlines
from appa_core.report.units import Display

_DPI = 80


def embedded(figure: Figure, alt: str) -> str:
    """A figure as a Markdown image that carries its own bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return f"![{alt}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"


def legend_below(figure: Figure | SubFigure, columns: int = 4, size: float | None = None) -> None:
    """Name the lines of the first axes below all axes, where no line is covered.

    Args:
        figure: With a constrained layout, which makes room.
        columns: Most names in a row.
        size: Of the letters, in points; the usual one where None.
    """
    handles, labels = figure.axes[0].get_legend_handles_labels()
    ncols = min(columns, len(labels))
    figure.legend(handles, labels, loc="outside lower center", ncols=ncols, fontsize=size)


def mark_hours(axes: Axes) -> None:
    """Label an axis of hours at whole hours, which 2.5 and its multiples are not."""
    axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 3, 6, 10], integer=True))


def loss_curve(losses: np.ndarray, label: str, first: int = 1) -> Figure:
    """Loss by iteration from the `first` on, and its running mean."""
    figure = Figure(figsize=(7, 3.3), layout="constrained")
    axes = figure.subplots()
    iterations = np.arange(first, first + len(losses))
    axes.plot(iterations, losses, lw=0.5, alpha=0.4, label="each iteration")
    width = max(1, len(losses) // 50)
    mean = np.convolve(losses, np.ones(width) / width, mode="valid")
    axes.plot(iterations[width - 1 :], mean, label=f"mean of {width}")
    axes.set(xlabel="iteration", ylabel="loss", yscale="log", title=label)
    legend_below(figure)
    return figure


def spectra(made: np.ndarray, truth: np.ndarray, names: Sequence[str], label: str) -> Figure:
    """Power by total wavenumber.

    Args:
        made: Mean power of what networks made, (F, L).
        truth: That of the truth, (F, L).
        names: Of the fields, (F,).
        label: What networks made.
    """
    figure = Figure(figsize=(max(3 * len(names), 4), 3.1), layout="constrained")
    for axes, own, other, name in zip(_row(figure, len(names)), made, truth, names, strict=True):
        degrees = np.arange(1, own.size)
        axes.loglog(degrees, other[1:], color="black", label="truth")
        axes.loglog(degrees, own[1:], color="tab:red", ls="--", label=label)
        axes.set(title=name, xlabel="total wavenumber")
    figure.axes[0].set_ylabel("power")
    legend_below(figure)
    return figure


def maps(
    made: np.ndarray, truth: np.ndarray, names: Sequence[str], displays: Sequence[Display]
) -> Figure:
    """Fields as made, the truth, and the difference, with coastlines.

    Args:
        made: (F, H, W), latitude and longitude ascending, longitudes from 0.
        truth: (F, H, W).
        names: Of the fields, (F,).
        displays: Units of the fields, (F,).
    """
    figure = Figure(figsize=(12, 2.2 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), 3, squeeze=False)
    for axes, own, other, name, display in zip(grid, made, truth, names, displays, strict=True):
        shown, real = (x * display.scale + display.offset for x in (own, other))
        low, high = np.nanmin(real), np.nanmax(real)
        draw_map(axes[0], shown, f"{name} ({display.units}), made", (low, high), "viridis")
        draw_map(axes[1], real, "truth", (low, high), "viridis")
        bound = float(np.nanmax(np.abs(shown - real))) or 1.0
        units = display.units_of_differences
        draw_map(axes[2], shown - real, f"difference ({units})", (-bound, bound), "RdBu_r")
    return figure


def draw_map(
    axes: Axes, field: np.ndarray, title: str, span: tuple[float, float], colours: str
) -> None:
    """Draw a field of the globe with coastlines and a bar of its colours.

    Args:
        axes: Where; from longitude -180 to 180.
        field: (H, W), latitude and longitude ascending, longitudes from 0.
        title: Above it.
        span: Values of the first and the last colour.
        colours: Name of a colour map.
    """
    half = field.shape[1] // 2
    centred = np.roll(field, half, axis=1)
    image = axes.imshow(
        centred, origin="lower", extent=(-180, 180, -90, 90), vmin=span[0], vmax=span[1],
        cmap=colours, aspect="auto", interpolation="nearest",
    )  # fmt: skip
    for line in coastlines():
        axes.plot(*zip(*line, strict=True), color="black", lw=0.4)
    axes.set(title=title, xticks=[], yticks=[], xlim=(-180, 180), ylim=(-90, 90))
    axes.figure.colorbar(image, ax=axes)


def _row(figure: Figure, count: int) -> list[Axes]:
    axes = figure.subplots(1, count, squeeze=False)
    return list(axes[0])
