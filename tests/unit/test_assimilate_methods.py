"""Every method that ships, on a model trained for seconds."""

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from appa_core.config import methods
from appa_core.config.build_method import build_sampler
from appa_core.config.methods import method_names
from appa_core.errors import NumericalError
from appa_core.observe.networks import NetworkPoints
from appa_core.posterior.diffusion import without_observations
from appa_core.posterior.dynamics import ExpectedStates
from appa_core.posterior.task import draw_posterior
from appa_core.steps.assimilate import observe_states
from tests.unit.test_assimilate import (
    BLANKET,
    FIRST,
    LATENT,
    LATER,
    LENGTH,
    NEXT,
    Case,
    draw_network,
    drifting,
    quick,
    quick_config,
)

#: Optimal interpolation draws states, not latents; tests of its own are elsewhere.
METHODS = [name for name in method_names() if name != "optimal-interpolation"]
VARIATIONAL = ("4dvar", "latent-3dvar", "latent-4dvar")
#: Calls of the guided mean with the steps of `quick_config`.
EVALUATIONS = dict.fromkeys(METHODS, 3) | dict.fromkeys(VARIATIONAL, 1)
EVALUATIONS |= {"sda": 3 * 2, "reference": 3 * 3, "es-mda": 3 * 3}
#: Most of the prior's squared distance from the observations that a method may leave.
LEFT = {"mmps": 0.05, "pigdm": 0.05, "reference": 0.05, "sda": 0.1}
LEFT |= {"latent-3dvar": 0.15, "latent-4dvar": 0.15}
#: Float32 rounding. Solvers enlarge it: pigdm's stops at 1e-3, an iteration sooner or later.
ROUNDING = dict.fromkeys(METHODS, 1e-4) | {"pigdm": 5e-3, "4dvar": 5e-3}


@pytest.fixture(scope="module")
def case(tiny_world):
    return Case.of(tiny_world.model)


@dataclass(frozen=True)
class Drawn:
    """Two members of three dates, drawn together; the second date is not observed."""

    name: str
    method: Any
    dates: list[Any]
    task: Any
    x: torch.Tensor
    evaluations: int

    def require_close(self, x, rows=slice(None)):
        torch.testing.assert_close(x, self.x[rows], rtol=0, atol=ROUNDING[self.name])


def observed(case, name="mmps", count=12, start=FIRST):
    length = BLANKET if name == "twisted-particles" else LENGTH
    return case.observed(start, draw_network(count, (0, 5), count), length)


@pytest.fixture(scope="module", params=METHODS)
def drawn(case, request):
    name, seen = request.param, []
    dates = [observed(case, name, n, d) for n, d in ((12, FIRST), (0, NEXT), (5, LATER))]
    task = case.task(*dates, on_evaluation=lambda: seen.append(1))
    method = quick(name)
    return Drawn(name, method, dates, task, draw_posterior(task, method), len(seen))


def test_every_method_draws_members(drawn):
    assert drawn.x.shape == (6, drawn.task.length, *LATENT)
    assert drawn.x.dtype == torch.float32
    assert torch.isfinite(drawn.x).all()
    assert 0.1 < drawn.x.std() < 3
    assert min((drawn.x[i] - drawn.x[i + 1]).std() for i in (0, 2, 4)) > 1e-3


def test_evaluations_are_announced_and_counted(drawn):
    assert drawn.evaluations == EVALUATIONS[drawn.name]
    assert drawn.task.cost.operator_forward > 0
    assert (drawn.task.cost.denoiser_forward > 0) == (drawn.name not in VARIATIONAL)


def test_draws_are_those_of_the_seed(case, drawn):
    date = drawn.dates[0]
    first, again, other = (
        draw_posterior(case.task(date, seed=seed), drawn.method) for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert (first - other).std() > 0.1


def test_dates_drawn_together_are_those_drawn_one_by_one(case, drawn):
    for i, date in enumerate(drawn.dates):
        x = draw_posterior(case.task(date), drawn.method)
        drawn.require_close(x, slice(2 * i, 2 * i + 2))


def test_without_observations_the_prior_is_drawn(drawn):
    prior = draw_posterior(without_observations(drawn.task), drawn.method)
    drawn.require_close(prior[2:4], slice(2, 4))
    assert (prior - drawn.x)[[0, 1, 4, 5]].flatten(1).std(dim=1).min() > 1e-3


def test_pieces_do_not_change_what_is_drawn(case, drawn):
    limit = 2 if drawn.method.couples_members else 1
    task = case.task(*drawn.dates, blankets_at_once=1)
    drawn.require_close(draw_posterior(task, drawn.method, rows_at_once=limit))


def test_more_members_leave_the_first_ones_as_they_are(case, drawn):
    if drawn.method.couples_members:
        pytest.skip("members of this method depend on each other")
    more = draw_posterior(case.task(drawn.dates[2], members=range(4)), drawn.method)
    drawn.require_close(more[:2], slice(4, 6))
    last = draw_posterior(case.task(drawn.dates[2], members=range(2, 4)), drawn.method)
    torch.testing.assert_close(last, more[2:], rtol=0, atol=ROUNDING[drawn.name])


def test_repainting_does_not_depend_on_other_dates(case):
    corner = NetworkPoints(np.zeros(3, np.int64), np.array([0, 1, 64]), np.full(3, 0.1, "f4"))
    few, many = case.observed(FIRST, corner), observed(case, count=20, start=LATER)
    together = draw_posterior(case.task(few, many), quick("repaint"))
    alone = draw_posterior(case.task(few), quick("repaint"))
    torch.testing.assert_close(together[:2], alone, rtol=0, atol=1e-3)


def misfit(task, x):
    """Mean squared distance from the observations, in standard deviations of their errors."""
    residual = task.observation.residual(task.observation.predict(x))
    return task.observation.cov_y.whiten(residual).square().mean().item()


def left_of_prior(task, method):
    """Share of the prior's misfit."""
    prior = draw_posterior(without_observations(task), method)
    return misfit(task, draw_posterior(task, method)) / misfit(task, prior)


@pytest.mark.parametrize("name", LEFT)
def test_guided_draws_are_closer_to_the_observations(case, name):
    task = case.task(observed(case, name, 40))
    assert left_of_prior(task, quick(name, steps=8)) < LEFT[name]


def test_a_strong_constraint_finds_a_trajectory_of_its_dynamics(case):
    truth = drifting(case.model.encode(case.states(FIRST, 2))[None])[0]
    seen = observed(case, count=40)
    values = observe_states(case.model.decode(truth), seen.points, np.random.default_rng(0))
    task, method = case.task(replace(seen, values=values)), quick("4dvar", outer=3)
    x = draw_posterior(task, method)
    torch.testing.assert_close(drifting(x[:, :2]), x)
    assert left_of_prior(task, method) < 0.2


def test_a_strong_constraint_follows_what_the_denoiser_expects(case):
    """Where a task says no dynamics: through attention, from blanket to blanket, and back."""
    task = replace(case.task(observed(case, count=40)), dynamics=None)
    method = quick("4dvar", outer=2)
    x = draw_posterior(task, method)
    torch.testing.assert_close(ExpectedStates.of(task, 2)(x[:, :2]), x, rtol=0, atol=1e-4)
    assert (x[:, BLANKET] - x[:, BLANKET - 1]).abs().max() > 1e-2
    assert left_of_prior(task, method) < 0.5
    pieces = replace(task, blankets_at_once=1)
    torch.testing.assert_close(draw_posterior(pieces, method), x, rtol=0, atol=5e-3)


VARIANTS = [
    {"sampler": methods.DdimConfig(kind="ddim", eta=0.5)},
    {"sampler": methods.DdpmConfig(kind="ddpm")},
    {"sampler": methods.HeunConfig(kind="heun")},
    {"sampler": methods.AdamsBashforthConfig(kind="adams-bashforth")},
    {"sampler": methods.DpmSolverConfig(kind="dpm-solver++", order=1)},
    {"sampler": methods.PredictorCorrectorConfig(kind="predictor-corrector")},
    {"schedule": methods.ScheduleConfig(kind="rectified")},
    {"schedule": methods.ScheduleConfig(kind="log-linear")},
    {"schedule": methods.ScheduleConfig(kind="cosine")},
    {"guidance": methods.MmpsConfig(kind="mmps", solver="minres")},
    {"guidance": methods.MmpsConfig(kind="mmps", solver="gmres", covariance="tweedie")},
    {"layout": methods.FoldConfig(kind="fold", stride=1, fold="average")},
]
CHAINS = [
    {"layout": methods.ChainConfig(kind="chain", known=2)},
    {"layout": methods.ChainConfig(kind="chain", known=2, order="backward"), "sweeps": 1},
]


@pytest.fixture(scope="module")
def usual(case):
    """The default method's draw, and how far the prior's is from the observations."""
    task, method = case.task(observed(case, count=40)), quick("mmps", steps=8)
    return draw_posterior(task, method), misfit(
        task, draw_posterior(without_observations(task), method)
    )


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_parts_of_a_method_can_be_exchanged(case, usual, changes):
    seen, sampler = [], quick_config("mmps", **changes).sampler
    task = case.task(observed(case, count=40), on_evaluation=lambda: seen.append(1))
    x = draw_posterior(task, quick("mmps", steps=8, **changes))
    assert len(seen) == build_sampler(sampler).evaluations(8)
    assert (x - usual[0]).std() > 1e-3
    assert misfit(task, x) < 0.1 * usual[1]


@pytest.mark.parametrize("changes", CHAINS, ids=str)
def test_chains_of_dates_with_other_numbers_of_observations(case, changes):
    dates = [observed(case, count=n, start=d) for n, d in ((40, FIRST), (0, NEXT), (5, LATER))]
    task, method = case.task(*dates), quick("mmps", **changes)
    x = draw_posterior(task, method)
    assert left_of_prior(task.rows([0, 1]), method) < 0.1
    for i, date in enumerate(dates):
        alone = draw_posterior(case.task(date), method)
        torch.testing.assert_close(alone, x[2 * i : 2 * i + 2], rtol=0, atol=1e-4)


def with_parts(case, **parts):
    return replace(case, model=replace(case.model, **parts))


@pytest.mark.parametrize("name", ["mmps", "pigdm"])
def test_reduced_precision_is_used_and_stays_within_its_rounding(case, name):
    seen, backbone = set(), copy.deepcopy(case.model.backbone)
    backbone.blocks[0].attention.qkv.register_forward_hook(
        lambda _module, _inputs, output: seen.add(output.dtype)
    )
    watched, date = with_parts(case, backbone=backbone), observed(case)
    exact = draw_posterior(watched.task(date), quick(name))
    assert seen == {torch.float32}
    seen.clear()
    low = draw_posterior(watched.task(date, dtype=torch.bfloat16), quick(name))
    assert seen == {torch.bfloat16}
    assert low.dtype == torch.float32
    assert torch.isfinite(low).all()
    assert 1e-5 < (low - exact).abs().max() < 0.05


def test_the_network_is_given_no_more_blankets_than_allowed(case):
    sizes, backbone = [], copy.deepcopy(case.model.backbone)
    backbone.register_forward_hook(lambda _module, inputs, _output: sizes.append(len(inputs[0])))
    task = with_parts(case, backbone=backbone).task(observed(case), blankets_at_once=3)
    draw_posterior(task, quick("mmps"))
    assert set(sizes) == {3, 1}
    assert sum(sizes) == task.cost.denoiser_forward


def broken(case, network):
    """The case with weights of a network that are not finite."""
    parts = {
        name: copy.deepcopy(getattr(case.model, name)) for name in ("backbone", "autoencoder")
    }
    weights = {
        "backbone": parts["backbone"].embed.weight,
        "decoder": parts["autoencoder"].decoder.linear.weight,
    }[network]
    weights.data.fill_(float("nan"))
    return with_parts(case, **parts)


BROKEN = [(name, "backbone") for name in METHODS if name not in VARIATIONAL]
BROKEN += [(name, "decoder") for name in METHODS]


@pytest.mark.parametrize(("name", "network"), BROKEN)
def test_broken_weights_are_reported(case, name, network):
    task = broken(case, network).task(observed(case, name), members=range(3, 5))
    with pytest.raises(NumericalError, match=f"{FIRST} member 3: the guided mean is not finite"):
        draw_posterior(task, quick(name))


def test_the_date_and_member_that_fail_are_named(case):
    backbone = copy.deepcopy(case.model.backbone)
    dates = observed(case), observed(case, start=LATER)
    task = with_parts(case, backbone=backbone).task(*dates, members=range(3, 5))
    start, finished = task.condition.context[2, 0], []

    def spoil(_module, inputs, output):
        late = (inputs[1][:, 0, :4] == start).flatten(1).all(dim=1)
        return torch.where(late.reshape(-1, 1, 1, 1, 1), float("nan"), output)

    backbone.register_forward_hook(spoil)
    with pytest.raises(NumericalError, match=f"{LATER} member 3: .* 2 of 4 rows"):
        draw_posterior(task, quick("mmps"))
    with pytest.raises(NumericalError, match=f"{LATER} member 3: .* 1 of 1 rows"):
        draw_posterior(
            task, quick("mmps"), rows_at_once=1, on_rows=lambda rows, _: finished.append(rows)
        )
    assert finished == [[0], [1]]
