"""How trajectories are laid out in blankets: pure integer arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal


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


@dataclass(frozen=True)
class FoldPlan:
    """A trajectory of L states as overlapping blankets of K, and who owns which state.

    Blankets start every `stride` states; the last one is moved back so that it ends with the
    trajectory.

    Args:
        length: L, at least K.
        blanket_states: K.
        stride: States from one blanket to the next, 1 to K.
        fold: `symmetrical`: a state belongs to the blanket in which it lies more centrally;
            `causal`: to the first blanket that holds it, so that it sees the most past;
            `average`: to all blankets that hold it, in equal shares.
    """

    length: int
    blanket_states: int
    stride: int
    fold: Literal["symmetrical", "causal", "average"] = "symmetrical"

    def __post_init__(self) -> None:
        if not 0 < self.stride <= self.blanket_states <= self.length:
            raise ValueError(f"expected 0 < stride <= blanket_states <= length, got {self}")

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """First state of every blanket."""
        last = self.length - self.blanket_states
        return (*range(0, last, self.stride), last)

    @cached_property
    def weights(self) -> tuple[tuple[float, ...], ...]:
        """Share of every blanket (rows) in each of its own K states; each state's sum is 1."""
        if self.fold == "average":
            holders = [0] * self.length
            for start in self.starts:
                for state in range(start, start + self.blanket_states):
                    holders[state] += 1
            return tuple(
                tuple(1 / n for n in holders[start : start + self.blanket_states])
                for start in self.starts
            )
        bounds = [0, *(self._boundary(i) for i in range(1, len(self.starts))), self.length]
        return tuple(
            tuple(
                float(bounds[i] <= start + k < bounds[i + 1]) for k in range(self.blanket_states)
            )
            for i, start in enumerate(self.starts)
        )

    def _boundary(self, blanket: int) -> int:
        """First state that a blanket owns against the one before."""
        start, end = self.starts[blanket], self.starts[blanket - 1] + self.blanket_states
        return end if self.fold == "causal" else (start + end) // 2


@dataclass(frozen=True)
class Stretch:
    """States of a long trajectory that are drawn at once.

    Args:
        first: First state.
        stop: State before which it ends.
        given: Leading states that are given, as the stretch before left them.
        keep: State before which what is drawn stays; the next stretch draws the rest again.
    """

    first: int
    stop: int
    given: int
    keep: int

    @property
    def drawn(self) -> range:
        """States that are drawn and stay."""
        return range(self.first + self.given, self.keep)


@dataclass(frozen=True)
class RelayPlan:
    """A trajectory of any length as stretches that take over from each other.

    A stretch is given the last states that stay of the one before, and reaches some states further
    than it keeps, so that what stays has been drawn in the light of the observations ahead of it.
    A longer trajectory has the same stretches, but for the last.

    Args:
        length: States of the trajectory.
        stretch_states: Most states of a stretch.
        known_states: States that a stretch is given.
        ahead_states: States at its end that are drawn again.
        shortest: Fewest states of a stretch: a blanket.
        given_states: States at the start of the trajectory that are there already.
    """

    length: int
    stretch_states: int
    known_states: int
    ahead_states: int
    shortest: int
    given_states: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.given_states < self.length:
            raise ValueError(f"expected states to draw after those given, got {self}")
        if not 0 < self.shortest <= min(self.length, self.stretch_states):
            raise ValueError(f"expected stretches no shorter than a blanket, got {self}")
        fixed = self.known_states + self.ahead_states
        if min(self.known_states, self.ahead_states) < 0 or fixed >= self.stretch_states:
            raise ValueError(f"a stretch must keep states of its own, got {self}")

    @cached_property
    def stretches(self) -> tuple[Stretch, ...]:
        """In order of time; the states that they draw and keep are those that are not given."""
        found: list[Stretch] = []
        kept = self.given_states
        while kept < self.length:
            first = max(0, kept - self.known_states)
            stop = min(first + self.stretch_states, self.length)
            first = min(first, stop - self.shortest)
            keep = stop if stop == self.length else stop - self.ahead_states
            found.append(Stretch(first, stop, kept - first, keep))
            kept = keep
        return tuple(found)
