"""Stretches that take over from each other make a trajectory of any length."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appa_core.blankets import RelayPlan


@st.composite
def plans(draw):
    shortest = draw(st.integers(1, 8))
    length, stretch = (shortest + draw(st.integers(0, n)) for n in (120, 12))
    known = draw(st.integers(0, stretch - 1))
    return RelayPlan(length, stretch, known, draw(st.integers(0, stretch - 1 - known)), shortest)


@given(plans())
def test_every_state_stays_from_exactly_one_stretch(plan):
    drawn = [state for stretch in plan.stretches for state in stretch.drawn]
    assert drawn == list(range(plan.length))


@given(plans())
def test_a_stretch_is_given_what_stays_and_looks_ahead(plan):
    first, *others = plan.stretches
    assert first.first == first.given == 0
    for before, stretch in zip(plan.stretches, others, strict=False):
        assert stretch.first + stretch.given == before.keep
        assert stretch.given >= min(plan.known_states, before.keep)
        assert before.stop - before.keep == plan.ahead_states
    assert plan.stretches[-1].keep == plan.stretches[-1].stop == plan.length


@given(plans())
def test_stretches_are_of_a_size_that_can_be_drawn(plan):
    for stretch in plan.stretches:
        assert plan.shortest <= stretch.stop - stretch.first <= plan.stretch_states
        assert len(stretch.drawn) > 0


@given(plans(), st.integers(0, 40))
def test_states_that_are_there_already_are_not_drawn(plan, given_states):
    given_states = min(given_states, plan.length - 1)
    rest = replace(plan, given_states=given_states)
    drawn = [state for stretch in rest.stretches for state in stretch.drawn]
    assert drawn == list(range(given_states, plan.length))
    for stretch in rest.stretches:
        assert plan.shortest <= stretch.stop - stretch.first <= plan.stretch_states


def test_a_day_by_blankets_of_six_goes_on_from_the_day_before():
    # two states are given, four are the day's, two are the overlap
    stretches = RelayPlan(8, 6, 2, 2, 6, 2).stretches
    assert [(s.first, s.stop, s.given, s.keep) for s in stretches] == [(0, 6, 2, 4), (2, 8, 2, 8)]


@given(plans(), st.integers(0, 40))
def test_more_states_leave_all_stretches_but_the_last(plan, more):
    longer = RelayPlan(
        plan.length + more,
        plan.stretch_states,
        plan.known_states,
        plan.ahead_states,
        plan.shortest,
    )
    kept = plan.stretches[:-1]
    assert longer.stretches[: len(kept)] == kept


@given(plans())
def test_the_work_grows_with_the_length(plan):
    new = plan.stretch_states - plan.known_states - plan.ahead_states
    assert len(plan.stretches) <= 1 + -(-plan.length // new)


def test_a_week_by_blankets_of_six():
    stretches = RelayPlan(12, 6, 2, 2, 6).stretches
    assert [(s.first, s.stop, s.given, s.keep) for s in stretches] == [
        (0, 6, 0, 4), (2, 8, 2, 6), (4, 10, 2, 8), (6, 12, 2, 12),
    ]  # fmt: skip
    odd = RelayPlan(9, 6, 2, 2, 6).stretches
    assert [(s.first, s.stop, s.given, s.keep) for s in odd] == [
        (0, 6, 0, 4),
        (2, 8, 2, 6),
        (3, 9, 3, 9),
    ]


@pytest.mark.parametrize(
    "sizes", [(5, 6, 2, 2, 6), (9, 6, 3, 3, 6), (9, 5, 1, 1, 6), (9, 6, -1, 1, 6)]
)
def test_plans_that_draw_nothing_are_refused(sizes):
    with pytest.raises(ValueError, match="got RelayPlan"):
        RelayPlan(*sizes)
