"""Random numbers that follow from contents."""

import numpy as np
import pytest
from scipy import stats

from appa_core.observations.keyed import _mixed, keys_of, normal, uniform

KEYS = [15929218527814396346, 2595969592883980981]


def columns(count=20_000):
    places = np.linspace(-90, 90, count)
    return [places, np.full(count, np.nan), np.array([f"S{i % 10}" for i in range(count)], object)]


def test_neighbouring_rows_have_independent_numbers():
    numbers = normal(keys_of(1, "noise", columns()))
    assert stats.kstest(numbers, "norm").pvalue > 0.01
    for lag in (1, 2, 10):
        assert abs(np.corrcoef(numbers[lag:], numbers[:-lag])[0, 1]) < 0.03
    other_seed = normal(keys_of(2, "noise", columns()))
    other_purpose = normal(keys_of(1, "places", columns()))
    for other in (other_seed, other_purpose):
        assert abs(np.corrcoef(numbers, other)[0, 1]) < 0.03


def test_a_row_alone_has_the_number_that_it_has_among_others():
    every = keys_of(5, "noise", columns())
    picks = np.array([7, 100, 19_999])
    assert (keys_of(5, "noise", [c[picks] for c in columns()]) == every[picks]).all()


def test_contents_count_and_their_kind_of_storage_does_not():
    keys = keys_of(0, "x", [np.array([0.0, -0.0, np.nan, -np.nan]), np.array([1, 1, 1, 1])])
    assert keys[0] == keys[1]
    assert keys[2] == keys[3]
    assert keys[0] != keys[2]
    as_text = [np.array(["a", "b"], kind) for kind in (object, "U5")]
    first, second = (keys_of(0, "x", [t]) for t in as_text)
    assert (first == second).all()
    one, two = np.array([1.0]), np.array([2.0])
    assert keys_of(0, "x", [one, two]) != keys_of(0, "x", [two, one])


def test_numbers_stay_what_they_are():
    """Kept tables and withheld stations must not change between versions."""
    keys = keys_of(3, "noise", [np.array([1.5, 2.5]), np.array(["a", "b"], object)])
    assert keys.tolist() == KEYS
    # the first numbers of SplitMix64 from a state of 0, as its authors give them
    first = _mixed(np.array([0, 0x9E3779B97F4A7C15], np.uint64))
    assert first.tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


def test_uniform_numbers_never_reach_their_ends():
    ends = uniform(np.array([0, 2**64 - 1], np.uint64))
    assert 0 < ends[0] < 1e-15
    assert 1 - 1e-15 < ends[1] < 1
    assert np.isfinite(normal(np.array([0, 2**64 - 1], np.uint64))).all()
    assert uniform(keys_of(0, "x", columns())).mean() == pytest.approx(0.5, abs=0.01)
