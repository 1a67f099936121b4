"""Numerical failures are found where they happen, and say which member, and what to try."""

from dataclasses import replace

import pytest
import torch

from appa_core.diffusion.samplers import DpmSolver, HeunSampler, PredictorCorrector
from appa_core.errors import NumericalError, StalledError
from appa_core.guidance.mmps import Mmps
from appa_core.posterior.diffusion import DiffusionPosterior, Fold, without_observations
from appa_core.posterior.particles import TwistedParticles
from appa_core.posterior.task import draw_posterior
from appa_core.posterior.watch import Watch
from tests.unit.test_posterior_task import (
    BLANKET,
    ROWS,
    SCHEDULE,
    Recorder,
    diffusion,
    task,
    white,
)


def test_results_that_are_not_finite_name_their_row():
    class Broken(Recorder):
        def draw(self, part):
            x = super().draw(part)
            x[torch.tensor([label == "member 3" for label in part.labels])] = float("nan")
            return x

    with pytest.raises(NumericalError, match="member 3: the result is not finite"):
        draw_posterior(task(), Broken(couples_members=False), rows_at_once=2)


def watched(values, **options):
    return Watch(lambda x, _: values.expand_as(x), ["here", "there"], **options)


FAILURES = [(float("nan"), "is not finite"), (float("inf"), "is not finite"), (-1e6, "diverged")]


@pytest.mark.parametrize(("bad", "what"), FAILURES)
def test_watch_says_where_a_mean_failed(bad, what):
    values, x = torch.tensor([[1.0], [1.0]]), torch.zeros(2, 3)
    watch = watched(values)
    watch(x, torch.tensor([8.0, 9.0]))
    values[1] = bad
    with pytest.raises(NumericalError) as caught:
        watch(x, torch.tensor([4.0, 5.0]))
    message = str(caught.value)
    for part in ("there: the guided mean", what, "step 2", "sigma 5", "1 of 2 rows"):
        assert part in message
    for remedy in ("more steps", "safeguard", "tweedie_below", "float32", "error variances"):
        assert remedy in message


def stalled(_x, _sigma):
    raise StalledError([1], "minres")


def test_watch_says_where_a_solver_stalled():
    message = (
        r"there: the guided mean cannot be found, minres stalls, at step 1 \(evaluation 1, "
        r"sigma 5, 1 of 2 rows\); try more steps or solver iterations"
    )
    with pytest.raises(NumericalError, match=message):
        Watch(stalled, ["here", "there"])(torch.zeros(2, 3), torch.tensor([4.0, 5.0]))


def test_watch_lets_through_what_is_within_its_limit():
    seen, values = [], torch.tensor([[90.0], [-110.0]])
    watch = watched(values, limit=111.0, on_evaluation=lambda: seen.append(1))
    for _ in range(3):
        assert torch.equal(watch(torch.zeros(2, 3), torch.ones(2)), values.expand(2, 3))
    assert len(seen) == watch.evaluations == 3


def breaking_at(call, value, row_context):
    """The denoiser above until a call, when it fails for the row of a context."""
    calls = []

    def denoiser(x, sigma, condition):
        calls.append(1)
        wrong = (condition.context[:, :1] == row_context) & (len(calls) >= call)
        return torch.where(wrong, value, white(x, sigma, condition))

    return denoiser


@pytest.mark.parametrize(("value", "what"), FAILURES)
@pytest.mark.parametrize(
    ("sampler", "step", "level"),
    [(DpmSolver(2), 5, 4), (PredictorCorrector(2), 2, 1), (HeunSampler(), 3, 2)],
    ids=repr,
)
def test_failures_are_found_at_the_step_where_they_happen(value, what, sampler, step, level):
    seen = []
    whole = task(states=BLANKET, on_evaluation=lambda: seen.append(1))
    broken = breaking_at(5, value, whole.condition.context[4, 0])
    sigma = SCHEDULE.steps(6)[level].item()
    message = (
        rf"member 4: the guided mean {what} at step {step} \(evaluation 5, sigma {sigma:.3g}, "
        ".*1 of 6 rows"
    )
    with pytest.raises(NumericalError, match=message):
        draw_posterior(without_observations(replace(whole, denoiser=broken)), diffusion(sampler))
    assert len(seen) == 4


def test_a_solver_that_stalls_is_reported_with_step_member_and_remedy():
    """The gradient of |x| is not a number where the square root's argument is zero."""
    whole = task(states=BLANKET)
    keep = (torch.arange(ROWS) != 4).double()[:, None]
    rough = lambda x: x[:, :3] + 0 * torch.sqrt((keep * x[:, :3]) ** 2)
    whole = replace(whole, observation=replace(whole.observation, A=rough))
    message = r"member 4: .* cg stalls, at step 1 .evaluation 1, sigma 36.*; try more"
    method = DiffusionPosterior(SCHEDULE, DpmSolver(2), 6, Mmps("cg"), Fold(2))
    with pytest.raises(NumericalError, match=message):
        draw_posterior(whole, method)


def test_weights_of_particles_that_are_no_numbers_are_reported():
    """The operator fails at the last of its evaluations alone, where no mean is formed of it."""
    calls, whole = [], task(states=BLANKET)

    def failing(x):
        calls.append(1)
        return x[:, [0, 1, -1]] / (1 if len(calls) <= 4 else float("nan"))

    whole = replace(whole, observation=replace(whole.observation, A=failing))
    with pytest.raises(NumericalError, match="member 0: none of the particles' weights"):
        draw_posterior(whole, TwistedParticles(SCHEDULE, 4, 3))
