"""Gaussian priors and linear observations: every method against the closed-form posterior.

Where nothing else is said, at 8192 draws: the mean is off by less than 0.02 posterior standard
deviations (sd; its own sampling error is 0.011), sds by 3 %, correlations by 0.05, and no draw
lies beyond 8 sd.
"""

from dataclasses import replace

import pytest
import torch

from appa_core.diffusion.denoiser import Condition
from appa_core.diffusion.samplers import (
    AdamsBashforth,
    DdimSampler,
    DpmSolver,
    HeunSampler,
    PredictorCorrector,
)
from appa_core.diffusion.schedule import (
    CosineSchedule,
    LogLinearSchedule,
    LogLogitSchedule,
    RectifiedSchedule,
)
from appa_core.guidance.gradients import Dps, Sda
from appa_core.guidance.mmps import Mmps, SafeguardCounts
from appa_core.posterior.diffusion import Chain, DiffusionPosterior, Fold, without_observations
from appa_core.posterior.particles import TwistedParticles
from appa_core.posterior.smoother import EnsembleSmoother
from appa_core.posterior.task import draw_posterior
from appa_core.posterior.variational import Variational
from benchmarks.closed_forms import (
    GaussianDenoiser,
    GaussianProblem,
    ar1,
    ar1_covariance,
    ar1_seen_at_its_end,
    ar1_seen_often,
    ar1_seen_once,
    ar1_unseen,
    ar1_with_block_errors,
    ar1_with_shared_errors,
)
from benchmarks.draws import moments

DRAWS = 8192
CONVERGED = Mmps("cg", iterations=24, tolerance=1e-8)
SECOND_ORDER = DpmSolver(2)


def diffusion(guidance=CONVERGED, sampler=SECOND_ORDER, steps=64, **options):
    schedule = options.pop("schedule", LogLogitSchedule())
    layout = options.pop("layout", Fold(1 << 20))
    return DiffusionPosterior(schedule, sampler, steps, guidance, layout, **options)


def errors_of(method, problem, draws=DRAWS, **options):
    return moments(draw_posterior(problem.task(draws, **options), method), problem)


def assert_close(errors, mean=0.02, sd=0.03, correlation=0.05):
    assert errors.mean < mean
    assert errors.sd < sd
    assert errors.correlation < correlation
    assert errors.deviation < 8


def kalman_smoother(problem: GaussianProblem, a: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of AR(1) given observations of one state each (Rauch et al. 1965)."""
    length, r = len(problem.covariance), problem.dense_errors.diagonal()
    predicted, filtered = [], []
    mean, variance = torch.zeros(2, dtype=torch.float64)
    for t in range(length):
        mean, variance = a * mean, a**2 * variance + (1 - a**2 if t else 1)
        predicted.append((mean, variance))
        for m in problem.operator[:, t].nonzero()[:, 0].tolist():
            gain = variance / (variance + r[m])
            mean, variance = mean + gain * (problem.y[m] - mean), variance * (1 - gain)
        filtered.append((mean, variance))
    means = torch.stack([m for m, _ in filtered])
    cov = torch.diag(torch.stack([v for _, v in filtered]))
    for t in reversed(range(length - 1)):
        back = cov[t, t] * a / predicted[t + 1][1]
        means[t] += back * (means[t + 1] - predicted[t + 1][0])
        cov[t, t] += back**2 * (cov[t + 1, t + 1] - predicted[t + 1][1])
        cov[t, t + 1 :] = cov[t + 1 :, t] = back * cov[t + 1, t + 1 :]
    return means, cov


@pytest.mark.parametrize(
    ("problem", "a"), [(ar1(8), 0.9), (ar1(64), 0.9), (ar1_seen_at_its_end(), 0.95)]
)
def test_the_closed_form_is_what_a_kalman_smoother_finds(problem, a):
    mean, covariance = kalman_smoother(problem, a)
    assert torch.allclose(problem.posterior.mean, mean, atol=1e-10)
    assert torch.allclose(problem.posterior.covariance, covariance, atol=1e-10)


@pytest.mark.parametrize("make", [ar1, ar1_with_block_errors, ar1_with_shared_errors])
def test_error_covariances_are_the_matrices_of_the_closed_form(make):
    problem = make()
    errors, eye = problem.errors(torch.float64), torch.eye(len(problem.y), dtype=torch.float64)
    assert torch.allclose(errors.apply(eye), problem.dense_errors, atol=1e-12)
    assert torch.allclose(errors.colour(eye).mT @ errors.colour(eye), problem.dense_errors)
    assert torch.allclose(errors.whiten(errors.colour(eye)), eye, atol=1e-12)


def test_the_exact_denoiser_conditions_on_noise_and_known_states_alike():
    covariance, known = ar1_covariance(6, 0.9), torch.tensor([1, 0, 0, 1, 0, 0]).double()
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    sigma = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)
    condition = Condition(x_t * known, known.expand(3, 6), x_t)
    estimate = GaussianDenoiser(covariance)(x_t, sigma, condition)
    for row, s in enumerate(sigma):
        total = covariance + torch.diag(s**2 * (1 - known))
        expected = covariance @ torch.linalg.solve(total, x_t[row])
        assert torch.allclose(estimate[row], expected, atol=1e-10)


@pytest.mark.parametrize("solver", ["cg", "minres", "gmres"])
def test_converged_mmps_draws_from_the_posterior(solver):
    guidance = Mmps(solver, iterations=8, tolerance=1e-8)
    assert_close(errors_of(diffusion(guidance), ar1()))
    assert guidance.counts.fallbacks == guidance.counts.capped == guidance.counts.clamped == 0


def test_converged_mmps_draws_from_the_posterior_of_64_states():
    guidance = replace(CONVERGED, counts=SafeguardCounts())
    assert_close(errors_of(diffusion(guidance), ar1(64)))
    assert guidance.counts == SafeguardCounts(evaluations=64 * DRAWS)


@pytest.mark.parametrize("make", [ar1, ar1_with_block_errors, ar1_with_shared_errors])
def test_solves_have_converged(make):
    """Twice the iterations, or another solver, give the same draws."""
    draw = lambda guidance: draw_posterior(make().task(64), diffusion(guidance))
    expected = draw(CONVERGED)
    for other in (Mmps("cg", 48, 1e-10), Mmps("minres", 24, 1e-10), Mmps("gmres", 24, 1e-10)):
        torch.testing.assert_close(draw(other), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("length", [8, 64])
def test_sampling_errors_are_smaller_than_the_bars(length):
    """So that what exact draws miss by does not decide."""
    problem = ar1(length)
    assert_close(moments(problem.exact(DRAWS), problem), mean=0.015, sd=0.02, correlation=0.045)


# those of first order, and those that draw noise on the way, need more steps
@pytest.mark.parametrize(
    ("sampler", "steps"),
    [
        (DdimSampler(eta=1.0), 512),
        (DdimSampler(), 256),
        (HeunSampler(), 64),
        (AdamsBashforth(1), 256),
        (AdamsBashforth(2), 64),
        (AdamsBashforth(3), 64),
        (AdamsBashforth(4), 64),
        (DpmSolver(1), 256),
        (DpmSolver(2), 64),
        (PredictorCorrector(2, 0.1), 128),
    ],
    ids=str,
)
def test_all_samplers_draw_from_the_posterior(sampler, steps):
    method = diffusion(sampler=sampler, steps=steps, schedule=RectifiedSchedule())
    assert_close(errors_of(method, ar1()))


@pytest.mark.parametrize("schedule", [LogLinearSchedule(), CosineSchedule()], ids=repr)
def test_all_schedules_draw_from_the_posterior(schedule):
    assert_close(errors_of(diffusion(steps=96, schedule=schedule), ar1()))


# with 2048 draws the sampling error of the mean is 0.022
@pytest.mark.parametrize("variance", [0.3, 0.005])
def test_very_many_observations(variance):
    """200 of 8 states, which leave little doubt."""
    guidance = replace(CONVERGED, counts=SafeguardCounts())
    errors = errors_of(diffusion(guidance), ar1_seen_often(25, variance), 2048)
    assert_close(errors, mean=0.04, sd=0.06, correlation=0.1)
    assert guidance.counts == SafeguardCounts(evaluations=64 * 2048)


@pytest.mark.parametrize("variance", [1e-4, 1.0, 100.0])
def test_a_single_observation(variance):
    assert_close(errors_of(diffusion(), ar1_seen_once(variance)))


@pytest.mark.parametrize("make", [ar1_with_block_errors, ar1_with_shared_errors])
def test_correlated_errors_are_accounted_for(make):
    assert_close(errors_of(diffusion(), make()))


def test_taking_correlated_errors_for_independent_ones_is_seen():
    problem = ar1_with_shared_errors()
    task = problem.task(DRAWS)
    wrong = ar1_with_shared_errors().errors(torch.float64)
    wrong = replace(wrong, diagonal=wrong.variance(wrong.diagonal), factors=0 * wrong.factors)
    task = replace(task, observation=replace(task.observation, cov_y=wrong))
    assert moments(draw_posterior(task, diffusion()), problem).mean > 0.1


@pytest.mark.parametrize(
    "task", [ar1_unseen().task(DRAWS), without_observations(ar1().task(DRAWS))]
)
def test_without_observations_the_prior_comes_back(task):
    assert_close(moments(draw_posterior(task, diffusion()), ar1_unseen()))


def test_float32_is_enough():
    problem = ar1_with_block_errors()
    x = draw_posterior(problem.task(DRAWS, dtype=torch.float32), diffusion())
    assert x.dtype == torch.float32
    assert_close(moments(x, problem))


METHODS = {
    "one blanket": (diffusion(sampler=PredictorCorrector(1), steps=12), None),
    "folded": (diffusion(sampler=AdamsBashforth(3), steps=12, layout=Fold(3)), 5),
    "chain and sweeps": (diffusion(steps=12, layout=Chain(2), sweeps=3, sweep_known=2), 5),
    "particles": (TwistedParticles(LogLogitSchedule(), 12, particles=4), None),
    "4D-Var": (Variational("4dvar"), None),
}


@pytest.mark.parametrize(("method", "blanket"), METHODS.values(), ids=METHODS)
def test_splitting_a_task_changes_nothing(method, blanket):
    task = ar1().task(11, blanket, background=True)
    whole = draw_posterior(task, method)
    by_rows = draw_posterior(task, method, rows_at_once=4)
    by_blankets = draw_posterior(replace(task, blankets_at_once=3), method)
    assert torch.allclose(by_rows, whole, rtol=0, atol=1e-9)
    assert torch.allclose(by_blankets, whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("method", "blanket"), METHODS.values(), ids=METHODS)
def test_more_members_leave_the_first_as_they_are(method, blanket):
    few, many = (ar1().task(rows, blanket, background=True) for rows in (7, 10))
    longer = draw_posterior(many, method)
    assert torch.allclose(longer[:7], draw_posterior(few, method), rtol=0, atol=1e-9)
    assert longer.unique(dim=0).shape == longer.shape


@pytest.mark.parametrize("make", [ar1, ar1_with_block_errors, ar1_with_shared_errors])
def test_4d_var_members_draw_from_the_posterior(make):
    assert_close(errors_of(Variational("4dvar"), make(), 4 * DRAWS, background=True))


def expected_from_the_first(problem, a):
    """Posterior of x = (1, a, a^2, ...) x_0 with x_0 ~ N(0, 1): its mean, and sd of x_0."""
    powers = a ** torch.arange(len(problem.covariance), dtype=torch.float64)
    h = problem.operator @ powers
    precision = 1 + h @ torch.linalg.solve(problem.dense_errors, h)
    first = h @ torch.linalg.solve(problem.dense_errors, problem.y) / precision
    return powers * first, powers * precision**-0.5


@pytest.mark.parametrize("blanket", [None, 4, 5])
def test_strong_4d_var_follows_the_dynamics_that_the_denoiser_has_learned(blanket):
    """E[x_k | x_0] = a^k x_0, also from blanket to blanket."""
    problem = ar1()
    task = problem.task(DRAWS, blanket, background=True)
    x = draw_posterior(task, Variational("strong-4dvar"))
    mean, sd = expected_from_the_first(problem, 0.9)
    assert (((x.mean(0) - mean) / sd).abs() < 0.04).all()
    torch.testing.assert_close(x.std(0), sd, rtol=0.03, atol=0)
    torch.testing.assert_close(x, x[:, :1] * mean / mean[0], rtol=0, atol=0.02)
    assert task.cost.denoiser_forward > 0


def test_3d_var_knows_nothing_of_time():
    problem = ar1()
    alone = errors_of(Variational("3dvar"), problem, background=True)
    assert 0.3 < alone.mean < prior_error(problem)


def test_es_mda_is_close_with_2000_members():
    # the sampling error of the mean is 0.022, that of a gain from 2000 members adds to it
    method = EnsembleSmoother(LogLogitSchedule(), DpmSolver(2), steps=32)
    assert_close(errors_of(method, ar1(), 2000), mean=0.08, sd=0.06, correlation=0.09)


def prior_error(problem):
    return (problem.posterior.mean / problem.posterior.sd).square().mean().sqrt().item()


@pytest.mark.parametrize(
    "guidance", [Sda(0.3), Mmps("cg", 8, 1e-8, covariance="scalar"), Dps(1.0)], ids=repr
)
def test_biased_guidance_is_better_than_the_prior(guidance):
    problem = ar1()
    errors = errors_of(diffusion(guidance), problem, 2048)
    assert 0.05 < errors.mean < 0.6 * prior_error(problem)
