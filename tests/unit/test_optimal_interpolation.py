"""Optimal interpolation against the matrices that it stands for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from appa_core.diffusion.denoiser import Condition
from appa_core.diffusion.noise import KeyedNoise
from appa_core.errors import InputError
from appa_core.guidance.covariance import DiagonalCovariance
from appa_core.guidance.observation import Observation
from appa_core.observe.interpolation import unit_vectors
from appa_core.posterior.interpolation import OptimalInterpolation
from appa_core.posterior.localisation import Localisation, Places
from appa_core.posterior.task import Climatology, PosteriorTask, draw_posterior

CHANNELS, ROWS, COLUMNS, STATES, BLANKET, DRAWS = 2, 4, 8, 3, 6, 60
CELLS = ROWS * COLUMNS
EVERYWHERE = Localisation(1e7, 1e4, 1e4)
LATITUDES = (np.arange(ROWS) + 0.5) * 180 / ROWS - 90


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


class Picks:
    """Values of some states, channels and cells."""

    def __init__(self, state, position, first=0, stop=STATES):
        self.state, self.position, self.first, self.stop = state, position, first, stop

    def __call__(self, x):
        inside = (self.state >= self.first) & (self.state < self.stop)
        at = torch.where(inside, self.state - self.first, 0)
        return x.flatten(2)[:, at, self.position] * inside

    def window(self, first, stop):
        inside = (self.state >= first) & (self.state < stop)
        return Picks(self.state, self.position, first, stop), inside[None]


def ensemble():
    """Draws with smooth fields that hang together in time and between channels."""
    mix = torch.linalg.qr(normal(CELLS * CHANNELS, 12, seed=1))[0].T
    weights = normal(DRAWS, BLANKET, 12, seed=2).cumsum(1)
    shape = DRAWS, BLANKET, CHANNELS, ROWS, COLUMNS
    return 0.5 + (weights @ mix).reshape(shape) * 3 + 0.05 * normal(*shape, seed=3)


def places(state, position):
    latitude = np.repeat(LATITUDES, COLUMNS)
    longitude = np.tile(np.arange(COLUMNS) * 360 / COLUMNS, ROWS)
    cells = torch.from_numpy(unit_vectors(latitude, longitude))
    heights = torch.tensor([0.0, 1.0], dtype=torch.float64)
    return Places(
        cells, heights, cells[position % CELLS], heights[position // CELLS], state.double()
    )


def task(members=3, count=9, error=0.3):
    rng = np.random.default_rng(4)
    state = torch.from_numpy(rng.integers(0, STATES, count))
    position = torch.from_numpy(rng.choice(CELLS * CHANNELS, count, replace=False))
    zeros = torch.zeros(members, STATES, 1, 1, 1, dtype=torch.float64)
    return PosteriorTask(
        denoiser=lambda x, *_: x,
        blanket_states=BLANKET,
        condition=Condition(zeros, zeros, zeros),
        observation=Observation(
            y=normal(1, count, seed=5),
            A=Picks(state, position),
            cov_y=DiagonalCovariance(torch.full((1, count), error**2, dtype=torch.float64)),
        ),
        noise=KeyedNoise(
            0, list(range(members)), [0] * members, STATES, (40,), torch.device("cpu")
        ),
        group=torch.zeros(members, dtype=torch.long),
        labels=[f"member {m}" for m in range(members)],
        climatology=Climatology(ensemble(), places(state, position)),
    )


def by_matrices(whole, state, reach):
    """The estimate of a state from sample covariances of whole blankets, without tapering."""
    draws, middle = ensemble(), BLANKET // 2
    a = whole.observation.A
    near = (a.state - state).abs() <= reach
    read = torch.stack(
        [
            draws[:, middle + s - state].flatten(1)[:, p]
            for s, p in zip(a.state[near].tolist(), a.position[near].tolist(), strict=True)
        ],
        dim=1,
    )
    x = draws[:, middle].flatten(1)
    joint = torch.cov(torch.cat([x, read], dim=1).T)
    n = x.shape[1]
    innovation = joint[n:, n:] + 0.09 * torch.eye(len(read[0]), dtype=torch.float64)
    departure = whole.observation.y[0, near] - read.mean(0)
    return x.mean(0) + joint[:n, n:] @ torch.linalg.solve(innovation, departure)


@pytest.mark.parametrize("reach", [0, 1, 2])
@pytest.mark.parametrize("box", [(4, 8), (3, 3)])
def test_the_mean_is_the_best_linear_estimate(reach, box):
    whole = task()
    x = draw_posterior(whole, OptimalInterpolation(EVERYWHERE, reach, box=box))
    for state in range(STATES):
        expected = by_matrices(whole, state, reach)
        torch.testing.assert_close(x[:, state].mean(0).flatten(), expected, rtol=1e-4, atol=1e-5)


def test_members_spread_as_the_estimate_errs():
    """Their covariance is (I - K H) P, up to the sampling error of 400 members."""
    whole = task(400, count=4)
    x = draw_posterior(whole, OptimalInterpolation(EVERYWHERE, 0))
    for state in range(STATES):
        near = whole.observation.A.state == state
        fields = ensemble()[:, BLANKET // 2].flatten(1)
        position = whole.observation.A.position[near]
        joint = torch.cov(fields.T)
        innovation = joint[position][:, position] + 0.09 * torch.eye(len(position)).double()
        gain = torch.linalg.solve(innovation, joint[position]).T
        expected = (joint - gain @ joint[position]).diagonal().sum()
        found = x[:, state].flatten(1).var(0).sum()
        assert found / expected == pytest.approx(1, abs=0.12)


def test_what_lies_beyond_the_tapering_has_no_say():
    whole = task()
    local = replace(EVERYWHERE, horizontal_km=2500.0)
    x = draw_posterior(whole, OptimalInterpolation(local, 1))
    one = whole.observation.A.position[0].item() % CELLS
    moved = whole.observation.y.clone()
    moved[:, 0] += 10
    changed = replace(whole, observation=replace(whole.observation, y=moved))
    difference = (draw_posterior(changed, OptimalInterpolation(local, 1)) - x).mean(0)
    cells = whole.climatology.places.cells
    far = (cells - cells[one]).norm(dim=1) * 6371 > 2 * 5000  # twice over: through a neighbour
    flat = difference.flatten(2)
    assert flat[:, :, one].abs().max() > 0.5
    assert flat[:, :, far].abs().max() < 1e-6


def test_without_observations_the_climatology_comes_back():
    whole = task(5)
    empty = Picks(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))
    nothing = Observation(
        y=normal(1, 0), A=empty, cov_y=DiagonalCovariance(torch.ones(1, 0, dtype=torch.float64))
    )
    prior = replace(
        whole,
        observation=nothing,
        climatology=Climatology(ensemble(), places(empty.state, empty.position)),
    )
    x = draw_posterior(prior, OptimalInterpolation(EVERYWHERE, 1))
    mean = ensemble()[:, BLANKET // 2].mean(0)
    for state in range(STATES):
        torch.testing.assert_close(x[:, state].mean(0), mean)
    assert x.std(0).mean() > 0.1


def test_a_single_member_is_the_estimate_itself():
    one, many = (
        draw_posterior(task(members), OptimalInterpolation(EVERYWHERE, 1)) for members in (1, 6)
    )
    torch.testing.assert_close(one[0], many.mean(0), rtol=1e-5, atol=1e-6)


def test_the_nearest_observations_are_taken_where_there_are_many():
    whole = task()
    local = replace(EVERYWHERE, horizontal_km=6000.0)
    few = draw_posterior(whole, OptimalInterpolation(local, 1, most=2, box=(1, 1)))
    every = draw_posterior(whole, OptimalInterpolation(local, 1, box=(1, 1)))
    assert (few - every).abs().max() > 1e-3
    assert (few - every).square().mean() < (every - ensemble().mean()).square().mean()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"climatology": None}, "needs an ensemble of the climatology"),
        ({"group": torch.tensor([0, 1, 1])}, "one ensemble at a time"),
    ],
)
def test_what_it_cannot_do_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        OptimalInterpolation(EVERYWHERE).draw(replace(task(), **changes))


def test_a_reach_beyond_the_blankets_is_refused():
    wide = Climatology(ensemble(), task().climatology.places)
    with pytest.raises(InputError, match="do not reach from state 4 to states 0 to 4; lower"):
        wide.around(range(5), 4)
