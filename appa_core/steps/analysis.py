"""Analyses: trajectories over a period, drawn given the observations of that period."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import pandas as pd
from torch import Tensor

from appa_core.blankets import RelayPlan, Stretch
from appa_core.config.methods import InterpolationConfig, ParticlesConfig, VariationalConfig
from appa_core.config.requests import ObservedRequest
from appa_core.errors import InputError
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.observations.table import ObservationTable
from appa_core.steps.climatology_draws import ClimatologyOrder
from appa_core.steps.drawing import Drawing, HeardRows
from appa_core.steps.drawn import DrawnMembers, Piece
from appa_core.steps.observing import kept_observations
from appa_core.steps.stretches import StretchUnit, keep_stretch

#: Members that are drawn together: a unit of work, and what a kill can lose.
MEMBERS_AT_ONCE = 4
#: Noise on the states that a stretch with observations is given. That of the model's preset keeps
#: a forecast's spread up; where observations hold a trajectory it makes steps (docs/adr/0015).
_OBSERVED_DOUBT = 0.0
#: States that optimal interpolation handles at once; it looks at those near each alone.
_INTERPOLATED_STATES = 24


@dataclass(frozen=True)
class Margin:
    """How an analysis joins what is before and after it.

    Args:
        lead: States before the wanted ones that its trajectory begins with.
        given: How many of them are there already.
        overlap: States after the wanted ones that are drawn with them and not kept.
        stream: Stream of noise of its first stretch; the next stretches have the next.
    """

    lead: int = 0
    given: int = 0
    overlap: int = 0
    stream: int = 0


@dataclass(frozen=True)
class AnalysisJob:
    """What is to be drawn, with all that it refers to.

    Args:
        drawing: How.
        times: Valid times of the wanted states.
        members: Size of the ensemble.
        observations: A kept table; None while it is to be made.
        stretch_states: Most states of a stretch; a blanket if None.
        ahead_states: States that a stretch looks ahead; half of what it draws if None.
        margin: How it joins what is before and after.
    """

    drawing: Drawing
    times: pd.DatetimeIndex
    members: int
    observations: Artifact | None
    stretch_states: int | None = None
    ahead_states: int | None = None
    margin: Margin = Margin()

    @classmethod
    def of(
        cls,
        drawing: Drawing,
        times: pd.DatetimeIndex,
        request: ObservedRequest,
        observations: Artifact | None = None,
    ) -> AnalysisJob:
        """The job of a request, with or without its observations; raises as `plan` does."""
        sizes = request.stretch_states, request.ahead_states
        job = cls(drawing, times, request.members, observations, *sizes)
        _ = job.plan
        return job

    @cached_property
    def drawn_times(self) -> pd.DatetimeIndex:
        """Valid times of the trajectory's states: a blanket at least."""
        preset, margin = self.drawing.preset, self.margin
        count = max(margin.lead + len(self.times) + margin.overlap, preset.denoiser.states)
        step = pd.Timedelta(hours=preset.state.step_hours)
        return pd.date_range(self.times[0] - margin.lead * step, periods=count, freq=step)

    @property
    def known_states(self) -> int:
        """States that a stretch is given; none where states do not depend on those before."""
        preset, method = self.drawing.preset, self.drawing.method
        if isinstance(method, InterpolationConfig):
            return 0
        known = preset.sampling.known_states
        if isinstance(method, VariationalConfig) and method.kind == "4dvar":
            return min(known, method.initial_states - 1)
        return known

    @property
    def looks_ahead(self) -> int:
        """States that a stretch looks ahead."""
        if isinstance(self.drawing.method, InterpolationConfig):
            return self.drawing.method.reach_states
        if self.ahead_states is not None:
            return self.ahead_states
        states = self.stretch_states or self.drawing.preset.denoiser.states
        return (states - self.known_states) // 2

    @cached_property
    def plan(self) -> RelayPlan:
        """Stretches.

        Raises:
            InputError: Stretches of these sizes draw nothing, or the method does not draw them.
        """
        preset, method = self.drawing.preset, self.drawing.method
        blanket, known, ahead = preset.denoiser.states, self.known_states, self.looks_ahead
        length, given = len(self.drawn_times), self.margin.given
        if isinstance(method, InterpolationConfig):
            near = method.reach_states if length > _INTERPOLATED_STATES else 0
            return RelayPlan(length, min(_INTERPOLATED_STATES, length), near, near, 1, given)
        states = self.stretch_states or blanket
        if isinstance(method, VariationalConfig | ParticlesConfig) and states != blanket:
            raise InputError(
                f"method {method.kind} draws {blanket} states, a blanket; got {states}"
            )
        try:
            return RelayPlan(length, states, known, ahead, blanket, given)
        except ValueError as error:
            raise InputError(
                f"stretches of {states} states that look {ahead} ahead do not work: expected at "
                f"least a blanket, {blanket} states, and more than {known} given and {ahead} ahead"
            ) from error

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
        return ClimatologyOrder.of(
            d.method, (d.model_folder, d.model_key), self.times[0], d.device
        )


@dataclass(frozen=True)
class MembersOrder:
    """Some members of an analysis, as a unit of work.

    Args:
        store: URL of the artifact store.
        job: The analysis.
        members: Drawn together.
        climatology: Draws of the prior, for methods that need them.
        is_prior: Without observations.
        recompute: Draw again what is there.
        before: Pieces of the states that are given at the start of the trajectory.
    """

    store: str
    job: AnalysisJob
    members: range
    climatology: tuple[Artifact, ...] = ()
    is_prior: bool = False
    recompute: bool = False
    before: tuple[Piece, ...] = ()

    def __str__(self) -> str:
        what = "background" if self.is_prior else "analysis"
        return f"{what} of members {self.members.start}-{self.members.stop - 1}"

    @property
    def stretches(self) -> int:
        """How many there are to draw."""
        return len(self.job.plan.stretches)


def draw_members(
    order: MembersOrder, on_stretch: Callable[[], object] = lambda: None
) -> DrawnMembers:
    """Draw some members, stretch after stretch, each kept by itself.

    Args:
        order: What to draw.
        on_stretch: Called after each stretch.

    Returns:
        Their trajectories from the first given state on; states count from there.
    """
    table, observations = ObservationTable.empty(), order.job.observations
    if observations is not None and not order.is_prior:
        table = kept_observations(observations)
    heard = HeardRows(table)
    pieces = list(order.before)
    for number, stretch in enumerate(order.job.plan.stretches):
        before = DrawnMembers(order.members, tuple(pieces))
        artifact = keep_stretch(
            ArtifactStore(order.store),
            _unit(order, number, stretch, heard, before),
            partial(_given, before, stretch),
            recompute=order.recompute,
        )
        pieces.append(Piece(stretch.drawn.start, len(stretch.drawn), artifact))
        on_stretch()
    return DrawnMembers(order.members, tuple(pieces))


def _given(before: DrawnMembers, stretch: Stretch) -> Tensor:
    return before.read(range(stretch.first, stretch.first + stretch.given))


def _unit(
    order: MembersOrder,
    number: int,
    stretch: Stretch,
    heard: HeardRows,
    before: DrawnMembers,
) -> StretchUnit:
    drawing = order.job.drawing
    times = order.job.drawn_times[stretch.first : stretch.stop]
    rows = heard.of(times, stretch.given, all_rows=drawing.draws_states)
    held = len(rows) > 0 and not drawing.draws_states  # interpolation takes no states as given
    return StretchUnit(
        drawing=drawing,
        times=times,
        rows=rows,
        members=order.members,
        given=stretch.given,
        kept=range(stretch.given, stretch.keep - stretch.first),
        stream=order.job.margin.stream + number,
        doubt=_OBSERVED_DOUBT if held else drawing.preset.sampling.chained_doubt,
        before=tuple(piece.artifact for piece in before.pieces[-1:]),
        climatology=order.climatology,
    )
