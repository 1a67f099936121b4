"""What experiments from observations are made of: jobs on known states, and their scores.

Everything that is drawn is kept in a store, so that an experiment continues where it stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pandas as pd
import torch

from appa_core.config.requests import ReanalysisRequest, reanalysis_request
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.metrics.members import ensemble_crps
from appa_core.observations.keyed import keys_of, normal
from appa_core.observations.table import ObservationTable
from appa_core.steps.analysis import AnalysisJob, MembersOrder, draw_members
from appa_core.steps.climatology_draws import draw_climatology
from appa_core.steps.drawn import DrawnEnsemble
from appa_core.steps.fields import BLOCK_STATES, Product
from appa_core.steps.models import model_key, verify_model
from appa_core.steps.observed import ObservedJob, ObservedTable, prepare_table, product_of
from appa_core.steps.observing import keep_observations, kept_observations
from appa_core.steps.reported import Reading, reject_unusable, table_operator
from benchmarks.skill import HEADLINE
from tasks.catalog import model_folder, state_source
from tasks.reports import prepare_job, read_reports


@dataclass(frozen=True)
class Laboratory:
    """Where experiments run.

    Args:
        url: Of the artifact store.
        model: Registered weights.
        truth: Catalog entry of the states that are known.
        members: Size of the ensembles.
        seed: Of the ensembles.
    """

    url: str
    model: str = "small"
    truth: str = "sample"
    members: int = 8
    seed: int = 0

    @property
    def store(self) -> ArtifactStore:
        """Where all that is drawn is kept."""
        return ArtifactStore(self.url)

    @property
    def weights(self) -> str:
        """Key of the model."""
        return model_key(verify_model(model_folder(self.model)))

    @property
    def data(self) -> str:
        """Name and fingerprint of the states that are known."""
        source = state_source(self.truth)
        return f"{source.name} {source.fingerprint}"

    def request(self, spec: str, start: str, hours: int, method: str) -> ReanalysisRequest:
        """The request of an analysis."""
        end = pd.Timestamp(start) + pd.Timedelta(hours=hours)
        return reanalysis_request(
            start=start,
            end=f"{end:%Y-%m-%dT%H}",
            observations=spec,
            method=method,
            members=self.members,
            seed=self.seed,
            model=self.model,
            truth=self.truth,
        )

    def job(self, request: ReanalysisRequest) -> ObservedJob:
        """The checked job of a request."""
        return prepare_job("reanalysis", request, "cpu", None)

    def network(self, spec: str, start: str, hours: int) -> ObservationTable:
        """What a network reads of a period, whether it is assimilated or not."""
        job = self.job(self.request(spec, start, hours, "mmps"))
        times = _times(job)
        return kept_observations(self._table(job, times).artifact)

    def _table(self, job: ObservedJob, times: pd.DatetimeIndex) -> ObservedTable:
        return prepare_table(self.store, job, times, partial(read_reports, job=job, times=times))

    def analyse(
        self,
        spec: str,
        start: str,
        hours: int,
        method: str,
        table: ObservationTable | None = None,
    ) -> Analysis:
        """Draw background and analysis of a period.

        Args:
            spec: What is observed.
            start: First state.
            hours: Length.
            method: How posteriors are drawn.
            table: What is observed instead of `spec`; may be empty, which gives the prior.
        """
        job = self.job(self.request(spec, start, hours, method))
        times = _times(job)
        if table is None:
            kept = self._table(job, times)
        else:
            kept = ObservedTable(keep_observations(self.store, table), None, "")
        product = product_of(job, kept)
        analysis = AnalysisJob.of(product.drawing, times, job.request, kept.artifact)
        order = analysis.climatology
        draws: tuple[Artifact, ...] = ()
        if order is not None:
            draws = tuple(draw_climatology(self.store, order, part) for part in order.batches)
        drawn = []
        for is_prior in (True, False):
            orders = [
                MembersOrder(self.store.url, analysis, members, draws, is_prior)
                for members in analysis.batches
            ]
            drawn.append(DrawnEnsemble(times, tuple(draw_members(o) for o in orders)))
        sys.stderr.write(f"{start} {method} {spec}: drawn\n")
        return Analysis(product, analysis, *drawn)


def _times(job: ObservedJob) -> pd.DatetimeIndex:
    assert isinstance(job.request, ReanalysisRequest)
    return job.request.times(job.preset.state.step_hours)


@dataclass(frozen=True)
class Analysis:
    """A drawn analysis, and the prior over the same period.

    Args:
        product: How fields are made of what was drawn, and the truth.
        job: The analysis.
        prior: Members without observations.
        posterior: Members with them.
    """

    product: Product
    job: AnalysisJob
    prior: DrawnEnsemble
    posterior: DrawnEnsemble

    @property
    def paired(self) -> bool:
        """Whether members come in pairs of opposite noise."""
        return self.product.drawing.paired

    @cached_property
    def table(self) -> ObservationTable:
        """The observations."""
        return kept_observations(self.product.observations)

    @cached_property
    def truth(self) -> np.ndarray:
        """Known states of the headline fields, (T, F, H, W)."""
        assert self.product.truth is not None
        schema = self.product.selection.schema
        states = schema.stack(self.product.truth.open().read(self.job.times))
        return states[:, headline(schema.names)]

    @cached_property
    def climatology(self) -> np.ndarray:
        """That of the training years, (T, F, H, W)."""
        base = self.product.drawing.model.normalisation.base.at(self.job.times.values)
        names = self.product.selection.schema.names
        return np.broadcast_to(base[:, headline(names)], self.truth.shape)

    def fields(self, ensemble: DrawnEnsemble) -> np.ndarray:
        """Headline fields of members, (M, T, F, H, W)."""
        picks = headline(self.product.selection.schema.names)
        members: list[list[np.ndarray]] = [[] for _ in range(ensemble.members)]
        for states in ensemble.blocks(BLOCK_STATES):
            times = ensemble.times[states.start : states.stop]
            for m, values in enumerate(ensemble.each(states)):
                members[m].append(self.product.physical(values, times.values)[:, picks])
        return np.stack([np.concatenate(parts) for parts in members])

    def crps_of(self, name: str, ensemble: DrawnEnsemble) -> float:
        """Area-weighted fair CRPS of a channel over all cells and times."""
        assert self.product.truth is not None
        schema = self.product.selection.schema
        channel, area = schema.names.index(name), schema.grid.area_weights[:, None]
        total, count = 0.0, 0
        for states in ensemble.blocks(BLOCK_STATES):
            times = ensemble.times[states.start : states.stop]
            truth = schema.stack(self.product.truth.open().read(times))[:, channel]
            members = [
                self.product.physical(z, times.values)[:, channel] for z in ensemble.each(states)
            ]
            errors = np.stack(members).astype(np.float64) - truth
            flat = errors.reshape(len(errors), -1)
            crps = ensemble_crps(flat, paired=self.paired).reshape(truth.shape)
            total += float((crps * area).mean(axis=(1, 2)).sum())
            count += len(times)
        return total / count

    @cached_property
    def unobserved(self) -> np.ndarray:
        """Area of cell-times near no used observation, (T, H, W), with those near one as 0."""
        grid, times = self.product.selection.schema.grid, self.job.times
        columns = grid.shape[1]
        used = self.table.used.frame
        state = np.rint((used["valid_time"] - times[0]) / (times[1] - times[0])).astype(int)
        row = np.abs(
            used["latitude"].to_numpy()[:, None] - np.asarray(grid.latitudes)[None]
        ).argmin(axis=1)
        column = np.rint(used["longitude"] / 360 * columns).astype(int) % columns
        area = np.tile(grid.area_weights[None, :, None], (len(times), 1, columns))
        area[state, row, column] = 0.0
        return np.asarray(area)


def headline(names: Sequence[str]) -> list[int]:
    """Positions of the headline fields among channels."""
    wanted = [v if level is None else f"{v}_{level}" for _, v, level in HEADLINE]
    return [list(names).index(name) for name in wanted]


def read_of_truth(
    lab: Laboratory, table: ObservationTable, start: str, hours: int
) -> ObservationTable:
    """A table with values as the truth has them, with errors of the size that it declares."""
    job = lab.job(lab.request("simulated:stations=0.01", start, hours, "mmps"))
    times, product = _times(job), product_of(job, ObservedTable(_NOTHING, None, ""))
    model = product.drawing.model
    usable = reject_unusable(table, model, times).used
    assert job.truth is not None
    schema = job.preset.state.build()
    states = schema.stack(job.truth.open().read(times))
    standard = torch.from_numpy(model.normalisation.standardise(states, times.values))
    operator = table_operator(model, usable, times, Reading(of_states=True))
    exact = (operator(standard[None]) * operator.scale)[0].numpy().astype(float)
    frame = usable.frame
    keys = keys_of(
        lab.seed,
        "truth",
        [frame[n].to_numpy() for n in ("latitude", "longitude", "quantity")]
        + [frame["valid_time"].astype("int64").to_numpy(float)],
    )
    values = exact + frame["error_std"].to_numpy() * normal(keys)
    return replace(usable, frame=frame.assign(value=values))


_NOTHING = Artifact("", {"key": ""})
