"""Moment matching against the posterior of Gaussian data, and its safeguards."""

from dataclasses import replace

import pytest
import torch

from appa_core.blankets import FoldPlan
from appa_core.diffusion.denoiser import Condition
from appa_core.diffusion.trajectory import NetworkCost, TrajectoryDenoiser
from appa_core.errors import StalledError
from appa_core.guidance.block_covariance import BlockCovariance
from appa_core.guidance.covariance import DiagonalCovariance, LowRankCovariance
from appa_core.guidance.mmps import Mmps, SafeguardCounts
from appa_core.guidance.observation import Observation

ROWS, STATES, SIZE = 16, 6, 4
SOLVERS = ["cg", "minres", "gmres"]
EYE = torch.eye(STATES, dtype=torch.float64)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def prior_covariance():
    """Dense, of unit variances."""
    root = normal(STATES, STATES, seed=10)
    covariance = root @ root.T + 0.3 * EYE
    std = covariance.diagonal().sqrt()
    return covariance / std / std[:, None]


PRIOR, A = prior_covariance(), normal(SIZE, STATES, seed=11)
ERRORS = {
    "small": DiagonalCovariance(torch.full((SIZE,), 1e-4, dtype=torch.float64)),
    "by observation": DiagonalCovariance(
        torch.tensor([1e-3, 0.1, 1.0, 30.0], dtype=torch.float64)
    ),
    "correlated": LowRankCovariance(
        torch.full((SIZE,), 0.05, dtype=torch.float64), normal(SIZE, 1, seed=12)
    ),
    "in blocks": BlockCovariance.of(
        [torch.tensor([[0.2, 0.15], [0.15, 0.3]]).double(), 0.1 * torch.eye(2).double() + 0.05]
    ),
}


def trajectory_denoiser(blanket, rows, context=None):
    empty = torch.zeros(rows, STATES, dtype=torch.float64)
    condition = Condition(empty, empty, empty if context is None else context)
    return TrajectoryDenoiser(blanket, FoldPlan(STATES, STATES, STATES), condition)


def exact(x, sigma, _):
    """E[x | x_t] of N(0, PRIOR)."""
    return x @ torch.linalg.solve(PRIOR + sigma[0] ** 2 * EYE, PRIOR)


def problem(sigma, cov_y, rows=ROWS, used=None):
    """Arguments of a guidance: truth, noise and errors drawn from what they are taken for."""
    x = normal(rows, STATES, seed=1) @ torch.linalg.cholesky(PRIOR).T
    y = x @ A.T + cov_y.colour(normal(rows, SIZE, seed=2))
    seen = Observation(y=y, A=lambda x: x @ A.T, cov_y=cov_y, used=used)
    x_t = x + sigma * normal(rows, STATES, seed=3)
    return (
        x_t,
        torch.full((rows,), sigma, dtype=torch.float64),
        trajectory_denoiser(exact, rows),
        seen,
    )


def posterior_mean(x_t, sigma, y, cov_y, rows_of_a=slice(None)):
    """E[x | x_t, y] in closed form, with some of the observations."""
    a, dense = A[rows_of_a], cov_y.apply(torch.eye(SIZE).double())[rows_of_a][:, rows_of_a]
    weighted = torch.linalg.solve(dense, a).T
    precision = torch.linalg.inv(PRIOR) + EYE / sigma**2 + weighted @ a
    return torch.linalg.solve(precision, (x_t / sigma**2 + y[:, rows_of_a] @ weighted.T).T).T


def converged(solver="gmres", **options):
    return Mmps(solver, iterations=4 * SIZE, tolerance=1e-13, **options)


@pytest.mark.parametrize("sigma", [1e-3, 0.1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("errors", ERRORS)
@pytest.mark.parametrize("whiten", [True, False])
@pytest.mark.parametrize("solver", SOLVERS)
def test_converged_mean_is_that_of_the_posterior(solver, whiten, errors, sigma):
    cov_y = ERRORS[errors]
    x_t, levels, denoiser, seen = problem(sigma, cov_y)
    expected = posterior_mean(x_t, sigma, seen.y, cov_y)
    for reuse in (True, False):
        guidance = converged(solver, whiten=whiten, reuse=reuse)
        out = guidance(x_t, levels, denoiser, seen)
        torch.testing.assert_close(out, expected, rtol=1e-7, atol=1e-7)
        assert guidance.counts == SafeguardCounts(evaluations=ROWS)


@pytest.mark.parametrize("errors", ["by observation", "correlated", "in blocks"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_rows_have_different_observations(solver, errors):
    """Every row is as if it had only its own observations, and as if it were alone."""
    used = (normal(ROWS, SIZE, seed=4) > 0).double()
    used[0], used[1] = 0, 1
    cov_y, sigma = ERRORS[errors], 0.8
    x_t, levels, denoiser, seen = problem(sigma, cov_y, used=used)
    out = converged(solver)(x_t, levels, denoiser, seen)
    for row in range(ROWS):
        here, columns = slice(row, row + 1), used[row].nonzero()[:, 0]
        expected = posterior_mean(x_t[here], sigma, seen.y[here], cov_y, columns)
        torch.testing.assert_close(out[here], expected, rtol=1e-8, atol=1e-8)
        index = torch.tensor([row])
        alone = converged(solver)(x_t[here], levels[here], denoiser.rows(index), seen.rows(index))
        torch.testing.assert_close(out[here], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_reused_products_give_the_same_correction(solver, iterations):
    """Also where the solver has not converged."""
    x_t, levels, denoiser, seen = problem(0.5, ERRORS["by observation"])
    ours, theirs = (Mmps(solver, iterations, reuse=reuse) for reuse in (True, False))
    out = ours(x_t, levels, denoiser, seen)
    torch.testing.assert_close(out, theirs(x_t, levels, denoiser, seen), rtol=1e-9, atol=1e-9)
    rough = (out - posterior_mean(x_t, 0.5, seen.y, seen.cov_y)).abs().max()
    assert rough > 1e-3


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("whiten", [True, False])
def test_scalar_covariance(solver, whiten):
    """x_hat + sigma^2 J^T A^T (Sigma_y + r A A^T)^-1 (y - A x_hat), r = s^2 / (1 + s^2)."""
    sigma, cov_y = 0.7, ERRORS["correlated"]
    x_t, levels, denoiser, seen = problem(sigma, cov_y)
    gain = torch.linalg.solve(PRIOR + sigma**2 * EYE, PRIOR)
    x_hat = x_t @ gain
    s = cov_y.apply(torch.eye(SIZE).double()) + sigma**2 / (1 + sigma**2) * A @ A.T
    weights = torch.linalg.solve(s, (seen.y - x_hat @ A.T).T).T
    expected = x_hat + sigma**2 * weights @ A @ gain
    guidance = converged(solver, covariance="scalar", whiten=whiten)
    torch.testing.assert_close(guidance(x_t, levels, denoiser, seen), expected)


def test_the_scalar_covariance_serves_above_a_noise_level():
    for sigma, covariance in ((0.9, "tweedie"), (1.1, "scalar")):
        arguments = problem(sigma, ERRORS["correlated"])
        out = converged(tweedie_below=1.0)(*arguments)
        assert torch.equal(out, converged(covariance=covariance)(*arguments))


def test_nothing_is_computed_above_the_last_guided_level():
    x_t, levels, denoiser, seen = problem(2.0, ERRORS["correlated"])
    out = converged(guided_below=1.0)(x_t, levels, denoiser, seen)
    assert torch.equal(out, denoiser(x_t, levels))
    assert seen.cost == NetworkCost()


@pytest.mark.parametrize("sigma", [1e-2, 1.0, 50.0])
@pytest.mark.parametrize("solver", SOLVERS)
def test_safeguards_leave_consistent_gaussian_problems_alone(solver, sigma):
    arguments = problem(sigma, ERRORS["small"], rows=8192)
    guarded, bare = (converged(solver, safeguard=flag) for flag in (True, False))
    assert torch.equal(guarded(*arguments), bare(*arguments))
    assert guarded.counts == SafeguardCounts(evaluations=8192)
    assert bare.counts == SafeguardCounts()


WILD = {
    "negative": -50 * EYE,
    "huge": 1e6 * EYE,
    "indefinite": 1e3 * torch.diag(normal(STATES, seed=5)),
    "far from symmetric": 1e4 * normal(STATES, STATES, seed=6),
    "singular": 100 * torch.diag(EYE[0]),
}


@pytest.mark.parametrize("name", WILD)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("whiten", [True, False])
def test_corrections_are_bounded_whatever_the_jacobian(solver, whiten, name):
    cov_y, sigma, clamp = ERRORS["small"], 1.5, 3.0
    x_t, levels, _, seen = problem(sigma, cov_y)
    denoiser = trajectory_denoiser(lambda x, *_: x @ WILD[name].T, ROWS)
    guidance = Mmps(solver, whiten=whiten, clamp=clamp)
    change = guidance(x_t, levels, denoiser, seen) - denoiser(x_t, levels)
    size = denoiser(x_t, levels).abs().max().item()
    limit = clamp * (sigma**2 / (1 + sigma**2)) ** 0.5
    assert (change.abs() <= limit + 1e-15 * size).all()
    assert guidance.counts.evaluations == ROWS
    assert guidance.counts.clamped > 0


@pytest.mark.parametrize("solver", SOLVERS)
def test_systems_that_are_not_positive_fall_back_to_the_scalar_covariance(solver):
    x_t, levels, _, seen = problem(1.0, ERRORS["small"])
    denoiser = trajectory_denoiser(lambda x, *_: -50 * x, ROWS)
    guidance = converged(solver, clamp=1e9, whiten=False)
    change = guidance(x_t, levels, denoiser, seen) - denoiser(x_t, levels)
    assert guidance.counts.fallbacks == ROWS
    s = ERRORS["small"].apply(torch.eye(SIZE).double()) + 0.5 * A @ A.T
    residual = seen.y + 50 * x_t @ A.T
    expected = 0.5 * torch.linalg.solve(s, residual.T).T @ A
    torch.testing.assert_close(change, expected)


def test_weights_are_scaled_back_to_the_trust_region():
    """Chi-squared of M observations: |u|^2 <= M + 2 sqrt(32 M) + 64."""
    sigma, slope, std = 1.0, 0.5, 0.1
    y = torch.full((ROWS, STATES), 1e6, dtype=torch.float64)
    errors = DiagonalCovariance(torch.tensor(std**2, dtype=torch.float64))
    seen = Observation(y=y, A=lambda x: x, cov_y=errors)
    denoiser = trajectory_denoiser(lambda x, *_: slope * x, ROWS)
    x_t, levels = normal(ROWS, STATES), torch.full((ROWS,), sigma, dtype=torch.float64)
    guidance = converged(clamp=1e9)
    change = guidance(x_t, levels, denoiser, seen) - denoiser(x_t, levels)
    bound = STATES + 2 * (32 * STATES) ** 0.5 + 64
    expected = torch.full((ROWS,), sigma**2 * slope / std * bound**0.5, dtype=torch.float64)
    torch.testing.assert_close(change.norm(dim=1), expected)
    assert guidance.counts.capped == ROWS


def nan_where_context_is_zero(x, _, condition):
    """x / 2, with a Jacobian that is not a number for some rows."""
    return x / 2 + 0 * torch.sqrt((condition.context * x) ** 2)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("reuse", [True, False])
def test_rows_whose_jacobian_is_not_a_number_fall_back_alone(solver, reuse):
    x_t, levels, _, seen = problem(1.0, ERRORS["by observation"])
    context = torch.ones(ROWS, STATES).double()
    clean = trajectory_denoiser(nan_where_context_is_zero, ROWS, context.clone())
    context[5] = 0
    spoilt = trajectory_denoiser(nan_where_context_is_zero, ROWS, context)
    assert spoilt.linearise(x_t, levels).vjp(x_t)[5].isnan().all()
    guidance = Mmps(solver, reuse=reuse)
    out = guidance(x_t, levels, spoilt, seen)
    others = torch.arange(ROWS) != 5
    assert torch.equal(out[others], Mmps(solver, reuse=reuse)(x_t, levels, clean, seen)[others])
    assert guidance.counts.fallbacks == 1
    assert torch.isfinite(out[5]).all()
    assert (out[5] - x_t[5] / 2).abs().max() > 1e-3  # still guided


def with_slope(x, _, condition):
    return condition.context * x


def without_system():
    """V = sigma^2 J^T = -Sigma_y and A = I for row 5, so that S = 0; half of it elsewhere."""
    slope = torch.full((ROWS, STATES), 0.125, dtype=torch.float64)
    slope[5] = -0.25
    errors = DiagonalCovariance(torch.tensor(0.25, dtype=torch.float64))
    seen = Observation(y=normal(ROWS, STATES, seed=2), A=lambda x: 1 * x, cov_y=errors)
    denoiser = trajectory_denoiser(with_slope, ROWS, slope)
    return normal(ROWS, STATES), torch.ones(ROWS).double(), denoiser, seen


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_solver_that_makes_no_progress_is_reported(solver):
    with pytest.raises(StalledError, match=f"{solver} made no progress for rows .5. of") as caught:
        Mmps(solver, safeguard=False)(*without_system())
    assert (caught.value.rows, caught.value.solver) == ([5], solver)
    guidance = Mmps(solver)
    assert torch.isfinite(guidance(*without_system())).all()
    assert guidance.counts.fallbacks == 1


@pytest.mark.parametrize("safeguard", [True, False])
@pytest.mark.parametrize("covariance", ["tweedie", "scalar"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_an_operator_whose_gradient_is_not_a_number_is_reported(solver, covariance, safeguard):
    """No covariance helps there, and a mean that is not corrected would be the prior's."""
    x_t, levels, denoiser, seen = problem(1.0, ERRORS["by observation"])
    known = torch.ones(ROWS, 1).double()
    known[5] = 0
    rough = replace(seen, A=lambda x: x @ A.T + 0 * torch.sqrt((known * (x @ A.T)) ** 2))
    with pytest.raises(StalledError, match=r"rows \[5\] of"):
        Mmps(solver, covariance=covariance, safeguard=safeguard)(x_t, levels, denoiser, rough)


@pytest.mark.parametrize("safeguard", [True, False])
def test_rows_whose_operator_is_not_a_number_are_seen(safeguard):
    """What is observed of them is unknown: a mean that looks well would be the prior's."""
    x_t, levels, denoiser, seen = problem(1.0, ERRORS["by observation"])
    spoilt = torch.zeros(ROWS, 1).double()
    spoilt[5] = float("nan")
    broken = replace(seen, A=lambda x: x @ A.T + spoilt)
    out = Mmps(safeguard=safeguard)(x_t, levels, denoiser, broken)
    others = torch.arange(ROWS) != 5
    clean = Mmps(safeguard=safeguard)(x_t, levels, denoiser, seen)
    assert torch.equal(out[others], clean[others])
    assert not torch.isfinite(out[5]).all()
