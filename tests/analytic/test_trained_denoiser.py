"""Guidance through a trained network, whose Jacobian is neither symmetric nor positive.

The data are Gaussian, so that the posterior is known; the network is `tests/golden`'s.
"""

import pytest
import torch

from appa_core.config.build_method import build_method
from appa_core.config.methods import load_method, method_names
from appa_core.diffusion.denoiser import Condition
from appa_core.diffusion.noise import PooledNoise
from appa_core.diffusion.samplers import DpmSolver
from appa_core.diffusion.schedule import LogLogitSchedule
from appa_core.errors import NumericalError
from appa_core.guidance.covariance import scalar_covariance
from appa_core.guidance.mmps import Mmps
from appa_core.guidance.observation import Observation
from appa_core.posterior.diffusion import DiffusionPosterior, Fold
from appa_core.posterior.task import PosteriorTask, draw_posterior
from tests.golden import small_denoiser

DRAWS = 8192
VARIANCE = 0.05
OBSERVED = torch.tensor([0, 3, 6, 9, 12, 15])


@pytest.fixture(scope="module")
def problem():
    """y, and the mean and covariance of the posterior."""
    cov = small_denoiser.covariance()
    generator = torch.Generator().manual_seed(3)
    truth = torch.linalg.cholesky(cov) @ torch.randn(16, generator=generator).double()
    noise = torch.randn(len(OBSERVED), generator=generator).double()
    y = truth[OBSERVED] + VARIANCE**0.5 * noise
    s = cov[OBSERVED][:, OBSERVED] + VARIANCE * torch.eye(len(OBSERVED))
    gain = torch.linalg.solve(s, cov[OBSERVED]).T
    return y, gain @ y, cov - gain @ cov[OBSERVED]


def task_of(y, dtype=torch.float32):
    """8192 draws, with the network in some precision."""
    network, empty = small_denoiser.load(), torch.zeros(DRAWS, 16)

    def denoiser(x_t, sigma, _condition):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return network(x_t, sigma).float()

    return PosteriorTask(
        denoiser=denoiser,
        blanket_states=16,
        condition=Condition(empty, empty, empty),
        observation=Observation(
            y=y[None].float(), A=lambda x: x[:, OBSERVED], cov_y=scalar_covariance(VARIANCE, empty)
        ),
        noise=PooledNoise(0, torch.arange(DRAWS), 16, (), torch.float32),
        group=torch.zeros(DRAWS, dtype=torch.long),
        labels=[f"row {i}" for i in range(DRAWS)],
    )


def guided(guidance, **options):
    return DiffusionPosterior(LogLogitSchedule(), DpmSolver(2), 64, guidance, Fold(16), **options)


def draw(y, method, dtype=torch.float32):
    return draw_posterior(task_of(y, dtype), method).double()


def farthest(x, mean, cov):
    """Largest distance of an element from the posterior's mean, in its sds."""
    return ((x - mean) / cov.diagonal().sqrt()).abs().max()


@pytest.mark.parametrize(
    ("solver", "dtype"),
    [*((s, torch.float32) for s in ("cg", "minres", "gmres")), ("cg", torch.bfloat16)],
)
def test_no_draw_flies_off_and_the_posterior_is_right(problem, solver, dtype):
    y, mean, cov = problem
    guidance = Mmps(solver, iterations=8, tolerance=1e-6)
    x = draw(y, guided(guidance), dtype)
    std = cov.diagonal().sqrt()
    assert farthest(x, mean, cov) < 8
    assert ((x.mean(0) - mean) / std).square().mean().sqrt() < 0.05
    assert (x.std(0) / std - 1).abs().max() < 0.1  # the network's own error is most of it
    assert guidance.counts.fallbacks > 0


@pytest.mark.parametrize("name", ["mmps", "pigdm"])
def test_no_draw_of_the_methods_that_ship_flies_off(problem, name):
    y, mean, cov = problem
    assert farthest(draw(y, build_method(load_method(name), 16)), mean, cov) < 8


def test_safeguards_are_on_unless_a_method_says_otherwise():
    off = {
        name
        for name in method_names()
        if "guidance" in (config := load_method(name).model_dump())
        and not config["guidance"].get("safeguard", True)
    }
    assert off == {"reference"}
    assert Mmps().safeguard
    for name in ("mmps", "pigdm"):
        assert build_method(load_method(name), 16).guidance.safeguard


def test_without_the_safeguard_draws_fly_off(problem):
    y, mean, cov = problem
    unguarded = Mmps("gmres", iterations=8, tolerance=1e-6, safeguard=False)
    x = draw(y, guided(unguarded, limit=1e12))
    wild = (((x - mean) / cov.diagonal().sqrt()).abs() > 8).any(dim=1).double().mean()
    assert wild > 0.005


def test_a_draw_that_diverges_is_reported_where_it_happens(problem):
    with pytest.raises(NumericalError, match=r"row \d+: .* at step \d+ \(.*sigma .*try"):
        draw(problem[0], guided(Mmps("cg", 8, 1e-6, safeguard=False)))
