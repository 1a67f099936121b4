"""What the pages claim is what the committed tables say."""

import re
from pathlib import Path

import pandas as pd
import pytest

from appa_core.errors import DataError, InputError
from benchmarks.results import PAGE, SCORES, rendered
from benchmarks.tables import MeasuredTable

README = Path(__file__).parents[2] / "README.md"
NAMES = {
    "geopotential, 500 hPa": "Z500",
    "temperature, 850 hPa": "T850",
    "u wind, 850 hPa": "U850",
    "2 m temperature": "T2m",
}


@pytest.fixture(scope="module")
def forecasts():
    return MeasuredTable.read(SCORES / "forecasts.csv").rows.set_index(["field", "lead_hours"])


def test_the_page_of_results_is_made_of_the_tables():
    page = PAGE.read_text("utf-8")
    assert "<!-- table: forecasts -->" in page
    assert rendered(page) == page, "run python -m benchmarks.results"


@pytest.mark.parametrize(("said", "field"), NAMES.items())
def test_the_headline_of_the_readme(forecasts, said, field):
    row = re.search(rf"^\| {said} \| (.*) \|$", README.read_text("utf-8"), re.MULTILINE)
    day, three_days, ratio = row[1].split(" | ")
    at = forecasts.loc[field]
    assert float(day) == round(at["rmse"][24] / at["rmse_persistence"][24], 2)
    assert float(three_days) == round(at["rmse"][72] / at["rmse_climatology"][72], 2)
    # of all leads, of which the table has some
    low, high = map(float, ratio.split(" to "))
    found = at["ssr"][at.index <= 72].round(2)
    assert low == found.min()
    assert found.max() <= high <= found.max() + 0.05


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
