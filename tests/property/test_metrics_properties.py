"""Laws of the scores: chunking, order of members and choice of meridian do not matter."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from appa_core.metrics.ensemble import EnsembleStatistics, FieldStatistics
from appa_core.schema import Grid

GRID = Grid.equiangular(4, 8)
WEIGHTS = GRID.area_weights
METRICS = ("bias", "mae", "rmse", "crps", "crps_fair", "spread", "spread_skill_ratio")
seeds = st.integers(0, 2**32 - 1)


def forecast(seed: int, members: int, *, tied: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """An ensemble (M, 2, 2, H, W) and its truth; with `tied`, of few distinct values."""
    rng = np.random.default_rng(seed)
    draws = rng.normal(size=(members + 1, 2, 2, *GRID.shape)) * 10 ** rng.uniform(-3, 5)
    return (np.round(draws), np.round(draws)[0]) if tied else (draws[1:], draws[0])


def assert_same_metrics(one: EnsembleStatistics, two: EnsembleStatistics) -> None:
    assert one.dates == two.dates
    for metric in (*METRICS, "rank_histogram"):
        a, b = getattr(one, metric), getattr(two, metric)
        scale = float(np.nanmax(np.abs(one.rmse))) if metric == "bias" else 0.0
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12 * max(1.0, scale))


@given(seeds, st.integers(2, 6), st.lists(st.integers(0, 3), min_size=1, max_size=8), seeds)
@settings(max_examples=40, deadline=None)
def test_any_partition_of_dates_gives_one_answer(
    seed: int, members: int, owners: list[int], order: int
) -> None:
    scores = [
        EnsembleStatistics.of(*forecast((seed + i) % 2**32, members), WEIGHTS)
        for i in range(len(owners))
    ]
    one_pass = reduce(add, scores)
    parts = [EnsembleStatistics.empty(members, (2, 2)) for _ in range(4)]
    for i in np.random.default_rng(order).permutation(len(owners)):
        parts[owners[i]] = parts[owners[i]] + scores[i]
    assert_same_metrics(reduce(add, parts), one_pass)


@given(seeds, st.integers(2, 7), st.booleans())
@settings(max_examples=40, deadline=None)
def test_order_of_members_does_not_matter(seed: int, members: int, tied: bool) -> None:
    ensemble, truth = forecast(seed, members, tied=tied)
    shuffled = np.random.default_rng(seed).permutation(ensemble)
    assert_same_metrics(
        EnsembleStatistics.of(shuffled, truth, WEIGHTS),
        EnsembleStatistics.of(ensemble, truth, WEIGHTS),
    )


@given(seeds, st.integers(2, 5), st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_choice_of_meridian_does_not_matter(seed: int, members: int, shift: int) -> None:
    ensemble, truth = forecast(seed, members)
    rolled = EnsembleStatistics.of(
        np.roll(ensemble, shift, axis=-1), np.roll(truth, shift, axis=-1), WEIGHTS
    )
    assert_same_metrics(rolled, EnsembleStatistics.of(ensemble, truth, WEIGHTS))


@given(seeds, st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_scores_obey_their_inequalities(seed: int, members: int) -> None:
    ensemble, truth = forecast(seed, members)
    s = EnsembleStatistics.of(ensemble, truth, WEIGHTS)
    slack = 1 + 1e-9
    assert (s.crps >= 0).all()
    assert (s.crps_fair <= s.crps * slack).all()
    assert (np.abs(s.bias) <= s.mae * slack).all()
    assert (s.mae <= s.rmse * slack).all()
    np.testing.assert_allclose(s.rank_histogram.sum(axis=-1), 1)
    singles = reduce(add, (FieldStatistics.of(m, truth, WEIGHTS) for m in ensemble))
    assert (s.rmse <= singles.rmse * slack).all()


@given(seeds, st.integers(2, 6), st.floats(-100, 100), st.floats(0.1, 10))
@settings(max_examples=40, deadline=None)
def test_scores_scale_with_units(seed: int, members: int, offset: float, factor: float) -> None:
    ensemble, truth = forecast(seed, members)
    s = EnsembleStatistics.of(ensemble, truth, WEIGHTS)
    size = np.abs(truth).max()
    t = EnsembleStatistics.of(
        factor * ensemble + offset * size, factor * truth + offset * size, WEIGHTS
    )
    for metric in ("rmse", "crps", "spread"):
        np.testing.assert_allclose(getattr(t, metric), factor * getattr(s, metric), rtol=1e-7)
