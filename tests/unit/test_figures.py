"""Figures for Prefect: nothing covers a line."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from appa_core.report.figures import loss_curve, spectra
from appa_core.report.result_figures import plume, score_curves
from tests.pages import LEADS, report, score_row

CONTENT = report(score_rows=[score_row(lead_hours=h, rmse_climatology=3.0) for h in LEADS])
_POWER = np.geomspace(1, 1e-3, 20)

FIGURES = {
    "loss": loss_curve(np.geomspace(1, 0.1, 200), "denoiser"),
    "spectra": spectra(np.tile(_POWER, (4, 1)), np.tile(_POWER, (4, 1)), list("abcd"), "a draw"),
    "one spectrum": spectra(_POWER[None], _POWER[None], ["Z500"], "forecast of 6 hours"),
    "plume": plume(CONTENT, CONTENT.fields[0]),
    "scores": score_curves(CONTENT, CONTENT.fields[0]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_legend_covers_no_axes_and_is_whole(name: str) -> None:
    figure = FIGURES[name]
    assert isinstance(figure, Figure)
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert not any(axes.get_legend() for axes in figure.axes)
    assert not any(box.overlaps(axes.get_tightbbox()) for axes in figure.axes)
    low, high = figure.bbox.get_points()
    assert (box.get_points()[0] >= low).all()
    assert (box.get_points()[1] <= high).all()
    lines = {line.get_label() for line in figure.axes[0].lines} - {"", None}
    named = {text.get_text() for text in legend.get_texts()}
    assert named == {label for label in lines if not str(label).startswith("_")}
