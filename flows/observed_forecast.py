"""The forecast straight from observations: what `flows.forecast --observations` runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import flow

from appa_core.config.requests import observed_forecast_request
from appa_core.steps.analysis import AnalysisJob
from appa_core.steps.forecast import ForecastJob, prepare_forecast
from appa_core.steps.observed import ObservedJob, product_of
from flows.observing import request_fields
from flows.server import await_server
from tasks import forecasting, reanalysing
from tasks.catalog import model_folder, state_source
from tasks.cluster import ClusterSettings
from tasks.reports import prepare_job


@dataclass(frozen=True)
class ObservedForecast:
    """Where a forecast from observations is.

    Args:
        output: Folder with `forecast.zarr`, `observations.parquet`, `scores.csv`, `report.html`
            and `manifest.json`.
        digest: Hash of the forecast's data.
        counts: Observations by platform and quantity, and what became of them, as text.
    """

    output: Path
    digest: str
    counts: str


def forecast_from_observations(
    start: str,
    observations: str,
    *,
    device: str,
    store: str,
    output: str | None,
    cluster: ClusterSettings | None = None,
    recompute: bool = False,
    **options: Any,
) -> ObservedForecast:
    """Draw the states of the assimilation window, and go on from there.

    Args:
        start: Time of the last observations, ISO 8601, UTC.
        observations: A simulated network, a catalog entry, or files.
        device: Where networks run.
        store: Artifact store.
        output: Folder of the results; ./results/forecast-<start>-<key> if None.
        cluster: Where members are drawn; in this process if None.
        recompute: Make every step again.
        **options: Other fields of `ObservedForecastRequest`.

    Returns:
        Where the results are.

    Raises:
        InputError: Something that was asked for is not possible; nothing has been written.
        IntegrityError: Data or weights are damaged.
    """
    fields = request_fields(options, start=start, observations=observations)
    request = observed_forecast_request(**fields)
    job = prepare_job("forecast", request, device, output)
    times = request.times(job.preset.state.step_hours)
    AnalysisJob.of(job.drawing(), times, request)  # whether it can be drawn
    source, folder = state_source(request.source), model_folder(request.model)
    plan = prepare_forecast(request, source, folder, device, starts_from_draws=True)
    await_server()
    return run_observed_forecast(job, plan, times, store, output, cluster, recompute=recompute)


@flow(name="forecast-from-observations", validate_parameters=False)
def run_observed_forecast(
    job: ObservedJob,
    plan: ForecastJob,
    times: pd.DatetimeIndex,
    store: str,
    output: str | None,
    cluster: ClusterSettings | None = None,
    *,
    recompute: bool,
) -> ObservedForecast:
    """Observe -> draw the window -> draw blankets -> decode -> score -> report -> export."""
    request = job.request
    table = reanalysing.observe(store, job, times, recompute=recompute)
    product = product_of(job, table)
    window = AnalysisJob.of(product.drawing, times, request, table.artifact)
    draws = reanalysing.climatology(store, window.climatology, recompute=recompute)
    drawn = reanalysing.draw_ensembles(store, window, draws, cluster, recompute=recompute)
    compared = reanalysing.measure_departures(store, product, drawn, recompute=recompute)
    start = len(times) - 1
    batches = []
    for members in drawn["analysis"].batches:
        known = reanalysing.keep_start(store, product.drawing, members, start, recompute=recompute)
        batches.append(
            forecasting.sample_members(store, plan, members.members, known, recompute=recompute)
        )
    fields = forecasting.decode(store, plan, batches, recompute=recompute)
    scores = forecasting.score_forecast(store, plan, fields, recompute=recompute)
    report = forecasting.write_report(store, plan, fields, scores, recompute=recompute)
    folder = output or f"results/forecast-{request.time:%Y-%m-%dT%H}-{fields.key[:12]}"
    written = reanalysing.export(product, folder, [fields], [scores, compared, report])
    return ObservedForecast(Path(written), fields.digest, table.counts)
