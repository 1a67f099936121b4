"""Backgrounds given their first states, against the dense Gaussian."""

from dataclasses import replace

import pytest
import torch

from appa_core.diffusion.denoiser import Condition
from appa_core.posterior.background import Background
from appa_core.posterior.relay import given_first
from appa_core.posterior.task import draw_posterior
from appa_core.posterior.variational import Variational
from benchmarks.closed_forms import ar1

LENGTH, CHANNELS, CELLS = 5, 3, 2
SIZE = CHANNELS * CELLS


def background():
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    lower = torch.tril(normal(CHANNELS, LENGTH, LENGTH)) + 2 * torch.eye(LENGTH)
    return Background(
        mean=normal(1, LENGTH, CHANNELS, CELLS),
        std=normal(CHANNELS, CELLS).abs() + 0.5,
        time_factor=lower,
        patterns=normal(2, CHANNELS, CELLS),
        rest=normal(CHANNELS, CELLS).abs() + 0.3,
    )


def moments(prior):
    """Mean (L n,) and covariance of trajectories, from the map of unit controls."""
    length, width = prior.control_shape
    zero = torch.zeros(1, length, width, dtype=torch.float64)
    mean = prior.trajectory(zero).flatten()
    units = torch.eye(length * width, dtype=torch.float64).reshape(-1, length, width)
    factor = prior.trajectory(units).flatten(1) - mean
    return mean, factor.T @ factor


@pytest.mark.parametrize("count", [1, 2, 4])
def test_given_states_condition_the_rest(count):
    prior = background()
    mean, covariance = moments(prior)
    known = torch.randn(
        1, count, CHANNELS, CELLS, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    n = count * SIZE
    gain = torch.linalg.solve(covariance[:n, :n], covariance[:n, n:]).T
    expected_mean = mean[n:] + gain @ (known.flatten() - mean[:n])
    expected = covariance[n:, n:] - gain @ covariance[:n, n:]
    found_mean, found = moments(prior.after(known))
    torch.testing.assert_close(found_mean, expected_mean, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


def test_4d_var_goes_on_from_given_states():
    """AR(1) observed later: the closed form given its first two states."""
    problem = ar1(8)
    known = torch.tensor([1.5, 0.5], dtype=torch.float64)
    rows = 8192
    task = given_first(problem.task(rows, background=True), known.expand(rows, 2))
    x = draw_posterior(task, Variational("4dvar"))
    assert torch.equal(x[:, :2], known.expand(rows, 2))
    h, r = problem.operator, problem.dense_errors
    free = problem.covariance[2:, 2:]
    gain = torch.linalg.solve(problem.covariance[:2, :2], problem.covariance[:2, 2:]).T
    prior_mean, prior = gain @ known, free - gain @ problem.covariance[:2, 2:]
    later = h[:, 2:].abs().sum(1) > 0
    hf, y = h[later][:, 2:], problem.y[later]
    k = torch.linalg.solve(hf @ prior @ hf.T + r[later][:, later], hf @ prior).T
    mean, covariance = prior_mean + k @ (y - hf @ prior_mean), prior - k @ hf @ prior
    sd = covariance.diagonal().sqrt()
    assert ((x[:, 2:].mean(0) - mean) / sd).abs().max() < 0.05
    assert (x[:, 2:].std(0) / sd - 1).abs().max() < 0.04


def test_doubt_of_given_states_stays_out_of_the_mask():
    problem = ar1(8)
    task = given_first(problem.task(4, background=True), torch.zeros(4, 1), doubt=0.3)
    assert isinstance(task.condition, Condition)
    x = draw_posterior(replace(task, background=task.background), Variational("4dvar"))
    assert (x[:, 0] - task.condition.known[:, 0]).abs().max() < 1e-12
