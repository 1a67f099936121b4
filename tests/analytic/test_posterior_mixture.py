"""A mixture and a nonlinear operator: three modes, where guidance alone is biased.

The bars: sliced Wasserstein distance to exact draws below 5 % of a posterior standard deviation
(sd), the sampling error of the draws included, and the mass of every component within 0.02.
"""

import pytest
import torch

from appa_core.diffusion.denoiser import Condition
from appa_core.diffusion.samplers import DpmSolver
from appa_core.diffusion.schedule import LogLogitSchedule
from appa_core.guidance.mmps import Mmps
from appa_core.posterior.diffusion import DiffusionPosterior, Fold
from appa_core.posterior.particles import TwistedParticles
from appa_core.posterior.task import draw_posterior
from benchmarks import draws
from benchmarks.draws import crps, moments, sliced_wasserstein
from benchmarks.mixture import MixtureProblem

PROBLEM = MixtureProblem()
# the operator's slope is 2 x_0, about 2 in the modes: its square is the spread of A x
SPREAD = 4.0
SCHEDULE = LogLogitSchedule(1e-2, 1e2)


def particles(count, steps=96):
    return TwistedParticles(SCHEDULE, steps, count, SPREAD)


def distance(x):
    return sliced_wasserstein(x, PROBLEM.exact(4 * len(x), seed=1))


def mass_error(x):
    return draws.mass_error(x, PROBLEM)


def test_the_posterior_has_several_modes():
    masses = PROBLEM.posterior_masses
    assert abs(masses.sum().item() - 1) < 1e-9
    assert (masses > 0.3).sum() == 2
    assert masses.min() > 0.04


def test_exact_draws_agree_with_quadrature():
    x = PROBLEM.exact(65_536)
    errors = moments(x, PROBLEM)
    assert errors.mean < 0.01
    assert errors.sd < 0.01
    assert errors.correlation < 0.01
    assert mass_error(x) < 0.006
    assert distance(PROBLEM.exact(8192)) < 0.03


def test_the_metrics_see_a_shift_and_a_wrong_spread():
    x = PROBLEM.exact(16_384)
    scale = PROBLEM.posterior.covariance.diagonal().mean().sqrt()
    # a shift by one scale along both axes: E |cos + sin| over directions is 2 sqrt(2) / pi
    assert distance(x + scale) == pytest.approx(8**0.5 / torch.pi, rel=0.1)
    truths = PROBLEM.exact(512, seed=2)
    wide = PROBLEM.posterior.mean + 1.5 * (x - PROBLEM.posterior.mean)
    assert crps(x, truths) < crps(wide, truths) < crps(x + 2 * scale, truths)
    pair = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    assert crps(pair, torch.tensor([[2.0]], dtype=torch.float64)) == pytest.approx(1.5 - 0.5)


def test_the_denoiser_is_the_mean_of_the_mixture_given_noise():
    """Tweedie: x_hat - x_t = sigma^2 d ln p(x_t) / dx_t."""
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(5, 2, generator=generator, dtype=torch.float64).requires_grad_()
    sigma = torch.full((5,), 0.7, dtype=torch.float64)
    zeros = torch.zeros(5, 2, dtype=torch.float64)
    log, _ = PROBLEM._shares(x_t, sigma**2)
    (score,) = torch.autograd.grad(log.logsumexp(1).sum(), x_t)
    estimate = PROBLEM.denoise(x_t, sigma, Condition(zeros, zeros, zeros))
    assert torch.allclose(estimate - x_t, 0.49 * score, atol=1e-12)


def test_twisted_particles_draw_from_the_posterior():
    x = draw_posterior(PROBLEM.task(8192), particles(16, steps=128))
    assert distance(x) < 0.05
    assert mass_error(x) < 0.02
    errors = moments(x, PROBLEM)
    assert errors.mean < 0.05
    assert errors.sd < 0.03
    assert errors.correlation < 0.03


def test_particles_correct_what_guidance_gets_wrong():
    draws = {count: draw_posterior(PROBLEM.task(4096), particles(count)) for count in (1, 4, 16)}
    distances = {count: distance(x) for count, x in draws.items()}
    guidance = Mmps("cg", iterations=4, tolerance=1e-8)
    method = DiffusionPosterior(SCHEDULE, DpmSolver(2), 64, guidance, Fold(2))
    assert distance(draw_posterior(PROBLEM.task(4096), method)) > 0.2
    assert distances[1] > 0.2
    assert distances[4] < 0.5 * distances[1]
    assert distances[16] < 0.6 * distances[4]
    assert mass_error(draws[16]) < 0.5 * mass_error(draws[4]) < 0.25 * mass_error(draws[1])


@pytest.mark.slow
def test_particles_correct_a_twist_that_is_too_sure_of_itself():
    """Spread 1 takes A for less uncertain than it is: more particles and steps are needed."""
    make = lambda count: TwistedParticles(SCHEDULE, 192, count, spread=1.0)
    few, many = (draw_posterior(PROBLEM.task(4096), make(count)) for count in (4, 64))
    assert distance(many) < 0.05 < distance(few)
    assert mass_error(many) < 0.02 < mass_error(few)
