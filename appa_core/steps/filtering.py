"""Filtering: the current state, cycle after cycle, from past observations alone.

A cycle draws a short stretch that ends beyond the current state: given are the last states of the
members as the cycle before left them, heard are the observations since. With a lag the last few
states are drawn again in every cycle: fixed-lag smoothing. What a cycle expects before it hears
anything, its background, is the forecast from where the cycle before ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import pandas as pd
from torch import Tensor

from appa_core.config.methods import ParticlesConfig, VariationalConfig
from appa_core.config.requests import FilteringRequest
from appa_core.errors import InputError
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.observations.table import ObservationTable
from appa_core.steps.analysis import MEMBERS_AT_ONCE
from appa_core.steps.climatology_draws import ClimatologyOrder
from appa_core.steps.drawing import Drawing, HeardRows
from appa_core.steps.drawn import DrawnEnsemble, DrawnMembers, Piece
from appa_core.steps.observing import kept_observations
from appa_core.steps.stretches import StretchUnit, keep_stretch


@dataclass(frozen=True)
class Cycle:
    """One cycle; states count from the first that any cycle draws.

    Args:
        number: From 0.
        first: First state of its stretch.
        given: Leading states that are given.
        now: The current state.
        before: That of the cycle before; that of the first state but one in the first cycle.
    """

    number: int
    first: int
    given: int
    now: int
    before: int


@dataclass(frozen=True)
class FilterJob:
    """Cycles to make, with all that they refer to.

    Args:
        drawing: How states are drawn.
        start: Time of the first current state.
        cycles: How many.
        every: States from one cycle to the next.
        lag: States before the current one that are drawn again in each cycle.
        members: Size of the ensemble.
        observations: A kept table; None while it is to be made.
    """

    drawing: Drawing
    start: pd.Timestamp
    cycles: int
    every: int
    lag: int
    members: int
    observations: Artifact | None = None

    @classmethod
    def of(cls, drawing: Drawing, request: FilteringRequest, every: int) -> FilterJob:
        """The cycles of a request; raises as `stretch_states` does."""
        job = cls(drawing, request.time, request.cycles, every, request.lag, request.members)
        _ = job.stretch_states
        return job

    def with_observations(self, drawing: Drawing, observations: Artifact) -> FilterJob:
        """The same cycles with their table, and how it is read."""
        return replace(self, drawing=drawing, observations=observations)

    def table(self) -> ObservationTable:
        """The kept observations, used or not.

        Raises:
            InputError: There are none yet.
        """
        if self.observations is None:
            raise InputError("cycles need a kept table of observations")
        return kept_observations(self.observations)

    @property
    def known(self) -> int:
        """States that a cycle is given."""
        return self.drawing.preset.sampling.known_states

    @property
    def spin_up(self) -> int:
        """States that the first cycle draws before the first current one, from nothing."""
        return self.known + self.lag

    @cached_property
    def stretch_states(self) -> int:
        """States of every stretch.

        Raises:
            InputError: The method draws no stretch of that size.
        """
        blanket = self.drawing.preset.denoiser.states
        wanted = max(blanket, self.known + max(self.lag + 1, self.every))
        fixed = isinstance(self.drawing.method, VariationalConfig | ParticlesConfig)
        if fixed and wanted != blanket:
            raise InputError(
                f"method {self.drawing.method.kind} draws {blanket} states at once; cycles of "
                f"{self.every} states with a lag of {self.lag} take {wanted}: lower them"
            )
        return wanted

    @cached_property
    def plan(self) -> tuple[Cycle, ...]:
        """All cycles."""
        cycles = [Cycle(0, 0, 0, self.spin_up, self.spin_up - 1)]
        for number in range(1, self.cycles):
            before = cycles[-1].now
            now = before + self.every
            last_given = min(now - self.lag - 1, before)
            cycles.append(Cycle(number, last_given - self.known + 1, self.known, now, before))
        return tuple(cycles)

    @cached_property
    def times(self) -> pd.DatetimeIndex:
        """Valid times of all states, to beyond the last current one."""
        step = self.drawing.preset.state.step_hours
        first = self.start - self.spin_up * pd.Timedelta(hours=step)
        count = self.plan[-1].now + self.stretch_states
        return pd.date_range(first, periods=count, freq=f"{step}h")

    @property
    def observed_times(self) -> pd.DatetimeIndex:
        """Valid times of the states that observations may lie between."""
        return self.times[: self.plan[-1].now + 1]

    @property
    def current_times(self) -> pd.DatetimeIndex:
        """Valid times of the current states."""
        return self.times[[cycle.now for cycle in self.plan]]

    @property
    def batches(self) -> list[range]:
        """Members that are drawn together: all, where a method couples them."""
        coupled = self.drawing.sampler.couples_members
        size = self.members if coupled else MEMBERS_AT_ONCE
        return [range(m, min(m + size, self.members)) for m in range(0, self.members, size)]

    @property
    def climatology(self) -> ClimatologyOrder | None:
        """The draws of the prior that the method needs."""
        d = self.drawing
        model = d.model_folder, d.model_key
        return ClimatologyOrder.of(d.method, model, self.times[0], d.device)


@dataclass(frozen=True)
class FilterOrder:
    """Some members of all cycles, as a unit of work.

    Args:
        store: URL of the artifact store.
        job: The cycles.
        members: Drawn together.
        climatology: Draws of the prior, for methods that need them.
        recompute: Draw again what is there.
    """

    store: str
    job: FilterJob
    members: range
    climatology: tuple[Artifact, ...] = ()
    recompute: bool = False

    def __str__(self) -> str:
        return f"cycles of members {self.members.start}-{self.members.stop - 1}"


@dataclass(frozen=True)
class FilteredMembers:
    """What cycles left of some members.

    Args:
        members: Which.
        analyses: The stretch of each cycle.
        backgrounds: The stretch that each expected.
    """

    members: range
    analyses: tuple[Piece, ...]
    backgrounds: tuple[Piece, ...]


def filter_members(
    order: FilterOrder, on_cycle: Callable[[], object] = lambda: None
) -> FilteredMembers:
    """Make all cycles of some members, each kept by itself.

    Args:
        order: What to draw.
        on_cycle: Called after each cycle.
    """
    heard = HeardRows(order.job.table())
    analyses: list[Piece] = []
    backgrounds: list[Piece] = []
    for cycle in order.job.plan:
        backgrounds.append(_drawn(order, cycle, heard, analyses, is_background=True))
        analyses.append(_drawn(order, cycle, heard, analyses, is_background=False))
        on_cycle()
    return FilteredMembers(order.members, tuple(analyses), tuple(backgrounds))


def _drawn(
    order: FilterOrder,
    cycle: Cycle,
    heard: HeardRows,
    analyses: Sequence[Piece],
    *,
    is_background: bool,
) -> Piece:
    """The stretch of a cycle with what it hears, or what it expects before."""
    job = order.job
    first, given = cycle.first, cycle.given
    if is_background and analyses:  # from where the cycle before ended
        first, given = cycle.before - job.known + 1, job.known
    times = job.times[first : first + job.stretch_states]
    rows = ObservationTable.empty()
    if not is_background:
        span = job.times[first : cycle.now + 1]
        rows = heard.of(span, given, all_rows=job.drawing.draws_states)
    unit = StretchUnit(
        drawing=job.drawing,
        times=times,
        rows=rows,
        members=order.members,
        given=given,
        kept=range(given, len(times)),
        stream=2 * cycle.number + is_background,
        doubt=job.drawing.preset.sampling.chained_doubt,
        before=tuple(piece.artifact for piece in analyses[-1:]),
        climatology=order.climatology,
    )
    known = partial(_given, order.members, analyses, range(first, first + given))
    artifact = keep_stretch(ArtifactStore(order.store), unit, known, recompute=order.recompute)
    return Piece(first + given, len(unit.kept), artifact)


def _given(members: range, analyses: Sequence[Piece], states: range) -> Tensor:
    """Some states as the last cycle that drew each of them left it."""
    return DrawnMembers(members, latest(analyses, states)).read(states)


def latest(analyses: Sequence[Piece], states: range) -> tuple[Piece, ...]:
    """Pieces of the last cycles that drew some states."""
    found: list[Piece] = []
    stop = states.stop
    for piece in reversed(analyses):
        first = max(piece.first, states.start)
        if first < stop <= piece.first + piece.count:
            found.append(Piece(first, stop - first, piece.artifact, first - piece.first))
            stop = first
    return tuple(reversed(found))


def filtered(job: FilterJob, members: Sequence[FilteredMembers]) -> DrawnEnsemble:
    """The current states, each as its own cycle left it."""
    return DrawnEnsemble(
        job.current_times,
        tuple(
            DrawnMembers(
                m.members,
                tuple(
                    Piece(i, 1, piece.artifact, cycle.now - piece.first)
                    for i, (cycle, piece) in enumerate(zip(job.plan, m.analyses, strict=True))
                ),
            )
            for m in members
        ),
    )


def smoothed(job: FilterJob, members: Sequence[FilteredMembers]) -> DrawnEnsemble:
    """All states up to the last current one, as the last cycle that drew each left it."""
    states = range(job.plan[-1].now + 1)
    return DrawnEnsemble(
        job.observed_times,
        tuple(DrawnMembers(m.members, latest(m.analyses, states)) for m in members),
    )


def of_cycle(
    job: FilterJob, members: Sequence[FilteredMembers], cycle: Cycle, *, is_background: bool
) -> DrawnEnsemble:
    """The states from the last cycle to the current one, as a cycle left or expected them."""
    states = range(cycle.before, cycle.now + 1) if cycle.number else range(cycle.now + 1)
    batches = []
    for m in members:
        pieces = list(m.analyses[: cycle.number])
        pieces.append((m.backgrounds if is_background else m.analyses)[cycle.number])
        moved = [
            Piece(p.first - states.start, p.count, p.artifact, p.skip)
            for p in latest(pieces, states)
        ]
        batches.append(DrawnMembers(m.members, tuple(moved)))
    return DrawnEnsemble(job.times[states.start : states.stop], tuple(batches))
