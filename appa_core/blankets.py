"""How a forecast is laid out in blankets: pure integer arithmetic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ForecastPlan:
    """States 0 .. known - 1 are given; each blanket of K knows its first and draws the rest.

    Args:
        lead_states: States to forecast after the last given one.
        blanket_states: K.
        known_states: States that each blanket takes from what is already there.
    """

    lead_states: int
    blanket_states: int
    known_states: int

    def __post_init__(self) -> None:
        if not (0 < self.known_states < self.blanket_states and self.lead_states > 0):
            raise ValueError(f"not a forecast: {self}")

    @property
    def drawn_states(self) -> int:
        """States that one blanket draws."""
        return self.blanket_states - self.known_states

    @property
    def blankets(self) -> int:
        """Blankets needed; the last may draw more states than are kept."""
        return -(-self.lead_states // self.drawn_states)

    def first_lead(self, blanket: int) -> int:
        """Lead, in states, of the first state that a blanket draws (1 is one step ahead)."""
        return blanket * self.drawn_states + 1

    def leads(self, blanket: int) -> range:
        """Leads of all states of a blanket; those that are given first, from 1 - known."""
        first = self.first_lead(blanket) - self.known_states
        return range(first, first + self.blanket_states)
