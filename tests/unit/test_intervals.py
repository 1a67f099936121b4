"""Resampling of dates and paired tests."""

import numpy as np
import pytest
from scipy import stats

from appa_core.metrics.intervals import (
    block_length,
    paired_p,
    percentile_interval,
    resampled_counts,
)


def hours(count, step):
    return np.datetime64("2024-01-01T00", "ns") + np.arange(count) * np.timedelta64(step, "h")


def test_dates_close_to_each_other_are_one_case():
    assert block_length(hours(12, 120)) == 1
    assert block_length(hours(120, 6)) == 12
    assert block_length(hours(10, 24)) == 3
    assert block_length(hours(1, 6)) == 1


def test_blocks_are_drawn_whole():
    counts = resampled_counts(10, 5, 200, np.random.default_rng(0))
    assert counts.shape == (200, 10)
    np.testing.assert_array_equal(counts.sum(axis=1), 10)
    # five dates in a row, round the end, have been drawn together
    ends = counts - np.roll(counts, 1, axis=1)
    assert (np.abs(ends).sum(axis=1) <= 4).all()
    assert resampled_counts(5, 5, 10, np.random.default_rng(0)) is None


def test_intervals_hold_the_mean_as_often_as_they_say():
    rng, held = np.random.default_rng(1), []
    for _ in range(300):
        sample = rng.normal(size=40)
        counts = resampled_counts(40, 1, 400, rng)
        low, high = percentile_interval(counts @ sample / counts.sum(axis=1))
        held.append(low <= 0 <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.035)


def test_paired_p_is_that_of_students_test():
    a, b = np.random.default_rng(2).normal(size=(2, 12, 3))
    np.testing.assert_allclose(paired_p(a - b), stats.ttest_rel(a, b).pvalue, rtol=1e-10)


def test_paired_p_takes_a_block_for_a_case():
    difference = np.random.default_rng(3).normal(size=12) + 0.5
    means = difference.reshape(4, 3).mean(axis=1)
    expected = stats.ttest_1samp(means, 0).pvalue
    assert paired_p(difference, 3) == pytest.approx(expected)
    assert paired_p(np.zeros(6)) == 1
    assert paired_p(np.ones(6)) == 0
    assert np.isnan(paired_p(np.ones(3), 2))
