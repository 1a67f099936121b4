import pytest
from hypothesis import given
from hypothesis import strategies as st

from appa_core.blankets import ForecastPlan


@st.composite
def plans(draw):
    states = draw(st.integers(2, 30))
    return ForecastPlan(draw(st.integers(1, 300)), states, draw(st.integers(1, states - 1)))


@given(plans())
def test_every_lead_is_drawn_exactly_once(plan):
    drawn = []
    for blanket in range(plan.blankets):
        first = plan.first_lead(blanket)
        drawn += range(first, first + plan.drawn_states)
    assert drawn == list(range(1, len(drawn) + 1))
    assert 0 <= len(drawn) - plan.lead_states < plan.drawn_states


@given(plans())
def test_a_blanket_begins_with_what_is_already_there(plan):
    for blanket in range(plan.blankets):
        leads = plan.leads(blanket)
        assert len(leads) == plan.blanket_states
        assert leads[plan.known_states] == plan.first_lead(blanket)
        assert leads[plan.known_states - 1] <= blanket * plan.drawn_states


def test_impossible_plans_are_refused():
    for arguments in ((0, 6, 2), (5, 6, 6), (5, 6, 0)):
        with pytest.raises(ValueError, match="not a forecast"):
            ForecastPlan(*arguments)
