"""A long AR(1) by stretches: no seam where one takes over from the other.

Increments from state to state are compared with those of the closed form, at every state. With
8192 draws their standard deviations have sampling errors of 0.8 %.
"""

from dataclasses import replace

import pytest
import torch

from appa_core.blankets import RelayPlan
from appa_core.diffusion.denoiser import Condition
from appa_core.diffusion.samplers import DpmSolver
from appa_core.diffusion.schedule import LogLogitSchedule
from appa_core.errors import InputError
from appa_core.guidance.mmps import Mmps
from appa_core.posterior.diffusion import DiffusionPosterior, Fold
from appa_core.posterior.relay import doubted, draw_relay, given_first
from appa_core.posterior.task import draw_posterior
from benchmarks.closed_forms import ar1, ar1_unseen
from benchmarks.posterior import moments

LENGTH, BLANKET, DRAWS = 26, 6, 8192
METHOD = DiffusionPosterior(
    LogLogitSchedule(), DpmSolver(2), 40, Mmps("cg", iterations=24, tolerance=1e-8), Fold(3)
)


def plan(ahead, known=1):
    return RelayPlan(LENGTH, BLANKET, known, ahead, BLANKET)


def increments(x, problem):
    """Standard deviation of x_i+1 - x_i over the exact one, (L - 1,)."""
    step = torch.diff(torch.eye(LENGTH, dtype=torch.float64), dim=0)
    exact = (step @ problem.posterior.covariance @ step.T).diagonal().sqrt()
    return x.diff(dim=1).std(dim=0) / exact


@pytest.mark.parametrize(("known", "ahead"), [(1, 0), (1, 2), (2, 2), (3, 1)])
def test_without_observations_there_is_no_seam(known, ahead):
    problem = ar1_unseen(LENGTH)
    x = draw_relay(problem.task(DRAWS, BLANKET), METHOD, plan(ahead, known))
    ratio = increments(x, problem)
    assert (ratio - 1).abs().max() < 0.04
    errors = moments(x, problem)
    assert errors.mean < 0.03
    assert errors.sd < 0.04
    assert errors.correlation < 0.06


def test_a_fold_has_seams_that_this_would_see():
    problem = ar1_unseen(LENGTH)
    x = draw_posterior(problem.task(DRAWS, BLANKET), METHOD)
    assert (increments(x, problem) - 1).abs().max() > 0.1


def test_with_observations_there_is_none_if_stretches_look_ahead():
    problem = ar1(LENGTH)
    task = problem.task(DRAWS, BLANKET)
    blind, seeing = (draw_relay(task, METHOD, plan(ahead)) for ahead in (0, 3))
    assert (increments(blind, problem) - 1).abs().max() > 0.2
    assert (increments(seeing, problem) - 1).abs().max() < 0.05
    assert moments(seeing, problem).mean < 0.3 * moments(blind, problem).mean


def test_inflation_widens_draws_about_the_same_mean():
    """Of a linear problem all deviations from the mean grow by the factor, through stretches."""
    task = ar1(LENGTH).task(64, BLANKET)
    plain, wide = (draw_relay(task, replace(METHOD, inflation=s), plan(3)) for s in (1.0, 1.5))
    centre = draw_relay(task, replace(METHOD, inflation=1e-9), plan(3))
    torch.testing.assert_close(wide - centre, 1.5 * (plain - centre), rtol=1e-5, atol=1e-6)


def test_what_is_not_observed_is_not_inflated():
    task = ar1_unseen(LENGTH).task(4, BLANKET)
    plain, wide = (draw_relay(task, replace(METHOD, inflation=s), plan(3)) for s in (1.0, 1.5))
    assert torch.equal(plain, wide)


def test_states_drawn_again_have_noise_of_their_own():
    """With that of their first drawing they would know of it: increments would be too even."""
    task = ar1_unseen(LENGTH).task(64, BLANKET)
    seen = []

    class Recorder:
        couples_members = False

        def draw(self, part):
            seen.append(part.noise(0))
            return part.noise(0)

    draw_relay(task, Recorder(), plan(2))
    for i, one in enumerate(seen):
        assert all(not torch.isclose(one, other).any() for other in seen[:i])


def test_given_states_come_back_and_doubt_is_told():
    task = ar1(8).task(5, BLANKET)
    known = torch.arange(10, dtype=torch.float64).reshape(5, 2)
    certain = given_first(task, known)
    assert torch.equal(certain.condition.known[:, :2], known)
    assert certain.condition.mask.sum(0).tolist() == [5.0, 5.0, *[0.0] * 6]
    assert certain.condition.doubt is None
    told = given_first(task, known, doubt=0.5).condition
    assert torch.equal(told.doubt, torch.full_like(told.mask, 0.5))
    error = told.known - certain.condition.known
    assert not error[:, 2:].any()
    assert 0.1 < error[:, :2].std() < 1.5
    assert given_first(task, known[:, :0], doubt=0.5) is task
    with pytest.raises(InputError, match="8 states are given of a stretch of 8"):
        given_first(task, torch.zeros(5, 8))


def test_the_denoiser_of_a_trajectory_is_told_of_doubt():
    told = []
    task = ar1(BLANKET).task(3, BLANKET)

    def denoiser(x_t, _sigma, condition: Condition):
        told.append(condition.doubt)
        return torch.where(condition.mask > 0, condition.known, 0 * x_t)

    known = torch.zeros(3, 1, dtype=torch.float64)
    METHOD.draw(given_first(replace(task, denoiser=denoiser), known, doubt=0.25))
    assert all(torch.equal(d, torch.full((3, BLANKET), 0.25).double()) for d in told)
    assert doubted(task, 0.0) is task
