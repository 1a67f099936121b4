"""Drawing in batches, finding failures where they happen, and refusing what cannot be drawn."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from appa_core.diffusion.denoiser import Condition
from appa_core.diffusion.noise import PooledNoise
from appa_core.diffusion.samplers import DdimSampler, DpmSolver, HeunSampler, PredictorCorrector
from appa_core.diffusion.schedule import LogLogitSchedule
from appa_core.errors import InputError
from appa_core.guidance.covariance import DiagonalCovariance
from appa_core.guidance.mmps import Mmps
from appa_core.guidance.observation import Observation
from appa_core.posterior.background import Background
from appa_core.posterior.diffusion import Chain, DiffusionPosterior, Fold, without_observations
from appa_core.posterior.particles import TwistedParticles
from appa_core.posterior.smoother import EnsembleSmoother
from appa_core.posterior.task import PosteriorTask, draw_posterior
from appa_core.posterior.variational import Variational

ROWS, STATES, BLANKET = 6, 8, 4
SCHEDULE = LogLogitSchedule(1e-2, 50.0)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def white(x, sigma, condition):
    """E[x | x_t] of independent states of unit variance."""
    free = x / (1 + sigma[:, None] ** 2)
    return torch.where(condition.mask > 0, condition.known, free)


def task(rows=ROWS, states=STATES, **changes):
    zeros = torch.zeros(rows, states, dtype=torch.float64)
    parts = {
        "denoiser": white,
        "blanket_states": BLANKET,
        "condition": Condition(zeros, zeros, normal(rows, states, seed=1)),
        "observation": Observation(
            y=normal(rows, 3, seed=2),
            A=lambda x: x[:, [0, 1, -1]],
            cov_y=DiagonalCovariance(torch.full((3,), 0.1, dtype=torch.float64)),
        ),
        "noise": PooledNoise(5, torch.arange(rows), states, ()),
        "group": torch.arange(rows) // 2,
        "labels": [f"member {i}" for i in range(rows)],
    }
    return PosteriorTask(**{**parts, **changes})


def diffusion(sampler=None, layout=None, steps=6, **options):
    sampler, layout = sampler or DpmSolver(2), layout or Fold(2)
    return DiffusionPosterior(SCHEDULE, sampler, steps, Mmps(), layout, **options)


def smoother(sampler=None, **options):
    return EnsembleSmoother(SCHEDULE, sampler or DpmSolver(2), 4, **options)


def background(states=STATES):
    return Background.estimate(normal(60, states, seed=3), 0)


@dataclass
class Recorder:
    """A method that draws its noise and keeps what it was asked for."""

    couples_members: bool
    asked: list = field(default_factory=list)

    def draw(self, part):
        self.asked.append([int(label.split()[1]) for label in part.labels])
        return part.noise(0)


@pytest.mark.parametrize(("limit", "sizes"), [(None, [6]), (4, [4, 2]), (1, [1] * 6), (9, [6])])
def test_rows_are_drawn_once_in_order(limit, sizes):
    method, finished = Recorder(couples_members=False), []
    whole = task()
    x = draw_posterior(
        whole, method, rows_at_once=limit, on_rows=lambda rows, x: finished.append((rows, x))
    )
    assert [len(rows) for rows in method.asked] == sizes
    assert [row for rows in method.asked for row in rows] == list(range(ROWS))
    assert torch.equal(x, whole.noise(0))
    assert [list(rows) for rows, _ in finished] == method.asked
    assert all(torch.equal(part, x[list(rows)]) for rows, part in finished)


@pytest.mark.parametrize(
    "method", [diffusion(), diffusion(DdimSampler(1.0)), diffusion(layout=Chain(1), sweeps=1)]
)
def test_batches_do_not_change_what_is_drawn(method):
    whole = draw_posterior(task(), method)
    for limit in (1, 4):
        torch.testing.assert_close(draw_posterior(task(), method, rows_at_once=limit), whole)
    torch.testing.assert_close(draw_posterior(task(blankets_at_once=2), method), whole)


@pytest.mark.parametrize(
    ("limit", "batches"), [(2, [[0, 1], [2, 3], [4, 5]]), (5, [[0, 1, 2, 3], [4, 5]])]
)
def test_coupled_methods_keep_ensembles_whole(limit, batches):
    method = Recorder(couples_members=True)
    draw_posterior(task(), method, rows_at_once=limit)
    assert method.asked == batches


def test_coupled_methods_refuse_to_split_an_ensemble():
    method = Recorder(couples_members=True)
    with pytest.raises(InputError, match=r"2 members of an ensemble together, .* 1 rows"):
        draw_posterior(task(), method, rows_at_once=1)
    mixed = task(group=torch.tensor([0, 1, 0, 1, 2, 2]))
    with pytest.raises(InputError, match="rows of an ensemble together"):
        draw_posterior(mixed, method)
    assert not method.asked


def test_ensembles_of_a_smoother_do_not_depend_on_each_other():
    whole = draw_posterior(task(), smoother())
    torch.testing.assert_close(draw_posterior(task(), smoother(), rows_at_once=2), whole)


def test_rows_of_a_task_are_those_of_all_its_parts():
    whole = task()
    part = whole.rows([4, 1])
    assert part.labels == ["member 4", "member 1"]
    assert part.group.tolist() == [2, 0]
    assert torch.equal(part.noise(3), whole.noise(3)[[4, 1]])
    assert torch.equal(part.observation.y, whole.observation.y[[4, 1]])
    assert torch.equal(part.condition.context, whole.condition.context[[4, 1]])
    assert part.cost is whole.cost


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["one"]}, "6 rows needs as many labels; there are 1"),
        ({"group": torch.zeros(5)}, "6 rows needs as many groups; there are 5"),
        (
            {"condition": Condition(*(torch.zeros(n, 8) for n in (6, 6, 1)))},
            "6 rows needs as many context; there are 1",
        ),
        (
            {"observation": task(4).observation},
            "6 rows has observations of 4 rows; expected as many, or one that all share",
        ),
    ],
)
def test_parts_must_have_as_many_rows(changes, message):
    with pytest.raises(InputError, match=message):
        task(**changes)


def test_without_observations_the_prior_is_drawn():
    method, whole = diffusion(), task()
    prior = draw_posterior(without_observations(whole), method)
    assert whole.cost.operator_forward == 0
    empty = replace(
        whole.observation,
        y=whole.observation.y[:, :0],
        A=lambda x: x[:, :0],
        cov_y=DiagonalCovariance(torch.ones(0)),
    )
    assert torch.equal(prior, draw_posterior(replace(whole, observation=empty), method))
    assert (prior - draw_posterior(whole, method)).abs().max() > 0.1


@pytest.mark.parametrize(
    "method",
    [
        diffusion(),
        TwistedParticles(SCHEDULE, 4, 3),
        Variational("4dvar"),
        smoother(),
    ],
)
def test_evaluations_of_the_operator_are_counted(method):
    whole = task(states=BLANKET, background=background(BLANKET))
    draw_posterior(whole, method)
    assert whole.cost.operator_forward > 0


SHORT = task(states=BLANKET - 1)
LAST = torch.zeros(ROWS, STATES).index_fill(1, torch.tensor([STATES - 1]), 1.0)
HOLED = task(condition=Condition(LAST, LAST, LAST), background=background())
GIVEN = task(condition=Condition(*[torch.ones(ROWS, STATES)] * 3), background=background())


@pytest.mark.parametrize(
    ("whole", "method", "message"),
    [
        (SHORT, diffusion(), "3 states is shorter than a blanket of 4; extend the period"),
        (SHORT, diffusion(layout=Chain(1)), "3 states is shorter than a blanket of 4"),
        (SHORT, smoother(), "3 states is shorter than a blanket of 4"),
        (task(), diffusion(layout=Chain(0)), "gives 1 to 3 states to each blanket"),
        (task(), diffusion(layout=Chain(4)), "gives 1 to 3 states to each blanket"),
        (task(), diffusion(sweeps=1, sweep_known=2), "given 1 to 1 at each side, not 2"),
        (task(), diffusion(sweeps=1, sweep_known=0), "given 1 to 1 at each side, not 0"),
        (task(), TwistedParticles(SCHEDULE), "one blanket of 4 states, not 8; use guided"),
        (task(), Variational(), "need a background covariance"),
        (
            task(background=background()),
            Variational("strong-4dvar", initial_states=4),
            "go on from 1 to 3 first states, not 4; change initial_states",
        ),
        (
            task(states=3, background=background(3)),
            Variational("strong-4dvar"),
            "3 states is shorter than a blanket of 4",
        ),
        (GIVEN, Variational(), "8 states are known, and 4dvar controls 8: nothing is left"),
        (HOLED, Variational(), "can be given the first states of a trajectory, the same"),
        (
            task(background=background(4)),
            Variational(),
            "background is of 4 states and 4dvar .* 8",
        ),
        (task(group=torch.tensor([0, 0, 1, 1, 1, 2])), smoother(), "2 or more .* there is 1"),
        (task(), smoother(DdimSampler(1.0)), "needs a deterministic sampler"),
        (task(), smoother(PredictorCorrector()), "needs a deterministic sampler"),
    ],
)
def test_what_cannot_be_drawn_is_refused(whole, method, message):
    with pytest.raises(InputError, match=message):
        draw_posterior(whole, method)


def test_a_smoother_takes_operators_that_are_no_torch_functions():
    """Through numpy and integers: what it draws is what the same operator in torch gives."""
    steps = lambda x: torch.floor(2 * x[:, [0, 1, -1]]) / 2
    outside = lambda x: torch.from_numpy(np.floor(2 * x.numpy()[:, [0, 1, -1]]) / 2)
    ours, theirs = (
        draw_posterior(replace(task(), observation=replace(task().observation, A=a)), smoother())
        for a in (outside, steps)
    )
    assert torch.equal(ours, theirs)
    prior = draw_posterior(without_observations(task()), smoother())
    assert (ours - prior).abs().max() > 1e-3


@pytest.mark.parametrize("sampler", [DdimSampler(), HeunSampler(), DpmSolver(1)], ids=repr)
def test_a_smoother_takes_any_deterministic_sampler(sampler):
    x = draw_posterior(task(), smoother(sampler))
    prior = draw_posterior(without_observations(task()), smoother(sampler))
    assert (x - prior).abs().max() > 1e-3
