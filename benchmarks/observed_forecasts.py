"""Forecasts from observations beside those from the true states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from appa_core.config.requests import forecast_request
from appa_core.io.store import Artifact
from appa_core.steps.forecast import Forecaster, ForecastJob, prepare_forecast
from appa_core.steps.from_observations import keep_start
from appa_core.steps.score import SCORES, score_forecast
from benchmarks.observed import Laboratory
from benchmarks.skill import HEADLINE
from tasks.catalog import model_folder, state_source

ASSIMILATION_HOURS = 24


def forecast_scores(
    lab: Laboratory, spec: str, date: str, lead_hours: int, method: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of the forecast from observations up to a date, and of that from the true states.

    Observations are assimilated by the named method.

    Returns:
        Tables by (label of the headline field, lead in hours).
    """
    request = forecast_request(
        start=date,
        lead_hours=lead_hours,
        members=lab.members,
        seed=lab.seed,
        model=lab.model,
        source=lab.truth,
    )
    source, folder = state_source(lab.truth), model_folder(lab.model)
    perfect = prepare_forecast(request, source, folder, "cpu")
    begin = pd.Timestamp(date) - pd.Timedelta(hours=ASSIMILATION_HOURS)
    step = perfect.preset.state.step_hours
    analysis = lab.analyse(spec, f"{begin:%Y-%m-%dT%H}", ASSIMILATION_HOURS + step, method)
    observed = replace(perfect, starts_from_draws=True)
    last = len(analysis.job.times) - 1
    starts = [
        (batch.members, keep_start(lab.store, analysis.product.drawing, batch, last))
        for batch in analysis.posterior.batches
    ]
    known = Forecaster(lab.store, perfect).encode_known()
    return (
        _scores(lab, observed, starts),
        _scores(lab, perfect, [(members, known) for members in perfect.batches]),
    )


def _scores(
    lab: Laboratory, job: ForecastJob, starts: list[tuple[range, Artifact]]
) -> pd.DataFrame:
    forecaster = Forecaster(lab.store, job)
    batches = []
    for members, known in starts:
        drawn: list[Artifact] = []
        for blanket in range(job.plan.blankets):
            previous = drawn[-1] if drawn else known
            drawn.append(forecaster.sample_blanket(members, blanket, previous, lambda: None))
        batches.append(drawn)
    scores = score_forecast(lab.store, job, forecaster.decode(batches))
    with scores.verify().local() as folder:
        table = pd.read_csv(Path(folder) / SCORES)
    labels = {(v, level): label for label, v, level in HEADLINE}
    pairs = zip(table["variable"], table["level"], strict=True)
    table["label"] = [labels.get((v, None if pd.isna(x) else int(x)), "") for v, x in pairs]
    return table[table["label"] != ""].set_index(["label", "lead_hours"])
