"""Departures of analyses that are known in closed form."""

import numpy as np
import pandas as pd
import pytest

from appa_core.io.results import Result
from appa_core.metrics.departures import departure_statistics
from appa_core.steps.evaluation_departures import COLUMNS, departure_table


def optimal(count=200_000, background=2.0, error=1.0, seed=0):
    """Departures of the optimal analysis of a scalar, and both errors."""
    rng = np.random.default_rng(seed)
    b, e = background * rng.normal(size=count), error * rng.normal(size=count)
    gain = background**2 / (background**2 + error**2)
    before = e - b  # the truth is zero
    return before, (1 - gain) * before


def test_an_optimal_analysis_is_consistent():
    before, after = optimal()
    ones = np.ones(len(before))
    found = departure_statistics(before, after, ones, 2 * ones, 10**6)
    assert found.error_ratio == pytest.approx(1, abs=0.01)
    assert found.spread_ratio == pytest.approx(1, abs=0.01)
    assert found.innovation_ratio == pytest.approx(1, abs=0.01)
    assert found.std_background == pytest.approx(5**0.5, rel=0.01)
    assert found.std_analysis == pytest.approx(1 / 5**0.5, rel=0.01)


def test_errors_that_were_taken_for_smaller_are_told():
    before, after = optimal(error=2.0)
    ones = np.ones(len(before))
    found = departure_statistics(before, after, ones, 2 * ones, 10**6)
    assert found.error_desroziers == pytest.approx(2, rel=0.01)
    assert found.error_ratio == pytest.approx(2, rel=0.01)
    assert found.innovation_ratio == pytest.approx(8 / 5, rel=0.02)


def test_hand_worked():
    found = departure_statistics(
        np.array([2.0, -2.0, 4.0]), np.array([1.0, -1.0, 0.0]), np.ones(3), np.full(3, 2.0), 3
    )
    assert found.count == 3
    assert found.bias_background == pytest.approx(4 / 3)
    assert found.error_desroziers == pytest.approx((4 / 3) ** 0.5)
    assert found.spread_desroziers == pytest.approx((20 / 3) ** 0.5)
    assert found.spread_ratio == pytest.approx((20 / 3 / (4 * 4 / 3)) ** 0.5)
    assert found.innovation_ratio == pytest.approx(8 / (1 + 16 / 3))
    opposed = departure_statistics(np.ones(2), -np.ones(2), np.ones(2), np.ones(2), 2)
    assert np.isnan(opposed.error_desroziers)


def test_platforms_and_withheld_rows(tmp_path):
    read = np.array([1.0, 2.0, 4.0, 5.0])
    frame = pd.DataFrame(
        {
            "platform": ["station", "station", "ship", "ship"],
            "quantity": "2m_temperature",
            "status": ["used", "withheld", "used", "rejected"],
            "value": read + 1,
            "error_std": 0.5,
        }
    )
    for name, shift in (("background", 0.0), ("analysis", 0.5)):
        members = {f"{name}_{m}": read + shift + d for m, d in enumerate((-0.1, 0.1))}
        frame[f"{name}_mean"], frame[f"{name}_spread"] = read + shift, 0.02**0.5
        frame[f"{name}_departure"] = 1 - shift
        # two members 0.2 apart, so far below: |departure| - 0.2 / 2
        frame[f"{name}_crps"] = 0.9 - shift
        frame = frame.assign(**members)
    frame.to_parquet(tmp_path / "observations.parquet", index=False)
    table = departure_table([Result(str(tmp_path), "reanalysis.zarr", "d")])
    assert tuple(table.columns) == COLUMNS
    assert table[["platform", "used", "count"]].to_numpy().tolist() == [
        ["ship", "used", 1], ["station", "used", 1], ["station", "withheld", 1],
    ]  # fmt: skip
    used, withheld = table.iloc[1], table.iloc[2]
    assert (used["bias_background"], used["bias_analysis"]) == (1.0, 0.5)
    assert used["error_ratio"] == pytest.approx(0.5**0.5 / 0.5)
    assert np.isnan(withheld["error_ratio"])
    assert withheld["crps_analysis"] == pytest.approx(0.4)
