"""The skill that the project promises of the weights that ship: `make slow`."""

import pytest

from benchmarks.skill import HEADLINE, evaluate


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    store = str(tmp_path_factory.mktemp("store"))
    total, job, _ = evaluate(
        store, starts=12, lead_hours=72, members=8, seed=0, model="small", source="sample"
    )
    return total.table(job).set_index(["variable", "level", "lead_hours"]).sort_index()


def rows(scores, variable, level):
    table = scores.reset_index()
    same = table["variable"] == variable
    same &= table["level"].isna() if level is None else table["level"] == level
    return table[same].set_index("lead_hours")


@pytest.mark.slow
@pytest.mark.parametrize(("label", "variable", "level"), HEADLINE)
def test_headline_skill(scores, label, variable, level):
    field = rows(scores, variable, level)
    assert field.loc[24, "rmse"] <= 0.75 * field.loc[24, "rmse_persistence"], label
    assert (field["rmse"] < field["rmse_climatology"]).all(), label
    assert field.loc[12:72, "ssr"].between(0.8, 1.2).all(), label
