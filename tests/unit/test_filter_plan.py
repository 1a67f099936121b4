"""Which states a cycle is given, draws and hears, and which pieces hold the last word on them."""

from dataclasses import dataclass
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appa_core.config.methods import load_method
from appa_core.errors import InputError
from appa_core.io.store import Artifact
from appa_core.steps.drawn import Piece
from appa_core.steps.filtering import FilterJob, latest


@dataclass(frozen=True)
class Sizes:
    states: int = 6
    known_states: int = 2
    step_hours: int = 6


class FakePreset:
    def __init__(self, sizes):
        self.denoiser = self.sampling = self.state = sizes


class FakeDrawing:
    """What of a drawing a plan looks at."""

    def __init__(self, method="mmps", **sizes):
        self.preset, self.method = FakePreset(Sizes(**sizes)), load_method(method)


def job(cycles=4, every=1, lag=0, drawing=None, **sizes):
    return FilterJob(
        drawing or FakeDrawing(**sizes), pd.Timestamp("2024-01-01"), cycles, every, lag, 8
    )


@st.composite
def jobs(draw):
    known = draw(st.integers(1, 3))
    states = known + draw(st.integers(1, 6))
    numbers = (draw(st.integers(1, top)) for top in (6, 3))
    return job(*numbers, draw(st.integers(0, 5)), states=states, known_states=known)


@given(jobs())
def test_cycles_follow_the_clock(plan):
    current = plan.current_times
    assert current[0] == plan.start
    assert len(current) == plan.cycles
    step = pd.Timedelta(hours=6 * plan.every)
    assert all(b - a == step for a, b in pairwise(current))


@given(jobs())
def test_a_cycle_is_given_what_the_ones_before_drew(plan):
    drawn = set()
    for cycle in plan.plan:
        given_states = set(range(cycle.first, cycle.first + cycle.given))
        assert given_states <= drawn
        assert max(given_states, default=-1) <= cycle.before
        free = range(cycle.first + cycle.given, cycle.first + plan.stretch_states)
        assert cycle.now in free
        drawn |= set(free)


@given(jobs())
def test_a_cycle_draws_its_lag_again(plan):
    for cycle in plan.plan[1:]:
        free = range(cycle.first + cycle.given, cycle.first + plan.stretch_states)
        assert cycle.now - plan.lag in free
        # and no more than it must
        assert free[0] == min(cycle.now - plan.lag, cycle.before + 1)


@given(jobs())
def test_stretches_can_be_drawn_and_backgrounds_reach_the_current_state(plan):
    assert plan.stretch_states >= plan.drawing.preset.denoiser.states
    for cycle in plan.plan:
        first = cycle.before - plan.known + 1 if cycle.number else cycle.first
        assert first >= 0
        assert first + plan.stretch_states > cycle.now
        assert len(plan.times) >= first + plan.stretch_states
    assert plan.observed_times[-1] == plan.current_times[-1]


def test_cycles_by_blankets_of_six():
    found = [(c.first, c.given, c.now, c.before) for c in job(3).plan]
    assert found == [(0, 0, 2, 1), (1, 2, 3, 2), (2, 2, 4, 3)]
    lagged = [(c.first, c.given, c.now, c.before) for c in job(3, lag=3).plan]
    assert lagged == [(0, 0, 5, 4), (1, 2, 6, 5), (2, 2, 7, 6)]
    slow = [(c.first, c.given, c.now, c.before) for c in job(3, every=2).plan]
    assert slow == [(0, 0, 2, 1), (1, 2, 4, 2), (3, 2, 6, 4)]


def piece(first, count, name):
    return Piece(first, count, Artifact(name, {"key": name}))


def test_the_last_word_on_a_state_is_that_of_the_last_cycle_that_drew_it():
    pieces = [piece(0, 6, "a"), piece(3, 4, "b"), piece(4, 4, "c")]
    found = latest(pieces, range(1, 8))
    assert [(p.first, p.count, p.skip, p.artifact.url) for p in found] == [
        (1, 2, 1, "a"), (3, 1, 0, "b"), (4, 4, 0, "c"),
    ]  # fmt: skip
    inner = latest(pieces, range(4, 6))
    assert [(p.first, p.count, p.skip, p.artifact.url) for p in inner] == [(4, 2, 0, "c")]


def test_methods_of_one_blanket_refuse_long_stretches():
    assert job(lag=3, drawing=FakeDrawing("latent-4dvar")).stretch_states == 6
    with pytest.raises(InputError, match=r"latent-4dvar draws 6 states at once.* lag of 4 take 7"):
        _ = job(lag=4, drawing=FakeDrawing("latent-4dvar")).stretch_states
    assert job(lag=4).stretch_states == 7
