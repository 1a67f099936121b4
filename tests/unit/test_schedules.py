"""Laws of all noise schedules."""

import math

import pytest
import torch
from azula import noise as azula_noise

from appa_core.diffusion.schedule import (
    CosineSchedule,
    LogLinearSchedule,
    LogLogitSchedule,
    RectifiedSchedule,
)

ALL = [RectifiedSchedule, LogLinearSchedule, LogLogitSchedule, CosineSchedule]


def times(count=101):
    return torch.linspace(0, 1, count, dtype=torch.float64)


@pytest.mark.parametrize("make", [RectifiedSchedule, LogLinearSchedule, CosineSchedule])
@pytest.mark.parametrize("limits", [(1e-3, 1e3), (0.02, 80.0)])
def test_limits(make, limits):
    sigma = make(*limits).sigma(times())
    assert sigma[0].item() == pytest.approx(limits[0], rel=1e-9)
    # a cosine schedule has unit variance of data and noise together, not of the noise
    assert sigma[-1].item() == pytest.approx(
        limits[1], rel=1e-3 if make is CosineSchedule else 1e-9
    )


def test_rectified_in_the_middle():
    sigma = RectifiedSchedule(1e-3, 1e3).sigma(torch.tensor([0.5], dtype=torch.float64))
    assert sigma.item() == pytest.approx((0.5 + 0.5e-3) / (0.5 * (1e-3 - 1) + 1))


@pytest.mark.parametrize("limits", [(1e-3, 1e3), (1e-4, 100.0)])
def test_log_logit_ends_a_little_inside_its_limits(limits):
    low, high = (math.sqrt(limit) for limit in limits)
    sigma = LogLogitSchedule(*limits).sigma(times())
    assert sigma[0].item() == pytest.approx((low / (1 - low)) ** 2, rel=1e-9)
    assert sigma[-1].item() == pytest.approx((high - 1) ** 2, rel=1e-9)
    assert limits[0] < sigma[0] < sigma[-1] < limits[1]


@pytest.mark.parametrize("make", ALL)
def test_noise_grows_with_time(make):
    assert (make(1e-3, 500.0).sigma(times(1001)).diff() > 0).all()


@pytest.mark.parametrize("make", ALL)
def test_steps_are_the_levels_at_equal_times_downwards(make):
    schedule = make(0.01, 90.0)
    steps = schedule.steps(12)
    assert steps.dtype == torch.float64
    torch.testing.assert_close(steps.flip(0), schedule.sigma(times(13)))


def test_log_linear_levels_have_a_constant_ratio():
    ratio = LogLinearSchedule(1e-2, 1e2).steps(8)
    torch.testing.assert_close(
        ratio[1:] / ratio[:-1], torch.full((8,), 10**-0.5, dtype=torch.float64)
    )


def test_log_logit_is_symmetric_about_unit_noise_for_reciprocal_limits():
    t = times()
    schedule = LogLogitSchedule(2e-3, 5e2)
    product = schedule.sigma(t) * schedule.sigma(1 - t)
    torch.testing.assert_close(product, torch.ones_like(t))
    assert schedule.sigma(torch.tensor(0.5)).item() == pytest.approx(1.0)


def test_log_logit_is_dense_near_unit_noise():
    """A step there changes the level least, relative to it."""
    t = times(1001)
    slope = LogLogitSchedule(1e-3, 1e3).sigma(t).log().diff()
    assert slope.argmin().item() == pytest.approx(500, abs=2)
    assert slope[0] > 3 * slope.min()
    assert slope[-1] > 3 * slope.min()


def test_log_logit_is_linear_in_the_logit():
    """sqrt(sigma) / (1 + sqrt(sigma)) is linear in t."""
    root = LogLogitSchedule(1e-3, 200.0).sigma(times()).sqrt()
    slope = (root / (1 + root)).diff()
    torch.testing.assert_close(slope, slope[:1].expand_as(slope))


@pytest.mark.parametrize("limits", [(1e-3, 1e3), (0.02, 80.0)])
def test_cosine_is_the_ratio_of_azulas(limits):
    t = times()
    alpha, sigma = azula_noise.CosineSchedule(1 / limits[1], limits[0])(t)
    torch.testing.assert_close(CosineSchedule(*limits).sigma(t), sigma / alpha)
    angle = t * math.acos(1 / limits[1])
    expected = torch.sqrt(angle.sin() ** 2 + limits[0] ** 2) / angle.cos()
    torch.testing.assert_close(CosineSchedule(*limits).sigma(t), expected)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("limits", [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (1.0, 1.0)])
def test_limits_must_be_positive_and_in_order(make, limits):
    with pytest.raises(ValueError, match="0 < sigma_min < sigma_max"):
        make(*limits)


def test_log_logit_needs_room_between_its_limits():
    with pytest.raises(ValueError, match="wider"):
        LogLogitSchedule(0.25, 4.0)
    LogLogitSchedule(0.24, 4.0)
