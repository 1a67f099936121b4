"""What the pages claim is what the committed tables say."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from appa_core.errors import DataError, InputError
from appa_core.io.store import MANIFEST
from appa_core.steps.models import model_key
from benchmarks.results import PAGE, SCORES, rendered
from benchmarks.tables import MeasuredTable
from tasks.catalog import model_folder

README = Path(__file__).parents[2] / "README.md"
NAMES = {
    "geopotential, 500 hPa": "Z500",
    "temperature, 850 hPa": "T850",
    "u wind, 850 hPa": "U850",
    "2 m temperature": "T2m",
}


def table(name):
    return MeasuredTable.read(SCORES / f"{name}.csv")


@pytest.fixture(scope="module")
def forecasts():
    return table("forecasts").rows.set_index(["field", "lead_hours"])


@pytest.fixture(scope="module")
def said():
    """The page of results, each of its paragraphs on one line."""
    return " ".join(PAGE.read_text("utf-8").split())


def test_the_page_of_results_is_made_of_the_tables():
    page = PAGE.read_text("utf-8")
    assert set(re.findall(r"<!-- table: (\S+) -->", page)) == {p.stem for p in SCORES.iterdir()}
    assert rendered(page) == page, "run python -m benchmarks.results"


def test_tables_are_of_the_weights_that_ship():
    key = model_key(json.loads((model_folder("small") / MANIFEST).read_text("utf-8")))
    for path in sorted(SCORES.iterdir()):
        about = MeasuredTable.read(path).about
        assert about["weights"] == key, path.name
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", about["date"]), path.name
        assert about["command"].startswith("python -m "), path.name


@pytest.mark.parametrize(("said", "field"), NAMES.items())
def test_the_headline_of_the_readme(forecasts, said, field):
    row = re.search(rf"^\| {said} \| (.*) \|$", README.read_text("utf-8"), re.MULTILINE)
    day, three_days, ratio = row[1].split(" | ")
    at = forecasts.loc[field]
    assert day == f"{at['rmse'][24] / at['rmse_persistence'][24]:.2f}"
    assert three_days == f"{at['rmse'][72] / at['rmse_climatology'][72]:.2f}"
    found = at["ssr"][at.index <= 72]
    assert ratio == f"{found.min():.2f} to {found.max():.2f}"


def test_what_the_readme_says_of_observations():
    readme = " ".join(README.read_text("utf-8").split())
    rows = table("reanalysis").rows
    dense = table("observed-forecasts").rows.set_index(["network", "lead_hours"]).loc["dense", 24]
    for values, sentence in (
        (rows["to_climatology"], "{} of what climatology misses by"),
        (rows["to_interpolation"], "{} of what optimal interpolation of the same reports does"),
        (rows["ssr"], "at spread-skill ratios of {}"),
        (dense[list(NAMES.values())], "miss by {} times as much at 24 h"),
    ):
        assert sentence.format(f"{values.min():.2f} to {values.max():.2f}") in readme


def test_what_is_said_of_forecasts(forecasts, said):
    day = forecasts.xs(24, level="lead_hours")
    errors = day["rmse"] / day["rmse_persistence"]
    assert f"{errors.min():.2f} to {errors.max():.2f} of that of persistence" in said
    early = forecasts[forecasts.index.get_level_values("lead_hours") <= 72]["ssr"]
    assert f"between {early.min():.2f} and {early.max():.2f} for these fields" in said
    last = min(forecasts.loc["Z500"]["ssr"])
    assert f"too sure of itself ({last:.2f})" in said
    power = table("forecast-power").rows
    small = power[(power["leads_hours"] == "12-72") & (power["wavenumber"] >= 3)]["ratio"]
    assert f"down to {small.min():.2f} of the truth's between wavenumbers 3 and 15" in said
    of_all = power[power["leads_hours"] == "12-72"]["ratio"]
    assert (
        f"{(of_all >= 0.9).sum()} of the {len(of_all)} ratios of all 15 wavenumbers reach it"
        in said
    )


def test_what_is_said_of_observations(said):
    steps = 100 * table("month-seams").rows["difference"]
    assert f"{steps.min():.0f} to {steps.max():.0f} % of the truth's larger" in said
    places = table("real-places")
    assert f"{int(places.about['rows']):,}".replace(",", " ") + " rows" in said
    codecs = table("autoencoder").rows.set_index("codec")["mean"]
    assert f"mean is {codecs['autoencoder'] / codecs['patch PCA']:.2f} of that" in said


def test_the_reanalysis_meets_its_bars():
    """Half of climatology's error, 0.7 of that of optimal interpolation, spread within a tenth."""
    rows = table("reanalysis").rows.set_index("field")
    assert set(rows.index) == set(NAMES.values())
    assert (rows["to_climatology"] < 0.5).all()
    assert (rows["to_interpolation"] < 0.7).all()
    assert (rows["crps_to_prior_high"] < 0.6).all()
    assert rows["ssr"].between(0.9, 1.1).all()
    stations = table("reanalysis-stations").rows
    assert (stations["crps_to_prior_high"] < 0.6).all()
    ranks = table("reanalysis-ranks").rows
    assert stats.chisquare(ranks[ranks["independent"]]["count"]).pvalue > 0.05


def test_forecasts_from_a_dense_network_near_those_from_true_states():
    """At one day within half of their error, nearer with time, and than from a sparse one."""
    rows = table("observed-forecasts").rows.set_index(["network", "lead_hours"])
    rows = rows[list(NAMES.values())]
    assert (rows.loc["dense", 24] < 1.5).all()
    assert (rows.loc["dense"] < rows.loc["sparse"]).all(axis=None)
    assert (rows.xs(48, level="lead_hours") < rows.xs(24, level="lead_hours")).all(axis=None)


def test_more_stations_are_worth_more():
    rows = table("stations").rows.set_index("stations")[list(NAMES.values())]
    assert (rows.diff().iloc[1:] < 0).all(axis=None)
    assert (rows.loc["10 %"] < 0.7).all()


def test_a_table_is_put_between_its_marks_and_nothing_else_changes(tmp_path):
    rows = pd.DataFrame({"name": ["a"], "value": [0.123456]})
    about = {"command": "x", "date": "2024-01-01", "weights": "w", "seed": "0"}
    MeasuredTable(about, rows).write(tmp_path / "t.csv")
    page = rendered("before\n<!-- table: t -->\nold\n<!-- end -->\nafter", tmp_path)
    assert page == (
        "before\n<!-- table: t -->\n`x`, 2024-01-01: weights w; seed 0.\n\n"
        "| name | value |\n|---|---|\n| a | 0.1235 |\n<!-- end -->\nafter"
    )
    assert rendered(page, tmp_path) == page


def test_tables_without_file_end_or_origin_are_refused(tmp_path):
    with pytest.raises(InputError, match="absent, of which the page has a table"):
        rendered("<!-- table: t -->\n<!-- end -->", tmp_path)
    with pytest.raises(DataError, match="has no <!-- end -->"):
        rendered("<!-- table: t -->\n", tmp_path)
    (tmp_path / "t.csv").write_text("# command: x\n# date: today\na\n1\n")
    with pytest.raises(DataError, match="does not say its weights, seed"):
        rendered("<!-- table: t -->\n<!-- end -->", tmp_path)
