"""Tasks of observation denial; they exchange references only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from appa_core.config.denial import DenialRequest
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.steps import denial
from appa_core.steps.analysis import AnalysisJob
from appa_core.steps.denial import IMPACT, Case
from appa_core.steps.drawn import DrawnEnsemble
from appa_core.steps.forecast import ForecastJob, prepare_forecast
from appa_core.steps.observed import ObservedJob, ObservedTable, product_of
from appa_core.steps.observing import kept_observations
from appa_core.steps.publish import described, export_files
from tasks import forecasting, reanalysing
from tasks.cluster import ClusterSettings


@dataclass(frozen=True)
class Network:
    """A table of observations, and what it lacks.

    Args:
        denied: Name of what was denied; empty for the whole network.
        table: The observations.
    """

    denied: str
    table: ObservedTable


@task(cache_policy=NO_CACHE)
def networks(store: str, table: ObservedTable, deny: Sequence[str]) -> list[Network]:
    """The whole network, and without each part that is denied."""
    whole = kept_observations(table.artifact)
    found = [Network("", table)]
    for denied in denial.denials_of(deny, whole):
        kept = denial.keep_denied(ArtifactStore(store), table.artifact, denied)
        found.append(Network(denied.name, replace(table, artifact=kept)))
    return found


def make_case(
    store: str,
    job: ObservedJob,
    request: DenialRequest,
    times: pd.DatetimeIndex,
    network: Network,
    cluster: ClusterSettings | None,
    *,
    recompute: bool,
) -> Case:
    """Analyse a period with a network, forecast from its end, and score both."""
    product = product_of(job, network.table)
    analysis = AnalysisJob.of(product.drawing, times, request, network.table.artifact)
    draws = reanalysing.climatology(store, analysis.climatology, recompute=recompute)
    drawn = reanalysing.draw_ensembles(store, analysis, draws, cluster, recompute=recompute)
    fields = reanalysing.write_fields(store, product, drawn["analysis"], recompute=recompute)
    scores = reanalysing.score(store, product, fields, times, recompute=recompute)
    compared = reanalysing.measure_departures(store, product, drawn, recompute=recompute)
    forecast = None
    if request.lead_hours and job.truth is not None:
        asked = request.forecast_from(times[-1], job.truth.name)
        folder = Path(job.model_folder)
        plan = prepare_forecast(asked, job.truth, folder, job.device, starts_from_draws=True)
        forecast = _forecast(store, plan, job, network, drawn["analysis"], recompute=recompute)
    return Case(f"{times[0]:%Y-%m-%dT%H}", network.denied, scores, compared, forecast)


def _forecast(
    store: str,
    plan: ForecastJob,
    job: ObservedJob,
    network: Network,
    analysis: DrawnEnsemble,
    *,
    recompute: bool,
) -> Artifact:
    """Scores of the forecast from the last states of an analysis."""
    drawing, last = job.drawing(network.table.operator), len(analysis.times) - 1
    batches = []
    for members in analysis.batches:
        known = reanalysing.keep_start(store, drawing, members, last, recompute=recompute)
        batches.append(
            forecasting.sample_members(store, plan, members.members, known, recompute=recompute)
        )
    fields = forecasting.decode(store, plan, batches, recompute=recompute)
    return forecasting.score_forecast(store, plan, fields, recompute=recompute)


@task(cache_policy=NO_CACHE)
def measure_impact(store: str, cases: Sequence[Case], *, recompute: bool) -> Artifact:
    """Compare scores with and without what was denied."""
    return denial.measure_impact(ArtifactStore(store), cases, recompute=recompute)


@task(cache_policy=NO_CACHE)
def export(job: ObservedJob, output: str, impact: Artifact) -> str:
    """Copy the table of changes to a folder for a person."""
    manifest = {
        "request": job.request.hashed(),
        "method": job.method.hashed(),
        "model": {"name": job.request.model, "key": job.model_key},
        "artifacts": described(impact),
    }
    return str(export_files(Path(output), manifest, [(impact, IMPACT)]))
