"""The page of a finished result: what it holds, of which evaluation, against which run."""

import json
import zlib
from base64 import b64decode
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from appa_core.errors import DataError, InputError, IntegrityError
from appa_core.io.ensembles import OpenResult
from appa_core.io.store import ArtifactStore
from appa_core.metrics.intervals import paired_change
from appa_core.report.content import Place
from appa_core.schema import Channel, Grid
from appa_core.steps.evaluation_files import evaluation_tables, read_evaluation
from appa_core.steps.page_fields import Extent, in_order_of_interest
from appa_core.steps.result_report import Known, PageOrder, report_content, write_result_report
from appa_core.steps.scorecard import compare_runs
from tests.finished import CHANNELS, write_evaluation, write_result


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("results")
    made = {
        "a": write_result(base / "a"),
        "b": write_result(base / "b", seed=1),
        "later": write_result(base / "later", start=pd.Timestamp("2024-02-01")),
        "coarse": write_result(base / "coarse", grid=Grid.equiangular(6, 12)),
        "analysis": write_result(base / "analysis", kind="reanalysis"),
        "region": write_result(base / "region", rows=[8, 9, 10], columns=[0, 1, 2, 22, 23]),
    }
    write_evaluation(made["a"])
    return made


def embedded(page):
    start = page.index('id="report-data">') + len('id="report-data">')
    data = json.loads(page[start : page.index("</script>", start)])
    data["evaluation"] = json.loads(zlib.decompress(b64decode(data["evaluation"])))
    return data


def page_of(folder, tmp_path, order=PageOrder(), other=None):  # noqa: B008
    beside = None if other is None else OpenResult.of(other)
    store = ArtifactStore(tmp_path / "store")
    made = write_result_report(store, OpenResult.of(folder), order, Known(), beside)
    with made.local() as data:
        return (data / "report.html").read_text(), (data / "figures.md").read_text()


def test_all_fields_and_the_evaluation_are_on_the_page(folders, tmp_path):
    page, figures = page_of(folders["a"], tmp_path, PageOrder((Place("home", 50.0, 8.0),)))
    data = embedded(page)
    shown = {(f["variable"], f["level"]) for f in data["fields"]}
    assert shown == {(c.variable, c.level) for c in CHANNELS}
    assert data["places"] == [["home", 50.0, 8.0]]
    tables = data["evaluation"]
    assert set(tables["ranks"]["rank"]) == {0, 1, 2, 3}
    assert set(tables["spectra"]["source"]) == {"members", "truth"}  # its own, not the page's
    place = [
        i
        for i, key in enumerate(
            zip(*(tables["scores"][k] for k in ("score", "forecast", "variable", "lead_hours",
                                                "region")), strict=True)
        )
        if key == ("rmse", "ensemble", "2m_temperature", 12, "global")
    ]  # fmt: skip
    assert [tables["scores"]["value"][i] for i in place] == [pytest.approx(1.2)]
    assert [tables["scores"]["low"][i] for i in place] == [pytest.approx(1.08)]
    assert "Physical consistency" in page
    assert "<td>hydrostatic</td>" in page
    assert figures.count("](data:image/png;base64,") == 3


def test_scores_of_an_evaluation_are_shown_in_display_units(folders):
    evaluation = read_evaluation(OpenResult.of(folders["a"]), ["geopotential_500"], [6])
    columns = evaluation.shown()["scores"]
    assert set(columns["variable"]) == {"geopotential"}
    rows = [dict(zip(columns, r, strict=True)) for r in zip(*columns.values(), strict=True)]
    first = next(r for r in rows if (r["score"], r["forecast"]) == ("rmse", "ensemble"))
    assert first["value"] == pytest.approx(0.6 / 9.80665, rel=1e-5)  # m, not m2 s-2
    ratio = next(r for r in rows if r["score"] == "ssr")
    assert ratio["value"] == 0.95


def test_the_page_of_a_paired_result_knows(tmp_path):
    folder = write_result(tmp_path / "a", kind="reanalysis", members=4, paired=True)
    content = report_content(OpenResult.of(folder), PageOrder(), Known(), None)
    assert all(block.are_pairs for block in content.fields)
    page, figures = page_of(folder, tmp_path)
    assert {f["pairs"] for f in embedded(page)["fields"]} == {True}
    assert content.note_on_members in page
    assert content.note_on_members in figures
    alone = write_result(tmp_path / "b", kind="reanalysis", members=4)
    page, figures = page_of(alone, tmp_path)
    assert {f["pairs"] for f in embedded(page)["fields"]} == {False}
    assert "opposite noise" not in page + figures


def test_physics_has_a_column_for_each_source(folders):
    (table,) = evaluation_tables(OpenResult.of(folders["a"]))
    assert list(table.columns[-4:]) == ["members", "truth", "autoencoder", "units"]
    assert list(table.rows[0][-4:]) == [1.2, 0.4, 0.9, "m"]


def test_a_result_without_evaluation_shows_what_there_is(folders, tmp_path):
    page, _ = page_of(folders["b"], tmp_path)
    data = embedded(page)
    assert data["evaluation"]["scores"] == {}
    assert set(data["evaluation"]["spectra"]["source"]) == {"members", "mean"}
    errors = [r["rmse"] for r in data["scores"] if r["channel"] == "temperature_850"]
    assert errors == pytest.approx([1.1, 2.2, 3.3, 4.4])


def test_damaged_evaluations_are_told(folders, tmp_path):
    folder = write_result(tmp_path / "a")
    tables = write_evaluation(folder)
    (tables / "ranks.csv").write_text("variable,level\n2m_temperature,\n")
    with pytest.raises(DataError, match=r"ranks.csv lacks lead_hours, rank, count; evaluate"):
        read_evaluation(OpenResult.of(folder), ["2m_temperature"], [6])
    (tables / "ranks.csv").write_text("")
    with pytest.raises(IntegrityError, match="cannot be read as a table"):
        read_evaluation(OpenResult.of(folder), ["2m_temperature"], [6])


def test_a_damaged_manifest_is_told(tmp_path):
    folder = write_result(tmp_path / "a")
    (folder / "manifest.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"damaged.*by the command that made it"):
        OpenResult.of(folder)


def test_the_page_changes_with_the_evaluation_and_is_kept_otherwise(tmp_path):
    folder = write_result(tmp_path / "a")
    store, none = ArtifactStore(tmp_path / "store"), Known()
    first = write_result_report(store, OpenResult.of(folder), PageOrder(), none)
    again = write_result_report(store, OpenResult.of(folder), PageOrder(), none)
    assert again.manifest["provenance"] == first.manifest["provenance"]
    write_evaluation(folder)
    assert write_result_report(store, OpenResult.of(folder), PageOrder(), none).key != first.key


def test_the_extent_of_a_page():
    grid = Grid.with_poles(721, 1440)
    large = SimpleNamespace(
        valid_times=range(240), grid=grid, members=50, channels=tuple(reversed(CHANNELS))
    )
    extent = Extent.of(large, 24_000_000)
    rows, columns = extent.grid(grid).shape
    assert rows * columns * len(extent.times) * 52 <= 12_000_000
    assert len(extent.times) == 61
    assert extent.times[0] == 0
    assert extent.times[-1] == 239
    assert set(extent.channels) | set(extent.left_out) == set(CHANNELS)
    assert extent.channels[0] == Channel("geopotential", 500)
    assert "61 of 240 times are shown" in extent.note
    assert f"every {extent.stride}th point" in extent.note
    small = SimpleNamespace(
        valid_times=range(4), grid=Grid.equiangular(12, 24), members=3, channels=CHANNELS
    )
    assert Extent.of(small, 24_000_000).left_out == ()
    assert Extent.of(small, 24_000_000).note == ""
    assert Extent.of(small, 1).channels == (Channel("geopotential", 500),)


def test_what_people_ask_for_comes_first():
    ordered = in_order_of_interest(CHANNELS)
    assert ordered[:3] == [
        Channel("geopotential", 500), Channel("temperature", 850), Channel("2m_temperature"),
    ]  # fmt: skip
    assert sorted(ordered) == sorted(CHANNELS)


def test_chosen_fields_alone(folders):
    content = report_content(
        OpenResult.of(folders["a"]), PageOrder(channels=("temperature_500",)), Known(), None
    )
    assert [f.channel_name for f in content.fields] == ["temperature_500"]
    with pytest.raises(InputError, match="no field 'temperature_999'; it has: 2m_temperature"):
        report_content(
            OpenResult.of(folders["a"]), PageOrder(channels=("temperature_999",)), Known(), None
        )


def test_a_regional_analysis(folders, tmp_path):
    page, _ = page_of(folders["region"], tmp_path)
    assert "Regional ensemble forecast" in page
    page, _ = page_of(folders["analysis"], tmp_path)
    assert "Global ensemble reanalysis" in page
    assert "Time since the first state" in page


def test_a_comparison_of_single_dates_tests_nothing(folders):
    found = compare_runs(OpenResult.of(folders["b"]), OpenResult.of(folders["a"]))
    assert "one date" in found.note
    assert len(found.rows) == 2 * len(CHANNELS) * 4
    assert all(r["change"] == pytest.approx(0.1) and r["pairs"] == 1 for r in found.rows)
    shown = found.shown()["rows"]
    assert set(shown["low"]) == {None}


def test_a_comparison_over_days_agrees_with_student_s_t(tmp_path):
    rng = np.random.default_rng(0)
    theirs = rng.uniform(1, 2, size=4)
    own = theirs * rng.normal(0.9, 0.01, size=4)
    runs = []
    for name, values in (("own", own), ("theirs", theirs)):
        folder = write_result(tmp_path / name, kind="reanalysis", step="24h")
        table = pd.read_csv(folder / "scores.csv")
        chosen = (table["variable"] == "temperature") & (table["level"] == 850)
        table.loc[chosen, "rmse"] = values
        table.to_csv(folder / "scores.csv", index=False)
        runs.append(OpenResult.of(folder))
    found = compare_runs(*runs)
    assert "4 dates, paired" in found.note
    (row,) = (r for r in found.rows if (r["score"], r["channel"]) == ("rmse", "temperature_850"))
    expected = paired_change(own.tolist(), theirs.tolist())
    assert (row["lead"], row["pairs"]) == ("all", 4)
    assert row["change"] == pytest.approx(expected.mean)
    assert row["low"] == pytest.approx(expected.low)
    assert row["high"] == pytest.approx(expected.high)
    assert row["high"] < 0


def test_an_evaluation_against_the_other_run_is_taken(tmp_path):
    own, theirs = (write_result(tmp_path / n, seed=i) for i, n in enumerate(("own", "theirs")))
    target = write_evaluation(own)
    row = {"score": "rmse", "variable": "temperature", "level": 850, "lead_hours": 24,
           "region": "global", "season": "all", "value": 1.5, "other": 2.0, "difference": -0.5,
           "low": -0.8, "high": -0.2, "p": 0.01, "dates": 30}  # fmt: skip
    pd.DataFrame([row, row | {"region": "tropics"}, row | {"score": "ssr"}]).to_csv(
        target / "comparison.csv", index=False
    )
    runs = OpenResult.of(own), OpenResult.of(theirs)
    digest = runs[1].result.digest
    (target / "manifest.json").write_text(json.dumps({"against": [{"digest": digest}]}))
    (found,) = compare_runs(*runs).rows
    assert (found["channel"], found["lead"], found["pairs"]) == ("temperature_850", 24, 30)
    bounds = [found[k] for k in ("change", "low", "high")]
    np.testing.assert_allclose(bounds, [-0.25, -0.4, -0.1])
    (target / "manifest.json").write_text(json.dumps({"against": [{"digest": "another"}]}))
    assert len(compare_runs(*runs).rows) > 1  # of the scores that came with both


def test_states_of_one_day_count_once(tmp_path):
    runs = []
    for name, scale in (("own", 0.5), ("theirs", 1.0)):
        folder = write_result(tmp_path / name, kind="reanalysis")
        table = pd.read_csv(folder / "scores.csv")
        table[["rmse", "crps"]] *= scale
        table.to_csv(folder / "scores.csv", index=False)
        runs.append(OpenResult.of(folder))
    rows = compare_runs(*runs).rows
    assert {r["pairs"] for r in rows} == {1}  # four states of 1 January
    assert {r["lead"] for r in rows} == {"all"}
    assert {round(r["change"], 9) for r in rows} == {-0.5}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("coarse", "of another grid: 6 x 12 points"),
        ("region", "of another grid"),
        ("later", "no scored date in common: 2024-01-01 00:00:00 to"),
        ("analysis", "compare results of one kind"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(folders, other, message):
    with pytest.raises(InputError, match=message):
        compare_runs(OpenResult.of(folders["a"]), OpenResult.of(folders[other]))


def test_a_run_without_scores_is_refused(folders, tmp_path):
    folder = write_result(tmp_path / "a")
    (folder / "scores.csv").unlink()
    with pytest.raises(InputError, match="has no scores to compare; evaluate it with"):
        compare_runs(OpenResult.of(folders["a"]), OpenResult.of(folder))
