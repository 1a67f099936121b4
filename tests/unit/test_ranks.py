"""Rank histograms that are flat, and what others are called."""

import numpy as np
import pytest
from scipy import stats

from appa_core.errors import InputError
from appa_core.metrics.members import spread_skill_of
from appa_core.metrics.multivariate import Lags
from appa_core.metrics.ranks import independent_patches, name_dispersion, rank_test
from appa_core.metrics.regions import region_of
from appa_core.metrics.scores import ensemble_scores
from appa_core.metrics.verification import Scoring, verify_ensemble
from appa_core.schema import Grid

GRID = Grid.equiangular(24, 48)
WEIGHTS = region_of(GRID, ("global",))


def toy(spread, bias=0.0, members=10, seed=0):
    """Ranks and spread-skill ratio of draws about a common centre."""
    rng = np.random.default_rng(seed)
    centre, *draws = rng.normal(size=(members + 2, *GRID.shape))
    truth, ensemble = centre + draws[0], centre + spread * np.stack(draws[1:]) + bias
    sums = verify_ensemble(ensemble, truth, WEIGHTS, Scoring(Lags(1, 1, True)))
    return sums.ranks[0], ensemble_scores(sums.means, members)["ssr"][0]


@pytest.mark.parametrize(
    ("spread", "bias", "verdict"),
    [
        (1.0, 0.0, "calibrated"),
        (0.6, 0.0, "under-dispersive"),
        (1.6, 0.0, "over-dispersive"),
        (1.0, 0.4, "biased"),
        (1.0, -0.4, "biased"),
    ],
)
def test_ensembles_are_called_what_they_are(spread, bias, verdict):
    counts, ratio = toy(spread, bias)
    test = rank_test(counts)
    assert name_dispersion(test) == verdict
    if verdict == "calibrated":
        assert test.p > 0.05
        assert ratio == pytest.approx(1, abs=0.03)
    elif bias:
        assert np.sign(test.slope) == -np.sign(bias)
    else:
        assert (ratio < 0.9) == (verdict == "under-dispersive")


def test_a_calibrated_ensemble_is_refused_as_often_as_the_level_says():
    rng = np.random.default_rng(1)
    tests = [rank_test(np.bincount(rng.integers(0, 8, 400), minlength=8)) for _ in range(2000)]
    assert np.mean([t.p < 0.05 for t in tests]) == pytest.approx(0.05, abs=0.015)
    assert np.std([t.bend for t in tests]) == pytest.approx(1, abs=0.05)
    assert np.std([t.slope for t in tests]) == pytest.approx(1, abs=0.05)


def test_against_scipy():
    counts = np.array([12.0, 7, 9, 20, 14])
    test = rank_test(counts)
    chi2, p = stats.chisquare(counts)
    assert (test.chi2, test.p) == (pytest.approx(chi2), pytest.approx(p))
    # ten times as many cells of the same weather say no more
    assert rank_test(10 * counts, counts.sum()).chi2 == pytest.approx(chi2)


def test_hand_worked_u():
    test = rank_test(np.array([3.0, 0, 3]))
    # departures from 2 in units of sqrt(2): 1, -2, 1
    assert test.chi2 == pytest.approx((1 + 4 + 1) / 2)
    assert test.bend == pytest.approx(np.sqrt(3))
    assert test.slope == pytest.approx(0, abs=1e-12)


def test_patches_of_the_globe():
    assert independent_patches(2048, 1.0) == pytest.approx(226.7, abs=0.1)
    assert independent_patches(50, 1.0) == 50
    assert independent_patches(50, 1e-4) == 1


def test_no_case_or_no_member():
    for counts in (np.zeros(4), np.ones(1)):
        with pytest.raises(InputError, match="members and cases"):
            rank_test(counts)


def test_ratio_of_nothing_is_undefined():
    assert np.isnan(spread_skill_of(np.zeros(1), np.zeros(1), 3)).all()
