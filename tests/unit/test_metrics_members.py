"""Moments of members that were drawn from opposite noise, and of independent ones."""

import numpy as np
import pytest

from appa_core.metrics.ensemble import EnsembleStatistics
from appa_core.metrics.members import distance, ensemble_crps, variances
from appa_core.schema import Grid

GRID = Grid.equiangular(6, 12)
# two pairs; their means are 2 and 6, their halves 1 and 2
PAIRS = np.array([1.0, 3.0, 4.0, 8.0])


def test_hand_worked_pairs():
    found = variances(PAIRS, paired=True)
    assert found.member == pytest.approx(8 + 2.5)
    assert found.mean == pytest.approx(8 / 2)
    # |1 - 4|, |1 - 8|, |3 - 4|, |3 - 8|
    assert distance(PAIRS, paired=True) == pytest.approx((3 + 7 + 1 + 5) / 4)
    assert ensemble_crps(PAIRS[:, None], paired=True)[0] == pytest.approx(4 - 4 / 2)


def test_hand_worked_independent_members():
    found = variances(PAIRS)
    assert found.member == pytest.approx((9 + 1 + 0 + 16) / 3)
    assert found.mean == pytest.approx(26 / 3 / 4)
    assert distance(PAIRS) == pytest.approx((2 + 3 + 7 + 1 + 5 + 4) / 6)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_too_few_or_odd_members_count_as_independent(count):
    members = np.random.default_rng(0).normal(size=(count, 4))
    assert np.array_equal(variances(members, paired=True), variances(members))
    assert np.array_equal(distance(members, paired=True), distance(members))


def draws(rng, members, correlation):
    """Unit normal members whose partners have this correlation, over a grid."""
    shape = members // 2, 1, 1, *GRID.shape
    mean = rng.normal(size=shape) * np.sqrt((1 + correlation) / 2)
    half = rng.normal(size=shape) * np.sqrt((1 - correlation) / 2)
    return np.stack([mean + half, mean - half], axis=1).reshape(members, *shape[1:])


@pytest.mark.parametrize("correlation", [-1.0, -0.6, 0.0, 0.5])
def test_scores_of_pairs_are_those_of_a_large_ensemble(correlation):
    """A reliable ensemble has a ratio of 1, and the CRPS of N(0, 1) over its own draws."""
    rng, members = np.random.default_rng(1), 8
    total = EnsembleStatistics.empty(members, (1, 1))
    for _ in range(300):
        ensemble, truth = draws(rng, members, correlation), rng.normal(size=(1, 1, *GRID.shape))
        total += EnsembleStatistics.of(ensemble, truth, GRID.area_weights, paired=True)
    assert total.spread[0, 0] == pytest.approx(1, rel=0.02)
    assert total.rmse[0, 0] == pytest.approx(np.sqrt(1 + (1 + correlation) / members), rel=0.03)
    assert total.spread_skill_ratio[0, 0] == pytest.approx(1, abs=0.03)
    assert total.crps_fair[0, 0] == pytest.approx(1 / np.sqrt(np.pi), rel=0.03)


def test_formulas_of_independent_members_take_pairs_for_too_wide():
    rng = np.random.default_rng(2)
    ensemble = np.concatenate([draws(rng, 8, -1.0) for _ in range(60)], axis=-1)
    assert variances(ensemble).member.mean() == pytest.approx(8 / 7, rel=0.03)
    assert variances(ensemble, paired=True).member.mean() == pytest.approx(1, rel=0.03)
    assert variances(ensemble, paired=True).mean.mean() == pytest.approx(0, abs=1e-12)
