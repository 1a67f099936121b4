import numpy as np
import pytest

from appa_core.climatology import Normalisation, PooledFit, SeasonalClimatology, SeasonalFit
from appa_core.errors import DataError

WEIGHTS = np.array([0.8, 1.2])


def times(days, step_hours=6):
    start = np.datetime64("2019-01-01", "s")
    return start + np.arange(0, days * 24, step_hours) * np.timedelta64(3600, "s")


def seasonal(states, when, harmonics=1):
    fit = SeasonalFit(4, harmonics, states.shape[1:], WEIGHTS)
    fit.add(states, when)
    return fit


def pooled(states, when):
    fit = PooledFit(states.shape[1:], WEIGHTS)
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
    normalisation = seasonal(states, when).solve()
    climatology, std = normalisation.base, normalisation.std
    expected = 280 + 10 * np.cos(0) + 3 * 0
    assert climatology.at(when[:1]).mean() == pytest.approx(expected, abs=0.5)
    assert climatology.at(when[2:3]).mean() == pytest.approx(expected + 6, abs=0.5)
    np.testing.assert_allclose(std, [2.0, 0.5], rtol=0.05)


def test_spread_is_that_of_the_residuals():
    when, states = synthetic()
    normalisation = seasonal(states, when).solve()
    std = normalisation.std
    residual = states - normalisation.base.at(when)
    direct = np.sqrt((residual**2 * WEIGHTS[:, None]).mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(std, direct, rtol=1e-4)


@pytest.mark.parametrize("fit", [seasonal, pooled])
@pytest.mark.parametrize("cut", [1, 700, 1599])
def test_pieces_merge_to_the_whole(fit, cut):
    when, states = synthetic(400)
    whole = fit(states, when)
    parts = fit(states[:cut], when[:cut])
    parts.merge(fit(states[cut:], when[cut:]).sums)
    a, b = whole.solve(), parts.solve()
    np.testing.assert_allclose(a.base.coefficients, b.base.coefficients, rtol=1e-6)
    np.testing.assert_allclose(a.std, b.std, rtol=1e-6)


def test_pooled_is_the_global_mean_and_spread():
    when, states = synthetic(100)
    normalisation = pooled(states, when).solve()
    mean = (states * WEIGHTS[:, None]).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(normalisation.base.at(when[:1])[0, :, 0, 0], mean, rtol=1e-5)
    direct = (((states - mean[:, None, None]) ** 2) * WEIGHTS[:, None]).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(normalisation.std, np.sqrt(direct), rtol=1e-3)


def masked(days=400):
    when, states = synthetic(days)
    states[:, 1, 0, 2] = np.nan
    return when, states


@pytest.mark.parametrize("fit", [seasonal, pooled])
def test_cells_without_values_are_left_out_of_the_spread_and_stay_empty(fit):
    when, states = masked()
    normalisation = fit(states, when).solve()
    expected = np.zeros((2, 2, 3), bool)
    expected[1, 0, 2] = True
    assert np.array_equal(normalisation.missing, expected)
    area = np.broadcast_to(WEIGHTS[:, None], (2, 3)) * ~expected[1]
    departures = np.nan_to_num(states[:, 1] - normalisation.base.at(when)[:, 1])
    direct = np.sqrt((departures**2 * area).sum() / area.sum() / len(when))
    assert normalisation.std[1] == pytest.approx(direct, rel=1e-3)
    standard = normalisation.standardise(states, when)
    assert (standard[:, 1, 0, 2] == 0).all()
    np.testing.assert_allclose(normalisation.restore(standard, when), states, rtol=1e-5)


def test_a_mask_that_moves_is_an_error():
    when, states = synthetic(100)
    states[5, 1, 0, 2] = np.nan
    with pytest.raises(DataError, match="mask must be fixed"):
        seasonal(states, when).solve()


@pytest.mark.parametrize("fit", [seasonal, pooled])
def test_a_channel_that_never_varies_is_an_error(fit):
    when, states = synthetic(100)
    states[:, 1] = 0.0
    with pytest.raises(DataError, match=r"\[1\] never vary"):
        fit(states, when).solve()


def test_too_few_states_is_an_error():
    when, states = synthetic(2)
    with pytest.raises(DataError, match="needs 3 states"):
        seasonal(states, when).solve()


def test_states_can_be_standardised_in_place():
    when, states = masked(100)
    normalisation = seasonal(states, when).solve()
    expected = normalisation.standardise(states.astype(np.float32), when)
    inside = states.astype(np.float32)
    assert normalisation.standardise(inside, when, out=inside) is inside
    np.testing.assert_array_equal(inside, expected)
    ensemble = np.stack([states, states + 1])
    both = normalisation.standardise(ensemble, when)
    for member in (0, 1):
        alone = normalisation.standardise(ensemble[member], when)
        np.testing.assert_array_equal(both[member], alone)


def test_standardise_and_restore_are_inverse():
    coefficients = np.random.default_rng(0).normal(size=(4, 3, 2, 2, 3)).astype(np.float32)
    normalisation = Normalisation(SeasonalClimatology(coefficients), np.array([2.0, 0.1]))
    when = times(3)
    states = np.random.default_rng(1).normal(size=(len(when), 2, 2, 3))
    back = normalisation.restore(normalisation.standardise(states, when), when)
    np.testing.assert_allclose(back, states, atol=1e-6)
