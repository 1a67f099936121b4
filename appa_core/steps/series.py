"""A reanalysis that grows day by day: what each day starts from, and whether it stands.

A day is drawn given the last states of the day before, looks some states beyond its own end, and
keeps its own states: the relay of docs/adr/0014. Its key hashes all that its states follow from,
the key of the day before included, so that days made one night after the other and days made at
once are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from appa_core.config.series import DAY, SeriesRequest, settings_of
from appa_core.errors import AppaError, InputError
from appa_core.io.day_ledger import DayLedger, DayRecord, all_series
from appa_core.io.forecasts import FieldSelection
from appa_core.io.hashing import content_key
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.observations.table import ObservationTable
from appa_core.steps.analysis import AnalysisJob, Margin
from appa_core.steps.drawing import Drawing
from appa_core.steps.drawn import DrawnEnsemble, Piece, cut
from appa_core.steps.observed import ObservedJob, identity_of_observations
from appa_core.steps.observing import Reader

#: What becomes of days whose day before was made again: made again too, or left.
Late: TypeAlias = Literal["renew", "leave"]
DONE, MISSING, CHANGED, UPSTREAM, DAMAGED = "done", "missing", "changed", "upstream", "damaged"
#: Noise of a day is told from that of the days that overlap it.
_STREAMS, _DAYS = 256, 64


@dataclass(frozen=True)
class Expected:
    """What a day is to be made from.

    Args:
        key: Hash of all that its states follow from.
        inputs: Hash of it without the day before, with the states that it is scored against.
    """

    key: str
    inputs: str


@dataclass(frozen=True)
class Link:
    """What a day starts from: the states that the one before ended with.

    Args:
        key: Of the day before; empty if there is none.
        pieces: Its last states, by batch of members; None: they are yet to be drawn.
        day: The day before.
        before: What that started from.
        hears: Whether it hears observations; a day that failed is crossed without.
    """

    key: str = ""
    pieces: tuple[tuple[Piece, ...], ...] | None = ()
    day: pd.Timestamp | None = None
    before: Link | None = None
    hears: bool = False


@dataclass(frozen=True)
class Series:
    """A series of days.

    Args:
        job: Its checked request.
        request: The same, as what it is.
        store: URL of the artifact store.
        origin: Day that is drawn from nothing; that with which a day's stream begins if None.
    """

    job: ObservedJob
    request: SeriesRequest
    store: str
    origin: pd.Timestamp | None = None

    @cached_property
    def ledger(self) -> DayLedger:
        """Its days."""
        return DayLedger(ArtifactStore(self.store), content_key(self.request.hashed()))

    @property
    def step(self) -> pd.Timedelta:
        """From one state to the next."""
        return pd.Timedelta(hours=self.job.preset.state.step_hours)

    def times(self, day: pd.Timestamp) -> pd.DatetimeIndex:
        """Valid times of a day's states."""
        count = self.request.states_of_day(self.job.preset.state.step_hours)
        return pd.date_range(day, periods=count, freq=self.step)

    def spinning_up(self, day: pd.Timestamp, link: Link) -> Series:
        """The series as the first day of a spin-up sees it, which starts from nothing.

        In the stream before, the same day starts from the states of the day before.
        """
        is_first = not link.key and self._is_chained
        return replace(self, origin=day) if is_first else self

    def starts(self, day: pd.Timestamp) -> bool:
        """Whether a day is drawn from nothing."""
        if self.origin is not None:
            return day == self.origin
        first = self.request.drawn_from(day) if self._is_chained else self.request.first_day
        return day == first

    @property
    def _is_chained(self) -> bool:
        return self._plain(self.request.first_day).known_states > 0

    def _plain(self, day: pd.Timestamp) -> AnalysisJob:
        request, drawing = self.request, self.job.drawing()
        sizes = request.stretch_states, request.ahead_states
        return AnalysisJob(drawing, self.times(day), request.members, None, *sizes)

    def analysis(
        self,
        day: pd.Timestamp,
        drawing: Drawing | None = None,
        observations: Artifact | None = None,
    ) -> AnalysisJob:
        """What is drawn of a day.

        Raises:
            InputError: Stretches of these sizes draw nothing.
        """
        plain, request = self._plain(day), self.request
        overlap = request.overlap_states(self.job.preset.state.step_hours)
        known, near = plain.known_states, plain.looks_ahead
        if self.starts(day):
            lead = given = 0
        elif known:
            lead = given = known
        else:  # states that depend on observations near them alone
            lead, given = near + 1, near
        margin = Margin(
            lead,
            given,
            near if overlap is None else overlap,
            _STREAMS * (day.toordinal() % _DAYS),
        )
        return AnalysisJob(
            drawing or plain.drawing,
            plain.times,
            plain.members,
            observations,
            plain.stretch_states,
            plain.ahead_states,
            margin,
        )

    def window(self, day: pd.Timestamp) -> pd.DatetimeIndex:
        """Valid times of the states that a day's observations lie between."""
        job = self.analysis(day)
        first = max(job.margin.given - 1, 0) if job.known_states else 0
        return job.drawn_times[first : job.margin.lead + len(job.times) + job.margin.overlap]

    def own_rows(self, day: pd.Timestamp, table: ObservationTable) -> ObservationTable:
        """Rows after the last state of the day before, up to the last of the day."""
        times, valid = self.times(day), table.frame["valid_time"]
        after = valid >= times[0] if self.starts(day) else valid > times[0] - self.step
        return table.rows(np.asarray(after & (valid <= times[-1])))

    def of_day(self, day: pd.Timestamp, drawn: DrawnEnsemble) -> DrawnEnsemble:
        """Of what was drawn, the day's states."""
        lead, times = self.analysis(day).margin.lead, self.times(day)
        return drawn.between(range(lead, lead + len(times)), times)

    def compared(self, day: pd.Timestamp, drawn: DrawnEnsemble) -> DrawnEnsemble:
        """Of what was drawn, the states that the day's own rows lie between."""
        if self.starts(day):
            return self.of_day(day, drawn)
        lead, times = self.analysis(day).margin.lead, self.times(day)
        longer = pd.DatetimeIndex([times[0] - self.step, *times])
        return drawn.between(range(lead - 1, lead + len(times)), longer)

    def last_pieces(
        self, day: pd.Timestamp, drawn: DrawnEnsemble
    ) -> tuple[tuple[Piece, ...], ...]:
        """Of what was drawn, the states that the next day is given, by batch."""
        job = self.analysis(day)
        stop = job.margin.lead + len(job.times)
        last = range(max(stop - job.known_states, 0), stop)
        return tuple(cut(b.pieces, last) for b in drawn.batches) if job.known_states else ()

    def identity(self, day: pd.Timestamp, read: Reader) -> str:
        """Hash of a day's observations.

        Raises:
            InputError: There are none.
        """
        return identity_of_observations(self.job, self.window(day), read)

    def expected(self, day: pd.Timestamp, link: Link, observed: str) -> Expected:
        """What a day is to be made from.

        Args:
            day: Which.
            link: What it starts from.
            observed: Of `identity`; empty for one that hears nothing.
        """
        job, request = self.analysis(day), self.request
        config = {
            "day": f"{day:%Y-%m-%d}",
            "members": request.members,
            "margin": [job.margin.lead, job.margin.given, job.margin.overlap],
            "sizes": [job.stretch_states, job.ahead_states],
            "withhold": request.withhold,
            **job.drawing.hashed(),
        }
        parents = {"model": self.job.model_key, "observed": observed}
        recipe = Recipe(
            "reanalysis-day", 1, config, parents | {"previous": link.key}, request.seed
        )
        selection = FieldSelection.of(self.job.preset.state.build(), request).hashed()
        inputs = content_key([config, parents, request.seed, selection, self._known(day)])
        return Expected(recipe.key, inputs)

    def _known(self, day: pd.Timestamp) -> list[str]:
        """Identity of the known states of a day."""
        if self.job.truth is None:
            return []
        times = self.times(day)
        known = times[times.isin(self.job.truth.open().times)]
        if not len(known):
            return []
        return [str(known[0]), str(len(known)), self.job.truth.identity(known)]

    def state_of(self, record: DayRecord | None, expected: Expected, late: Late) -> str:
        """Whether a record stands, or why not."""
        if record is None:
            return MISSING
        if record.inputs != expected.inputs:
            return CHANGED
        if record.key != expected.key and late == "renew":
            return UPSTREAM
        return DONE if self.holds(record) else DAMAGED

    def holds(self, record: DayRecord) -> bool:
        """Whether everything that a record refers to is there."""
        return all(self._get(step, key) is not None for step, key in record.needs)

    def _get(self, step: str, key: str) -> Artifact | None:
        try:
            return ArtifactStore(self.store).get(step, key)
        except AppaError:
            return None

    def link_of(self, record: DayRecord) -> Link:
        """What a committed day leaves to the next."""
        store = ArtifactStore(self.store)
        pieces = tuple(
            tuple(
                Piece(first, count, store.get(step, key), skip)
                for first, count, step, key, skip in batch
            )
            for batch in record.pieces
        )
        return Link(record.key, pieces, pd.Timestamp(record.day))


def recorded(
    pieces: Sequence[Sequence[Piece]],
) -> tuple[tuple[tuple[int, int, str, str, int], ...], ...]:
    """Pieces as a record keeps them."""
    return tuple(
        tuple(
            (p.first, p.count, str(p.artifact.manifest["step"]), p.artifact.key, p.skip)
            for p in batch
        )
        for batch in pieces
    )


def first_day_of(store: str, request: SeriesRequest) -> str:
    """First day of the series that a store holds with these settings; that of the request if none.

    Args:
        store: URL of the artifact store.
        request: Its `start` is the first day that is wanted.

    Raises:
        InputError: The store holds several.
    """
    found = []
    for ledger in all_series(ArtifactStore(store)):
        content = ledger.description()
        if content and settings_of(content["request"]) == settings_of(request):
            found.append(str(content["request"]["start"]))
    begun = sorted(day for day in found if pd.Timestamp(day) <= request.time)
    if len(begun) > 1:
        raise InputError(
            f"{store} holds several series with these settings, from {', '.join(begun)}: name one "
            "with --first-day"
        )
    return begun[0] if begun else f"{request.time:%Y-%m-%d}"


def wanted_days(first: pd.Timestamp, last: pd.Timestamp) -> list[pd.Timestamp]:
    """Days from one to another, which is among them."""
    return list(pd.date_range(first, last, freq=DAY))
