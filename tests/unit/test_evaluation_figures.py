"""What the page of an evaluation in Markdown shows."""

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from appa_core.io.store import ArtifactStore
from appa_core.report import evaluation_figures
from appa_core.report.evaluation import Evaluation
from appa_core.report.evaluation_figures import evaluation_page, score_lines
from appa_core.schema import Channel
from appa_core.steps.evaluation_page import write_evaluation_page
from appa_core.steps.publish import FIGURES
from tests.results import made

Z500, T2M = Channel("geopotential", 500), Channel("2m_temperature")
G = 9.80665


def score(forecast, name, value, lead=24, channel=Z500):
    about = {"variable": channel.variable, "level": channel.level, "lead_hours": lead}
    return {"forecast": forecast, "score": name, "value": value, **about}


def of(channel, lead, **values):
    return {"variable": channel.variable, "level": channel.level, "lead_hours": lead, **values}


@pytest.fixture
def drawn(monkeypatch):
    """Figures by what they are called, kept before they become images."""
    kept = {}

    def keep(figure, alt):
        kept[alt] = figure
        return f"![{alt}]()"

    monkeypatch.setattr(evaluation_figures, "embedded", keep)
    return kept


def lines_of(figure: Figure, panel=0):
    return {line.get_label(): line.get_xydata().tolist() for line in figure.axes[panel].lines}


def test_scores_are_shown_in_display_units():
    rows = [
        score("ensemble", "rmse", 10 * G),
        score("persistence", "rmse", 25 * G),
        score("ensemble", "ssr", 0.9),
        score("ensemble", "bias", 3.0),
        score("ensemble", "rmse", 2.0, None, T2M),
    ]
    assert score_lines(rows, [Z500, T2M]).splitlines() == [
        "| field | lead (h) | RMSE | of persistence | spread/skill | unit |",
        "|---|---|---|---|---|---|",
        "| Z500 | 24 | 10.0 | 25.0 | 0.900 | m |",
        "| T2m | all | 2.00 | \u2013 | \u2013 | K |",
    ]


def test_at_most_six_leads_are_listed():
    rows = [score("ensemble", "ssr", 1.0, 6 * n) for n in range(1, 21)]
    leads = [line.split(" | ")[1] for line in score_lines(rows, [Z500]).splitlines()[2:]]
    assert leads == ["6", "30", "54", "72", "96", "120"]


def test_spread_is_drawn_against_error(drawn):
    rows = [
        score("ensemble", name, value * G, lead)
        for name, values in (("rmse", (1.0, 2.0)), ("spread", (0.5, 1.5)))
        for lead, value in zip((12, 24), values, strict=True)
    ]
    evaluation_page("x", Evaluation(scores=rows), [Z500])
    (figure,) = drawn.values()
    assert lines_of(figure) == {
        "RMSE of the mean": [[12.0, pytest.approx(1.0)], [24.0, pytest.approx(2.0)]],
        "spread": [[12.0, pytest.approx(0.5)], [24.0, pytest.approx(1.5)]],
    }
    assert figure.axes[0].get_ylabel() == "m"


def test_legends_cover_no_panel(drawn):
    rows = [
        score(forecast, name, 2.0, lead, channel)
        for forecast, name in (("ensemble", "rmse"), ("ensemble", "spread"),
                               ("persistence", "rmse"), ("climatology", "rmse"))
        for lead in (6, 12)
        for channel in (Z500, T2M)
    ]  # fmt: skip
    evaluation_page("x", Evaluation(scores=rows), [Z500, T2M])
    (figure,) = drawn.values()
    FigureCanvasAgg(figure).draw()
    legends = [legend for panel in figure.subfigs for legend in panel.legends]
    assert [len(legend.get_texts()) for legend in legends] == [4, 4]
    boxes = [legend.get_window_extent() for legend in legends]
    assert not boxes[0].overlaps(boxes[1])
    for box in boxes:
        assert not any(box.overlaps(axes.get_tightbbox()) for axes in figure.axes)
        assert (box.get_points()[0] >= 0).all()
        assert (box.get_points()[1] <= figure.bbox.get_points()[1]).all()


def test_ranks_are_shown_over_those_of_a_flat_histogram(drawn):
    ranks = [of(T2M, 24, rank=n, count=count) for n, count in enumerate((30, 10, 20))]
    verdicts = [of(T2M, 24, verdict="biased")]
    page = evaluation_page("x", Evaluation(ranks=ranks, calibration=verdicts), [T2M])
    assert page == "# x\n\n## Rank histograms\n\n![Rank histograms of x]()\n"
    (axes,) = drawn["Rank histograms of x"].axes
    (steps,) = axes.patches
    assert steps.get_data().values.tolist() == [1.5, 0.5, 1.0]
    assert steps.get_label() == "24 h: biased"


def test_spectra_are_those_of_the_last_lead(drawn):
    rows = [
        of(Z500, lead, source=source, wavenumber=n, power=power * G**2 * 10.0**-n)
        for lead, power in ((24, 1.0), (48, 2.0))
        for source in ("members", "truth")
        for n in range(4)
    ]
    evaluation_page("x", Evaluation(spectra=rows), [T2M, Z500])
    (figure,) = drawn.values()
    # nothing is known of the first field, nor is a mean shown as a wave
    assert [axes.get_visible() for axes in figure.axes] == [False, True]
    found = lines_of(figure, 1)
    assert set(found) == {"truth", "members"}
    assert found["truth"] == [[n, pytest.approx(2.0 * 10.0**-n)] for n in (1, 2, 3)]
    assert figure.axes[1].get_title() == "Z500, 48 h"
    assert figure.axes[1].get_ylabel() == "power (m²)"


def test_the_page_of_an_evaluation_is_made_once(results_world, tmp_path):
    tables, artifact = made([results_world / "one0"], tmp_path, physics_states=1)
    store = ArtifactStore(tmp_path)
    page = write_evaluation_page(store, artifact, "evaluation of one0")
    with page.local() as folder:
        text = (folder / FIGURES).read_text("utf-8")
    assert text.count("](data:image/png;base64,") == 3
    scores = tables["scores"].query("region == 'global' and season == 'all' and lead_hours == 24")
    at = scores.query("forecast == 'ensemble' and score == 'rmse' and level == 500")
    rmse = float(at.set_index("variable").loc["geopotential", "value"]) / G
    (line,) = (x for x in text.splitlines() if x.startswith("| Z500 | 24 |"))
    assert float(line.split(" | ")[2]) == pytest.approx(rmse, rel=0.01)
    assert write_evaluation_page(store, artifact, "evaluation of one0").key == page.key


def test_of_several_regions_the_globe_is_shown(results_world, tmp_path):
    _, artifact = made([results_world / "one0"], tmp_path, regions=("tropics",))
    page = write_evaluation_page(ArtifactStore(tmp_path), artifact, "x")
    with artifact.local() as folder:
        scores = pd.read_csv(folder / "scores.csv")
    assert {"global", "tropics"} == set(scores["region"])
    with page.local() as folder:
        lines = (folder / FIGURES).read_text("utf-8").splitlines()
    # one row for each of four leads
    assert sum(line.startswith("| Z500 |") for line in lines) == 4
