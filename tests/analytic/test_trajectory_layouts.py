"""A long AR(1), observed at its end alone, by blankets of a quarter of it.

Information must travel 62 states back, which takes more than a blanket of 16.
"""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from appa_core.diffusion.samplers import DpmSolver
from appa_core.diffusion.schedule import LogLogitSchedule
from appa_core.guidance.mmps import Mmps
from appa_core.posterior.diffusion import Chain, DiffusionPosterior, Fold
from appa_core.posterior.task import draw_posterior
from appa_core.posterior.windows import Window, window_task
from benchmarks.closed_forms import ar1, ar1_seen_at_its_end, ar1_with_a_bias
from benchmarks.draws import moments

# this seed's last states are far from zero, -1.9 and -1.8, so that there is much to recover
PROBLEM = replace(ar1_seen_at_its_end(), seed=1)
BLANKET, DRAWS = 16, 4096
FAR = 62 - 32
FOLDS = [Fold(8, "symmetrical"), Fold(8, "causal"), Fold(8, "average")]


def draw(layout, sweeps=0, problem=PROBLEM, draws=DRAWS):
    """Draws and the network's forward evaluations for each."""
    guidance = Mmps("cg", iterations=24, tolerance=1e-8)
    schedule = LogLogitSchedule()
    method = DiffusionPosterior(schedule, DpmSolver(2), 32, guidance, layout, sweeps=sweeps)
    task = problem.task(draws, BLANKET)
    return draw_posterior(task, method), task.cost.denoiser_forward / draws


def recovered(x):
    """Share of the exact mean that is found 32 states before the first observation."""
    return (x.mean(0) / PROBLEM.posterior.mean)[FAR].item()


@pytest.mark.parametrize("layout", FOLDS, ids=lambda fold: fold.fold)
def test_folded_blankets_lose_what_lies_beyond_them(layout):
    x, _ = draw(layout)
    assert recovered(x) < 0.5
    assert moments(x, PROBLEM).mean > 0.1


def test_a_backward_chain_carries_information_all_the_way():
    x, cost = draw(Chain(1, "backward"))
    errors = moments(x, PROBLEM)
    assert errors.mean < 0.05
    assert errors.sd < 0.05
    assert errors.correlation < 0.07
    assert recovered(x) > 0.9
    assert all(cost < draw(layout, draws=8)[1] for layout in FOLDS)


def test_sweeps_repair_a_forward_chain_round_by_round():
    errors = [moments(draw(Chain(1), sweeps, draws=2048)[0], PROBLEM) for sweeps in (0, 2, 4, 8)]
    means = [e.mean for e in errors]
    assert all(later < 0.9 * earlier for earlier, later in pairwise(means))
    assert means[-1] < 0.25 * means[0]
    # a chain that hears of the end when it gets there jumps; sweeps smooth that out
    assert errors[0].sd > 1
    assert errors[-1].sd < 0.1


@pytest.mark.parametrize("order", ["forward", "backward"])
def test_sweeps_leave_the_posterior_as_it_is(order):
    """Observed often, a chain is close; rounds of Gibbs sampling keep its spread."""
    problem = ar1(32)
    before, after = (moments(draw(Chain(4, order), n, problem)[0], problem) for n in (0, 6))
    assert after.mean < 0.05
    assert after.sd < 0.05
    assert after.correlation < 0.08
    assert after.mean < before.mean


@pytest.mark.parametrize("layout", [*FOLDS, Chain(1), Chain(1, "backward")], ids=str)
def test_every_layout_is_exact_on_a_single_blanket(layout):
    problem = ar1(BLANKET)
    assert moments(draw(layout, problem=problem)[0], problem).mean < 0.04


def given_the_rest(problem, x, free):
    """Mean and sd of some states given all others and the observations."""
    mean, covariance = problem.posterior
    precision = torch.linalg.inv(covariance)
    rest = [i for i in range(len(mean)) if i not in free]
    pull = precision[free][:, rest] @ (x - mean)[rest]
    within = torch.linalg.inv(precision[free][:, free])
    return mean[free] - within @ pull, within.diagonal().sqrt()


def test_a_window_knows_of_errors_that_it_shares_with_others():
    """What the given states leave of their observations tells of a bias that all share."""
    problem, free = ar1_with_a_bias(), [4, 5, 6, 7]
    x = problem.exact(1, seed=1)
    task = problem.task(DRAWS, 6)
    everything = torch.ones(task.length, dtype=torch.bool)
    window = window_task(task, Window(3, 6, (0, 5)), x.expand(DRAWS, -1), everything, purpose=1)
    method = DiffusionPosterior(LogLogitSchedule(), DpmSolver(2), 64, Mmps("cg", 8, 1e-8), Fold(6))
    part = draw_posterior(window, method)[:, 1:5]
    mean, sd = given_the_rest(problem, x[0], free)
    assert ((part.mean(0) - mean) / sd).abs().max() < 0.05
    torch.testing.assert_close(part.std(0), sd, rtol=0.04, atol=0)
    alone = problem.task(1).observation.errors.marginal(torch.tensor([[0, 0, 1.0, 1, 0, 0]]))
    independent = replace(problem, dense_errors=alone.apply(torch.eye(6).double()))
    wrong, _ = given_the_rest(independent, x[0], free)
    assert ((wrong - mean) / sd).abs().max() > 0.2
