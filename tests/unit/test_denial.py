"""What is denied, and how much worse scores become."""

import numpy as np
import pandas as pd
import pytest

from appa_core.errors import InputError
from appa_core.metrics.intervals import paired_change
from appa_core.steps.denial import Denial, denials_of, impact_table
from tests.from_observations import some_reports

TIMES = pd.date_range("2024-01-01", periods=5, freq="6h")


def reports():
    platforms = ["station"] * 20 + ["orbiter"] * 20
    quantities = ["2m_temperature"] * 30 + ["mean_sea_level_pressure"] * 10
    values = [285.0] * 30 + [101_000.0] * 10
    return some_reports(TIMES, platform=platforms, quantity=quantities, value=values)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("platform=orbiter", 20),
        ("quantity=2m_temperature", 30),
        ("platform=orbiter+quantity=2m_temperature", 10),
        ("region=-90,90,0,360", 40),
    ],
)
def test_rows_that_fulfil_all_conditions_are_denied(text, count):
    table = Denial.parse(text).deny(reports())
    assert (table.frame["rejected"] == f"denied: {text}").sum() == count


def test_regions_cross_the_date_line():
    frame = reports().frame
    inside = Denial.parse("region=-30,30,170,-170").applies(frame)
    east = (frame["longitude"] - 180).abs() <= 10
    expected = east & frame["latitude"].between(-30, 30)
    assert inside.tolist() == expected.tolist()


def test_rows_that_are_not_used_anyway_keep_their_reason():
    table = reports().reject(np.arange(40) < 25, "high")
    denied = Denial.parse("platform=orbiter").deny(table).frame["rejected"]
    assert denied.tolist() == ["high"] * 25 + ["denied: platform=orbiter"] * 15
    with pytest.raises(InputError, match="no observation is denied; platforms are orbiter"):
        Denial.parse("platform=station").deny(table)


def test_without_a_wish_each_platform_is_denied():
    assert [d.name for d in denials_of((), reports())] == ["platform=orbiter", "platform=station"]
    alone = reports().rows(np.arange(40) < 20)
    with pytest.raises(InputError, match="all observations are of platform station: say what"):
        denials_of((), alone)


def frame_of(values):
    rows = [{"denied": d, "period": p, "value": v} for (d, p), v in values.items()]
    shared = {"of": "analysis", "field": "temperature", "level": 850.0, "score": "crps"}
    return pd.DataFrame(rows).assign(lead_hours=np.nan, **shared)


def test_changes_are_paired_by_period():
    """Periods differ ten times more than networks; by hand, +10 % and +20 %."""
    values = {("", "a"): 1.0, ("", "b"): 10.0, ("x", "b"): 12.0, ("x", "a"): 1.1}
    (row,) = impact_table(frame_of(values)).to_dict("records")
    assert row["change"] == pytest.approx(0.15)
    half = 12.7062 * 0.05  # t of one degree of freedom, and the standard error of the mean
    assert (row["low"], row["high"]) == pytest.approx((0.15 - half, 0.15 + half), rel=1e-4)
    assert (row["all"], row["without"], row["pairs"]) == (5.5, 6.55, 2)


def test_a_single_period_has_no_interval():
    (row,) = impact_table(frame_of({("", "a"): 2.0, ("x", "a"): 3.0})).to_dict("records")
    assert row["change"] == pytest.approx(0.5)
    assert np.isnan(row["low"])
    assert row["pairs"] == 1


def test_scores_that_are_missing_leave_their_period_out():
    values = {("", "a"): 2.0, ("", "b"): np.nan, ("x", "a"): 3.0, ("x", "b"): 3.0}
    (row,) = impact_table(frame_of(values)).to_dict("records")
    assert row["pairs"] == 1


def test_pairs_are_pairs():
    with pytest.raises(InputError, match="expected pairs of scores; there are 2 and 1"):
        paired_change([1, 2], [1])
    with pytest.raises(InputError, match="there are 0 and 0"):
        paired_change([], [])
