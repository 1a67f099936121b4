"""What every sampler must do, and the order at which each converges.

Driven by denoisers whose probability-flow equation has a solution in closed form.
"""

from itertools import pairwise

import azula.noise
import azula.sample
import pytest
import torch
from azula.denoise import Denoiser, DiracPosterior

from appa_core.diffusion.samplers import (
    AdamsBashforth,
    DdimSampler,
    DpmSolver,
    HeunSampler,
    PredictorCorrector,
)
from appa_core.diffusion.schedule import LogLinearSchedule, LogLogitSchedule, RectifiedSchedule

DETERMINISTIC = [
    DdimSampler(),
    HeunSampler(),
    AdamsBashforth(1),
    AdamsBashforth(2),
    AdamsBashforth(3),
    AdamsBashforth(4),
    DpmSolver(1),
    DpmSolver(2),
    PredictorCorrector(0),
]
STOCHASTIC = [
    DdimSampler(0.5),
    DdimSampler(1.0),
    PredictorCorrector(1, 0.3),
    PredictorCorrector(3),
]
FIRST_ORDER = [DdimSampler(), AdamsBashforth(1), DpmSolver(1), PredictorCorrector(0)]
MU = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
VAR = torch.tensor([1.0, 0.25, 2.0], dtype=torch.float64)


def gaussian(x, sigma):
    s = sigma[:, None] ** 2
    return (MU * s + x * VAR) / (s + VAR)


class Noise:
    """Unit noise that is a function of the draw, and records which draws were asked for."""

    def __init__(self, rows=16, width=3):
        self.shape, self.draws = (rows, width), []

    def __call__(self, draw):
        self.draws.append(draw)
        generator = torch.Generator().manual_seed(draw)
        return torch.randn(self.shape, generator=generator, dtype=torch.float64)


def flow(x, start, stop):
    """The probability-flow equation of the Gaussian from one noise level to another."""
    return MU + (x - MU) * ((VAR + stop**2) / (VAR + start**2)).sqrt()


@pytest.mark.parametrize("sampler", DETERMINISTIC, ids=repr)
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_a_point_mass_is_reached_up_to_the_last_noise(sampler, steps):
    noise, sigmas = Noise(), RectifiedSchedule(1e-2, 100.0).steps(steps)
    start = MU.expand(noise.shape)
    x = sampler.sample(lambda x, _: MU.expand_as(x), noise, sigmas, start)
    torch.testing.assert_close((x - MU) / 1e-2, Noise()(0), rtol=1e-6, atol=1e-6)
    assert noise.draws == [0]


@pytest.mark.parametrize("sampler", STOCHASTIC, ids=repr)
def test_noise_around_a_point_mass_has_the_size_of_the_last_level(sampler):
    sigmas = LogLinearSchedule(1e-3, 100.0).steps(9)
    x = sampler.sample(lambda x, _: MU.expand_as(x), Noise(8000), sigmas)
    size = (x - MU).std(0) / 1e-3
    torch.testing.assert_close(size, torch.ones(3).double(), rtol=0.04, atol=0)
    assert ((x - MU).mean(0).abs() < 5e-5).all()


@pytest.mark.parametrize(
    "sampler", [DdimSampler(0.5), DdimSampler(1.0), PredictorCorrector(2, 0.05)], ids=repr
)
def test_stochastic_samplers_keep_the_moments_of_a_gaussian(sampler):
    """As steps grow, and corrections shrink."""
    sigmas = LogLogitSchedule(1e-3, 100.0).steps(300)
    x = sampler.sample(gaussian, Noise(8000), sigmas)
    assert ((x.mean(0) - MU).abs() < 0.05 * VAR.sqrt()).all()
    torch.testing.assert_close(x.var(0), VAR, rtol=0.07, atol=0)


@pytest.mark.parametrize(
    ("sampler", "order"),
    [
        *((sampler, 1) for sampler in FIRST_ORDER),
        (HeunSampler(), 2),
        (AdamsBashforth(2), 2),
        (DpmSolver(2), 2),
        (AdamsBashforth(3), 3),
        (AdamsBashforth(4), 4),
    ],
    ids=repr,
)
def test_order_of_convergence(sampler, order):
    """Errors against the closed form fall by 2^order as steps double (multistep: nearly)."""
    errors = []
    for steps in (64, 128):
        sigmas = LogLinearSchedule(0.05, 50.0).steps(steps)
        x = sampler.sample(gaussian, Noise(), sigmas)
        exact = flow(Noise()(0) * sigmas[0], sigmas[0], sigmas[-1])
        errors.append((x - exact).abs().max().item())
    rate = torch.tensor(errors[0] / errors[1]).log2().item()
    assert order - 0.4 < rate < order + 0.2
    assert errors[1] < 0.1


@pytest.mark.parametrize("sampler", FIRST_ORDER, ids=repr)
def test_samplers_of_first_order_are_eulers_method_in_sigma(sampler):
    """x_s = x_t + (s - t) (x_t - D) / t."""
    sigmas = RectifiedSchedule(1e-2, 50.0).steps(7)
    x = Noise()(0) * sigmas[0]
    for t, s in pairwise(sigmas):
        x = x + (s - t) * (x - gaussian(x, t.expand(len(x)))) / t
    torch.testing.assert_close(
        sampler.sample(gaussian, Noise(), sigmas), x, rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("sampler", DETERMINISTIC + STOCHASTIC, ids=repr)
@pytest.mark.parametrize("steps", [1, 5])
def test_evaluations_are_as_said(sampler, steps):
    sigmas, levels = RectifiedSchedule(1e-2, 50.0).steps(steps), []

    def counted(x, sigma):
        assert sigma.shape == (len(x),)
        levels.append(sigma[0].item())
        return gaussian(x, sigma)

    sampler.sample(counted, Noise(), sigmas)
    assert len(levels) == sampler.evaluations(steps)
    known = sigmas.tolist()
    assert all(any(abs(level - s) < 1e-12 * s for s in known) for level in levels)


@pytest.mark.parametrize("sampler", STOCHASTIC, ids=repr)
def test_no_noise_is_used_twice(sampler):
    noise, steps = Noise(), 6
    sampler.sample(gaussian, noise, RectifiedSchedule(1e-2, 50.0).steps(steps))
    per_step = sampler.corrections if isinstance(sampler, PredictorCorrector) else 1
    assert noise.draws == list(range(steps * per_step + 1))


@pytest.mark.parametrize("sampler", DETERMINISTIC + STOCHASTIC, ids=repr)
def test_a_start_moves_the_noise_with_the_data(sampler):
    """Data and start moved by the same amount give samples moved by it."""
    sigmas, shift = RectifiedSchedule(1e-2, 50.0).steps(5), torch.tensor([3.0, -1.0, 0.5]).double()
    moved = sampler.sample(
        lambda x, sigma: gaussian(x - shift, sigma) + shift, Noise(), sigmas, shift.expand(16, 3)
    )
    plain = sampler.sample(gaussian, Noise(), sigmas)
    torch.testing.assert_close(moved, plain + shift, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sampler", DETERMINISTIC + STOCHASTIC, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision_of_the_noise_is_kept_and_no_graph_is_built(sampler, dtype):
    weight = torch.ones((), dtype=dtype, requires_grad=True)
    x = sampler.sample(
        lambda x, _: weight * x / 2,
        lambda draw: Noise()(draw).to(dtype),
        RectifiedSchedule(1e-2, 50.0).steps(4),
    )
    assert x.dtype == dtype
    assert not x.requires_grad


class Gaussian(Denoiser):
    """The denoiser above, as azula has them, with a schedule of azula's own."""

    schedule = azula.noise.VESchedule(1e-2, 50.0)

    def forward(self, x_t, t):
        return DiracPosterior(gaussian(x_t, self.schedule(t)[1].expand(len(x_t))))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (DdimSampler(), azula.sample.DDIMSampler(Gaussian())),
        (DdimSampler(), azula.sample.EulerSampler(Gaussian())),
        (DdimSampler(0.3), azula.sample.DDIMSampler(Gaussian(), eta=0.3)),
        (DdimSampler(1.0), azula.sample.DDPMSampler(Gaussian())),
        (PredictorCorrector(2, 0.2), azula.sample.PCSampler(Gaussian(), 2, 0.2)),
        (HeunSampler(), azula.sample.HeunSampler(Gaussian())),
        (AdamsBashforth(1), azula.sample.EulerSampler(Gaussian())),
        (AdamsBashforth(3), azula.sample.zABSampler(Gaussian(), order=3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_agreement_with_azula(monkeypatch, ours, theirs):
    """On the same levels, and with the same noise drawn on the way."""
    sigmas, noise = LogLinearSchedule(1e-2, 50.0).steps(9), Noise()
    start = noise(0) * sigmas[0]
    used = ours.sample(gaussian, Noise(), sigmas)
    draws = iter(range(1, 100))
    # azula's DDIM draws noise even where it multiplies it by zero
    monkeypatch.setattr(torch, "randn_like", lambda _: noise(next(draws)))
    theirs.steps, theirs.silent, theirs.dtype = 9, True, torch.float64
    torch.testing.assert_close(used, theirs(start), rtol=1e-10, atol=1e-10)
