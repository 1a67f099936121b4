import numpy as np
import pytest

from appa_core.climatology import ClimatologyFit, Normalisation, SeasonalClimatology
from appa_core.errors import DataError

WEIGHTS = np.array([0.8, 1.2])


def times(days, step_hours=6):
    start = np.datetime64("2019-01-01", "s")
    return start + np.arange(0, days * 24, step_hours) * np.timedelta64(3600, "s")


def fitted(states, when, harmonics=1, pooled=False):
    fit = ClimatologyFit(4, harmonics, states.shape[1:], WEIGHTS, pooled=pooled)
    fit.add(states, when)
    return fit


def synthetic(days=730):
    when = times(days)
    year = 2 * np.pi * np.arange(len(when)) / (4 * 365.25)
    hour = np.arange(len(when)) % 4
    base = 280 + 10 * np.cos(year) + 3 * hour
    noise = np.random.default_rng(0).normal(size=(len(when), 2, 2, 3)) * [[[2.0]], [[0.5]]]
    return when, base[:, None, None, None] + noise


def test_recovers_the_cycle_and_the_spread():
    when, states = synthetic()
    climatology, std = fitted(states, when).solve()
    expected = 280 + 10 * np.cos(0) + 3 * 0
    assert climatology.at(when[:1]).mean() == pytest.approx(expected, abs=0.5)
    assert climatology.at(when[2:3]).mean() == pytest.approx(expected + 6, abs=0.5)
    np.testing.assert_allclose(std, [2.0, 0.5], rtol=0.05)


def test_spread_is_that_of_the_residuals():
    when, states = synthetic()
    climatology, std = fitted(states, when).solve()
    residual = states - climatology.at(when)
    direct = np.sqrt((residual**2 * WEIGHTS[:, None]).mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(std, direct, rtol=1e-4)


def test_pieces_merge_to_the_whole():
    when, states = synthetic(400)
    whole = fitted(states, when)
    parts = fitted(states[:700], when[:700])
    parts.merge(fitted(states[700:], when[700:]))
    a, b = whole.solve(), parts.solve()
    np.testing.assert_allclose(a[0].coefficients, b[0].coefficients, rtol=1e-6)
    np.testing.assert_allclose(a[1], b[1], rtol=1e-6)


def test_pooled_is_the_global_mean_and_spread():
    when, states = synthetic(100)
    climatology, std = fitted(states, when, pooled=True).solve()
    mean = (states * WEIGHTS[:, None]).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(climatology.at(when[:1])[0, :, 0, 0], mean, rtol=1e-5)
    direct = (((states - mean[:, None, None]) ** 2) * WEIGHTS[:, None]).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(std, np.sqrt(direct), rtol=1e-3)


def test_too_few_states_is_an_error():
    when, states = synthetic(2)
    with pytest.raises(DataError, match="needs 3 states"):
        fitted(states, when).solve()


def test_standardise_and_restore_are_inverse():
    coefficients = np.random.default_rng(0).normal(size=(4, 3, 2, 2, 3)).astype(np.float32)
    normalisation = Normalisation(SeasonalClimatology(coefficients), np.array([2.0, 0.1]))
    when = times(3)
    states = np.random.default_rng(1).normal(size=(len(when), 2, 2, 3))
    back = normalisation.restore(normalisation.standardise(states, when), when)
    np.testing.assert_allclose(back, states, atol=1e-6)
