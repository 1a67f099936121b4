"""Scores against hand-worked cases, brute force and a calibrated toy ensemble."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from appa_core.errors import DataError, InputError, NumericalError
from appa_core.metrics.ensemble import EnsembleStatistics, FieldStatistics
from appa_core.metrics.members import ensemble_crps
from appa_core.schema import Grid

GRID = Grid.equiangular(6, 12)
WEIGHTS = GRID.area_weights


def point(members: list[float], truth: float) -> EnsembleStatistics:
    """Statistics of members that are the same at each point of a one-channel field."""
    ensemble = np.asarray(members)[:, None, None, None, None] * np.ones((1, 1, 1, *GRID.shape))
    return EnsembleStatistics.of(ensemble, np.full((1, 1, *GRID.shape), truth), WEIGHTS)


def brute_force_crps(ensemble: np.ndarray, truth: np.ndarray, *, fair: bool) -> np.ndarray:
    """Integral of (F(z) - 1[z >= y])^2 dz point by point; the fair form from all pairs."""
    members = ensemble.shape[0]
    out = np.empty(truth.shape)
    for where in np.ndindex(*truth.shape):
        x, y = ensemble[(slice(None), *where)], truth[where]
        knots = np.sort(np.append(x, y))
        steps = [(np.mean(x <= a) - float(y <= a)) ** 2 * (b - a) for a, b in pairwise(knots)]
        out[where] = sum(steps)
        if fair:
            distance = sum(abs(a - b) for a in x for b in x)
            out[where] -= distance / (2 * members**2 * (members - 1))
    return out


def test_hand_worked_two_members() -> None:
    s = point([1.0, 3.0], 0.0)
    assert s.bias[0, 0] == pytest.approx(2)
    assert s.mae[0, 0] == pytest.approx(2)
    assert s.rmse[0, 0] == pytest.approx(2)
    assert s.spread[0, 0] == pytest.approx(np.sqrt(2))
    assert s.crps[0, 0] == pytest.approx(2 - 0.5)  # E|X - y| = 2, E|X - X'| = 1
    assert s.crps_fair[0, 0] == pytest.approx(2 - 1)
    assert s.spread_skill_ratio[0, 0] == pytest.approx(np.sqrt(1.5) * np.sqrt(2) / 2)
    assert s.members == 2


def test_one_member_scores_as_a_single_forecast() -> None:
    s = point([5.0], 2.0)
    assert s.crps[0, 0] == pytest.approx(3)
    assert s.rmse[0, 0] == pytest.approx(3)
    for undefined in (s.spread, s.crps_fair, s.spread_skill_ratio):
        assert np.isnan(undefined).all()


@pytest.mark.parametrize("fair", [False, True])
def test_crps_is_the_integral_of_the_squared_distribution_error(fair: bool) -> None:
    rng = np.random.default_rng(0)
    ensemble = rng.normal(size=(5, 2, 3, *GRID.shape))
    truth = rng.normal(size=(2, 3, *GRID.shape))
    s = EnsembleStatistics.of(ensemble, truth, WEIGHTS)
    expected = (brute_force_crps(ensemble, truth, fair=fair) * WEIGHTS[:, None]).mean((-2, -1))
    np.testing.assert_allclose(s.crps_fair if fair else s.crps, expected, rtol=1e-12)


def test_calibrated_ensemble_has_ratio_one_and_a_flat_rank_histogram() -> None:
    rng = np.random.default_rng(1)
    members, total = 6, EnsembleStatistics.empty(6, (1, 1))
    for _ in range(300):
        centre = rng.normal(size=(1, 1, *GRID.shape)) * 5
        draws = centre + rng.normal(size=(members + 1, 1, 1, *GRID.shape))
        total = total + EnsembleStatistics.of(draws[1:], draws[0], WEIGHTS)
    assert total.spread_skill_ratio[0, 0] == pytest.approx(1, abs=0.03)
    np.testing.assert_allclose(total.rank_histogram[0, 0], 1 / (members + 1), atol=0.01)
    # The CRPS that a normal forecast N(c, 1) has on average over its own draws is 1 / sqrt(pi).
    assert total.crps_fair[0, 0] == pytest.approx(1 / np.sqrt(np.pi), rel=0.03)


def test_overconfident_ensemble_has_ratio_below_one() -> None:
    rng = np.random.default_rng(2)
    draws = rng.normal(size=(9, 1, 1, *GRID.shape))
    s = EnsembleStatistics.of(0.3 * draws[1:], draws[0], WEIGHTS)
    assert s.spread_skill_ratio[0, 0] < 0.6


def test_rows_count_by_their_area() -> None:
    forecast = np.zeros((1, 1, *GRID.shape))
    forecast[0, 0, 0] = 1.0
    s = FieldStatistics.of(forecast, np.zeros_like(forecast), WEIGHTS)
    assert s.bias[0, 0] == pytest.approx(WEIGHTS[0] / len(WEIGHTS))
    assert s.rmse[0, 0] == pytest.approx(np.sqrt(WEIGHTS[0] / len(WEIGHTS)))


def test_rmse_over_dates_is_the_root_of_the_mean_square() -> None:
    assert (point([3.0], 0.0) + point([-4.0], 0.0)).rmse[0, 0] == pytest.approx(np.sqrt(12.5))
    assert (point([3.0], 0.0) + point([-4.0], 0.0)).bias[0, 0] == pytest.approx(-0.5)


def test_field_statistics_agree_with_a_one_member_ensemble() -> None:
    rng = np.random.default_rng(3)
    forecast = rng.normal(size=(2, 3, *GRID.shape)).astype(np.float32)
    truth = rng.normal(size=(2, 3, *GRID.shape)).astype(np.float32)
    field = FieldStatistics.of(forecast, truth, WEIGHTS)
    ensemble = EnsembleStatistics.of(forecast[None], truth, WEIGHTS)
    for metric in ("bias", "mae", "rmse"):
        np.testing.assert_allclose(getattr(field, metric), getattr(ensemble, metric))
    assert field.rmse.dtype == np.float64


def test_rank_histogram_shares_ties() -> None:
    np.testing.assert_allclose(point([1.0, 2.0], 1.5).rank_histogram[0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(
        point([1.0, 1.0, 2.0], 1.0).rank_histogram[0, 0], [1 / 3, 1 / 3, 1 / 3, 0], atol=1e-12
    )


def test_values_that_are_not_finite_raise_with_their_place() -> None:
    ensemble = np.zeros((2, 2, 2, *GRID.shape))
    truth = np.zeros((2, 2, *GRID.shape))
    truth[1, 0, 2, 3] = np.nan
    with pytest.raises(DataError, match=r"truth.*lead 1, channel 0"):
        EnsembleStatistics.of(ensemble, truth, WEIGHTS)
    truth[:] = 0
    ensemble[1, 0, 1, 2, 3] = np.inf
    with pytest.raises(NumericalError, match="lead 0, channel 1, member 1"):
        EnsembleStatistics.of(ensemble, truth, WEIGHTS)
    with pytest.raises(NumericalError, match="too large"), np.errstate(over="ignore"):
        FieldStatistics.of(np.full_like(truth, 1e200), truth, WEIGHTS)


def test_shapes_and_weights_are_checked() -> None:
    fields = np.zeros((2, 2, *GRID.shape))
    with pytest.raises(DataError, match="at least one member"):
        EnsembleStatistics.of(fields, fields, WEIGHTS)
    with pytest.raises(DataError, match="must end"):
        FieldStatistics.of(fields[:1], fields, WEIGHTS)
    with pytest.raises(DataError, match="mean 1"):
        FieldStatistics.of(fields, fields, WEIGHTS * 2)


def test_only_alike_statistics_add() -> None:
    with pytest.raises(InputError, match="number of members"):
        point([1.0, 2.0], 0.0) + point([1.0], 0.0)
    with pytest.raises(TypeError):
        point([1.0], 0.0) + FieldStatistics.empty((1, 1))  # type: ignore[operator]
    with pytest.raises(InputError, match="undefined"):
        _ = FieldStatistics.empty((1, 1)).rmse


def test_crps_at_points_is_the_fair_one() -> None:
    rng = np.random.default_rng(3)
    ensemble, truth = rng.normal(size=(5, 7)), rng.normal(size=7)
    expected = brute_force_crps(ensemble, truth, fair=True)
    np.testing.assert_allclose(ensemble_crps(ensemble - truth), expected, rtol=1e-12)
    one = ensemble[:1] - truth
    np.testing.assert_allclose(ensemble_crps(one), np.abs(one[0]))
