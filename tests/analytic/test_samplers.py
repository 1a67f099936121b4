"""Samplers driven by the exact denoiser of a Gaussian must draw from that Gaussian."""

import torch

from appa_core.diffusion.noise import blanket_noise
from appa_core.diffusion.samplers import DpmSolver
from appa_core.diffusion.schedule import RectifiedSchedule

MEAN = torch.tensor([0.5, -2.0, 0.0, 1.0])
STD = torch.tensor([1.0, 0.3, 2.0, 0.05])


def exact_mean(x_t, sigma):
    gain = STD**2 / (STD**2 + sigma[:, None] ** 2)
    return MEAN + gain * (x_t - MEAN)


def draw(steps, order, count=20_000):
    noise = torch.randn(count, 4, generator=torch.Generator().manual_seed(0))
    return DpmSolver(order).sample(exact_mean, lambda _: noise, RectifiedSchedule().steps(steps))


def test_gaussian_moments_with_many_steps():
    samples = draw(steps=256, order=2)
    error = (samples.mean(0) - MEAN).abs() / STD
    assert error.max() < 0.03
    assert (samples.std(0) / STD - 1).abs().max() < 0.03


def test_second_order_converges_faster_than_first():
    exact = draw(steps=1024, order=2, count=500)
    errors = {
        (order, steps): ((draw(steps, order, 500) - exact) / STD).pow(2).mean().sqrt().item()
        for order in (1, 2)
        for steps in (32, 64)
    }
    assert errors[2, 64] < 0.5 * errors[1, 64]
    assert errors[1, 32] / errors[1, 64] > 1.6
    assert errors[2, 32] / errors[2, 64] > 2.5


def test_noise_of_a_member_does_not_depend_on_the_batch():
    device = torch.device("cpu")
    together = blanket_noise(7, range(4), range(3, 6), (2, 3), device)
    alone = blanket_noise(7, range(2, 3), range(4, 5), (2, 3), device)
    assert torch.equal(together[2, 1], alone[0, 0])
    assert not torch.equal(together[0], together[1])
    other_seed = blanket_noise(8, range(4), range(3, 6), (2, 3), device)
    assert not torch.equal(together, other_seed)
    other_purpose = blanket_noise(7, range(4), range(3, 6), (2, 3), device, 1)
    assert not torch.equal(together, other_purpose)
