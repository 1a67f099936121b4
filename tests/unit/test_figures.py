"""Figures for Prefect: nothing covers a line, and spread is that of the members."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from appa_core.report.figures import loss_curve, spectra
from appa_core.report.result_figures import field_maps, plume, score_curves
from tests.pages import GRID, LEADS, block, report, score_row

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


def test_the_map_of_spread_is_that_of_pairs() -> None:
    """Members 1, 3 and 4, 8 are pairs with means 2, 6 and halves of differences 1, 2."""
    members = np.array([1.0, 3.0, 4.0, 8.0])[:, None, None, None]
    ensemble = members * np.ones((len(LEADS), *GRID.shape))
    for paired, variance in ((True, 8 + 2.5), (False, 26 / 3)):
        field = block(ensemble=ensemble, paired=paired)
        figure = field_maps(report(fields=[field]), field, 0)
        (axes,) = (a for a in figure.axes if a.get_title().startswith("Spread"))
        (mesh,) = (c for c in axes.collections if c.get_array() is not None)
        np.testing.assert_allclose(mesh.get_array(), np.sqrt(variance))
