"""Windows of a trajectory: what is drawn, given and observed in each."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from appa_core.diffusion.denoiser import Condition
from appa_core.diffusion.noise import KeyedNoise
from appa_core.diffusion.schedule import LogLinearSchedule
from appa_core.errors import InputError
from appa_core.guidance.block_covariance import BlockCovariance
from appa_core.guidance.covariance import DiagonalCovariance, LowRankCovariance
from appa_core.guidance.mmps import Mmps
from appa_core.guidance.observation import Observation
from appa_core.posterior.diffusion import DiffusionPosterior, Fold
from appa_core.posterior.task import PosteriorTask
from appa_core.posterior.windows import (
    Window,
    chain_windows,
    reversed_windows,
    sweep_windows,
    window_task,
)

ROWS = 2


@st.composite
def chains(draw, longest=40):
    """L, K, known states and windows, forwards or backwards."""
    blanket = draw(st.integers(2, 9))
    length, known = draw(st.integers(blanket, longest)), draw(st.integers(1, blanket - 1))
    windows = chain_windows(length, blanket, known)
    if draw(st.booleans()):
        windows = reversed_windows(length, windows, blanket)
    return length, blanket, known, windows


@st.composite
def sweeps(draw):
    """L, K, known states at each side and windows."""
    known = draw(st.integers(1, 4))
    blanket = draw(st.integers(2 * known + 1, 2 * known + 6))
    length = draw(st.integers(blanket, 40))
    windows = sweep_windows(length, blanket, known, draw(st.integers(0, 20)))
    return length, blanket, known, windows


def free_states(window, blanket):
    return [window.first + i for i in range(blanket) if i not in window.given]


@given(chains())
def test_a_chain_draws_every_state_once_and_gives_what_was_drawn(chain):
    length, blanket, known, windows = chain
    drawn = []
    for window in windows:
        assert 0 <= window.first <= length - blanket
        assert all(0 <= g < blanket for g in window.given)
        assert {window.first + g for g in window.given} <= set(drawn)
        drawn += free_states(window, blanket)
    assert sorted(drawn) == list(range(length))
    assert not windows[0].given
    assert all(len(window.given) >= known for window in windows[1:])


@given(chains())
def test_a_chain_has_no_more_windows_than_it_needs(chain):
    length, blanket, known, windows = chain
    assert len(windows) == 1 + -(-(length - blanket) // (blanket - known))


@given(chains())
def test_reversing_mirrors_the_trajectory(chain):
    length, blanket, _, windows = chain
    mirrored = reversed_windows(length, windows, blanket)
    for one, other in zip(windows, mirrored, strict=True):
        states = sorted(length - 1 - s for s in free_states(one, blanket))
        assert states == free_states(other, blanket)
    assert reversed_windows(length, mirrored, blanket) == windows


@given(sweeps())
def test_a_sweep_draws_every_state(sweep):
    length, blanket, _, windows = sweep
    drawn = {state for window in windows for state in free_states(window, blanket)}
    assert drawn == set(range(length))
    assert [w.first for w in windows] == sorted({w.first for w in windows})
    assert windows[0].first == 0
    assert windows[-1].first == length - blanket


@given(sweeps())
def test_a_sweep_gives_the_neighbours_of_what_it_draws(sweep):
    length, blanket, known, windows = sweep
    for window in windows:
        states = free_states(window, blanket)
        assert states == list(range(states[0], states[-1] + 1))
        held = {window.first + g for g in window.given}
        before = set(range(states[0] - known, states[0])) if states[0] else set()
        after = {*range(states[-1] + 1, states[-1] + 1 + known)} - {*range(length, length + known)}
        assert held == before | after
        assert states[-1] == length - 1 or len(after) == known


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def independent_errors(count):
    return DiagonalCovariance(torch.ones(count).double())


def task_of(operator, count, length, blanket):
    zeros = torch.zeros(ROWS, length, dtype=torch.float64)
    return PosteriorTask(
        denoiser=lambda x, *_: x / 2,
        blanket_states=blanket,
        condition=Condition(zeros, zeros, zeros),
        observation=Observation(
            y=normal(1, count, seed=5),
            A=operator,
            cov_y=independent_errors(count),
        ),
        noise=KeyedNoise(3, [0, 1], [0, 0], length, (1,), torch.device("cpu"), torch.float64),
        group=torch.zeros(ROWS, dtype=torch.long),
        labels=["one", "two"],
    )


@st.composite
def spanning(draw):
    """A chain and observations that each depend on one to four states."""
    length, blanket, known, windows = draw(chains(longest=14))
    subset = st.sets(st.integers(0, length - 1), min_size=1, max_size=4)
    return length, blanket, known, windows, draw(st.lists(subset, min_size=1, max_size=5))


def sums_over(spans, length):
    """Weighted sums over sets of states."""
    matrix = torch.zeros(len(spans), length, dtype=torch.float64)
    for row, states in zip(matrix, spans, strict=True):
        row[list(states)] = normal(len(states), seed=4)
    return lambda x: x @ matrix.T


@settings(max_examples=60)
@given(spanning())
def test_an_observation_informs_the_window_that_completes_its_states(example):
    """And no other, so that each observation of a chain counts exactly once."""
    length, blanket, _, windows, spans = example
    task = task_of(sums_over(spans, length), len(spans), length, blanket)
    x, drawn = task.condition.known.clone(), torch.zeros(length, dtype=torch.bool)
    times_used = torch.zeros(len(spans))
    for window in windows:
        here = slice(window.first, window.first + blanket)
        used = window_task(task, window, x, drawn, purpose=0).observation.used
        after = {*drawn.nonzero()[:, 0].tolist(), *range(here.start, here.stop)}
        free = set(free_states(window, blanket))
        expected = [float(states <= after and bool(states & free)) for states in spans]
        assert used.tolist() == [expected] * ROWS
        times_used += used[0]
        x[:, here], drawn[here] = normal(ROWS, blanket, seed=window.first), True
    assert times_used.tolist() == [1.0] * len(spans)


@settings(max_examples=30)
@given(spanning(), st.integers(0, 10))
def test_the_operator_of_a_window_sees_the_whole_trajectory(example, which):
    length, blanket, _, windows, spans = example
    window = windows[which % len(windows)]
    operator = sums_over(spans, length)
    task = task_of(operator, len(spans), length, blanket)
    x, part = normal(ROWS, length), normal(ROWS, blanket, seed=1)
    here = slice(window.first, window.first + blanket)
    seen = window_task(task, window, x, torch.ones(length, dtype=torch.bool), 0)
    whole = x.clone()
    whole[:, here] = part
    torch.testing.assert_close(seen.observation.A(part), operator(whole))
    given_now = seen.condition.mask[0] > 0
    assert given_now.nonzero()[:, 0].tolist() == sorted(window.given)
    assert torch.equal(seen.condition.known[:, given_now], x[:, here][:, given_now])


def test_states_known_from_the_start_and_unused_observations_stay_so():
    task = task_of(sums_over([{1}, {2}, {5}], 8), 3, 8, 4)
    known, mask = normal(ROWS, 8, seed=2), torch.zeros(ROWS, 8).double()
    mask[:, 3] = 1
    used = torch.tensor([[1.0, 0.0, 1.0]]).double()
    task = replace(
        task,
        condition=Condition(known * mask, mask, known),
        observation=replace(task.observation, used=used),
    )
    x, drawn = normal(ROWS, 8), torch.ones(8, dtype=torch.bool)
    part = window_task(task, Window(1, 4, (0,)), x, drawn, 0)
    assert part.condition.mask.tolist() == [[1.0, 0.0, 1.0, 0.0]] * ROWS
    assert torch.equal(part.condition.known[:, 2], known[:, 3])
    assert torch.equal(part.condition.known[:, 0], x[:, 1])
    assert torch.equal(part.condition.context, known[:, 1:5])
    # of three: only of a given state; not used; of a free state
    assert part.observation.used.tolist() == [[0.0, 0.0, 0.0]] * ROWS
    later = window_task(task, Window(4, 4, (0,)), x, drawn, 0)
    assert later.observation.used.tolist() == [[0.0, 0.0, 1.0]] * ROWS


def test_errors_that_go_together_across_windows_are_known_where_states_are_given():
    """The observation of a given state says what the error is that others share with it."""
    shared = LowRankCovariance(
        torch.ones(4).double(), torch.tensor([[1.0], [0], [1], [1]]).double()
    )
    task = task_of(sums_over([{0}, {1}, {4}, {7}], 8), 4, 8, 4)
    task = replace(task, observation=replace(task.observation, cov_y=shared))
    drawn = torch.zeros(8, dtype=torch.bool)
    first = window_task(task, Window(0, 4, ()), task.condition.known, drawn, 0).observation
    assert first.used.tolist() == [[1.0, 1.0, 0.0, 0.0]] * ROWS
    drawn[:4] = True
    second = window_task(task, Window(2, 4, (0, 1)), task.condition.known, drawn, 0).observation
    assert second.used.tolist() == [[1.0, 0.0, 1.0, 0.0]] * ROWS
    alone = replace(task, observation=replace(task.observation, cov_y=independent_errors(4)))
    third = window_task(alone, Window(2, 4, (0, 1)), task.condition.known, drawn, 0).observation
    assert third.used.tolist() == [[0.0, 0.0, 1.0, 0.0]] * ROWS


def test_doubts_go_with_the_states_that_are_known_from_the_start():
    task = task_of(sums_over([{1}], 8), 1, 8, 4)
    mask, doubt = torch.zeros(ROWS, 8).double(), torch.full((ROWS, 8), 0.25).double()
    mask[:, 3] = 1
    known = normal(ROWS, 8)
    task = replace(task, condition=Condition(known * mask, mask, known, doubt))
    part = window_task(
        task, Window(1, 4, (0,)), known, torch.ones(8, dtype=torch.bool), 0
    ).condition
    assert part.mask.tolist() == [[1.0, 0.0, 1.0, 0.0]] * ROWS
    assert part.doubt.tolist() == [[0.0, 0.0, 0.25, 0.0]] * ROWS


class OneEach:
    """Observations of one state each, by an operator that says so itself."""

    def __init__(self, states, first=0):
        self.states, self.first = states, first

    def __call__(self, x):
        inside = [min(max(s - self.first, 0), x.shape[1] - 1) for s in self.states]
        return x[:, inside]

    def window(self, first, stop):
        inside = torch.tensor([[first <= s < stop for s in self.states]])
        return OneEach(self.states, first), inside


def test_an_operator_may_say_itself_what_a_window_informs():
    task = task_of(OneEach([1, 3, 4, 7]), 4, 8, 4)
    used = torch.tensor([[1.0, 1.0, 0.0, 1.0]] * ROWS).double()
    task = replace(task, observation=replace(task.observation, used=used))
    drawn = torch.zeros(8, dtype=torch.bool)
    seen = window_task(task, Window(2, 4, ()), task.condition.known, drawn, 0).observation
    assert seen.used.tolist() == [[0.0, 1.0, 0.0, 0.0]] * ROWS
    part = normal(ROWS, 4)
    residual = seen.residual(seen.predict(part))
    expected = torch.zeros(ROWS, 4, dtype=torch.float64)
    expected[:, 1] = task.observation.y[:, 1] - part[:, 1]
    torch.testing.assert_close(residual, expected)


def test_an_operator_of_windows_needs_errors_that_do_not_go_together_across_them():
    task = task_of(OneEach([1, 3, 4, 7]), 4, 8, 4)
    shared = LowRankCovariance(torch.ones(4).double(), torch.ones(4, 1).double())
    one, two = torch.eye(1).double(), torch.ones(2, 2).double() + torch.eye(2)
    blocks = BlockCovariance.of([one, two, one])
    drawn = torch.zeros(8, dtype=torch.bool)

    def window(errors, first, used=None):
        seen = replace(task.observation, cov_y=errors, used=used)
        whole = replace(task, observation=seen)
        return window_task(whole, Window(first, 4, ()), task.condition.known, drawn, 0).observation

    with pytest.raises(InputError, match=r"observation 2 goes together .* layout `fold`"):
        window(shared, 0)
    with pytest.raises(InputError, match="observation 1 goes together"):
        window(blocks, 4)
    inside = window(blocks, 2)
    assert inside.used.tolist() == [[0.0, 1.0, 1.0, 0.0]]
    without = torch.tensor([[1.0, 1.0, 0.0, 0.0]]).double()
    assert window(shared, 0, without).used.tolist() == [[1.0, 1.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    "operator", [torch.square, torch.abs, torch.relu, lambda x: x * x.flip(1)]
)
def test_observations_with_a_flat_derivative_at_zero_are_used_too(operator):
    """Wind speeds and rain have one; states that are not drawn yet are zero."""
    task = task_of(operator, 4, 4, 4)
    nothing = torch.zeros(4, dtype=torch.bool)
    seen = window_task(task, Window(0, 4, ()), task.condition.known, nothing, 0).observation
    assert seen.used.tolist() == [[1.0] * 4] * ROWS


class NoiseRecorder:
    """A sampler that returns its noise and keeps it."""

    def __init__(self):
        self.noises = []

    def sample(self, _mean, noise, _sigmas):
        self.noises.append(noise(0)[..., 0])
        return self.noises[-1]

    def evaluations(self, steps):
        return steps


def noises_of_sweeps(length, blanket, known, count):
    """Noise by state of every window that sweeps draw, and of the first draw."""
    sampler = NoiseRecorder()
    method = DiffusionPosterior(
        LogLinearSchedule(), sampler, 1, Mmps(), Fold(1), sweeps=count, sweep_known=known
    )
    method.draw(task_of(lambda x: x[:, :0], 0, length, blanket))
    first, *rest = sampler.noises
    windows = []
    for sweep in range(count):
        shift = (blanket - 2 * known) // 2 * (sweep // 2)
        ordered = sweep_windows(length, blanket, known, shift)
        windows += ordered if sweep % 2 == 0 else ordered[::-1]
    drawn = [dict(enumerate(first.unbind(1)))]
    for window, noise in zip(windows, rest, strict=True):
        states = free_states(window, blanket)
        drawn.append({s: noise[:, s - window.first] for s in states})
    return drawn


@pytest.mark.parametrize(("length", "blanket", "known"), [(12, 12, 2), (10, 6, 1)])
def test_every_drawing_of_a_state_has_noise_of_its_own(length, blanket, known):
    """A Gibbs step is exact if its noise is independent of the states that it is given."""
    drawn = noises_of_sweeps(length, blanket, known, count=3)
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            for state in one.keys() & other.keys():
                assert not torch.equal(one[state], other[state])
