"""Forecast skill over many start dates: `python -m benchmarks.skill --starts 12`.

Prints, as Markdown, the scores that the results page quotes: each date's forecast is made (or
taken from the store), statistics are added over dates, and ratios are taken at the end.
"""

from __future__ import annotations

import argparse
import sys
from functools import reduce
from operator import add

import pandas as pd
from tqdm import tqdm

from appa_core.config.requests import forecast_request
from appa_core.io.datasets import StateArchive
from appa_core.io.store import ArtifactStore
from appa_core.steps.forecast import Forecaster, ForecastJob, prepare_forecast
from appa_core.steps.score import ForecastStatistics, compare
from flows.cli import store_default
from tasks.catalog import model_folder, state_source

HEADLINE = (
    ("Z500", "geopotential", 500),
    ("T850", "temperature", 850),
    ("U850", "u_component_of_wind", 850),
    ("T2m", "2m_temperature", None),
)


def start_dates(job_source: str, count: int, lead_hours: int) -> list[pd.Timestamp]:
    """Start dates spread evenly over what the source holds, each with its whole forecast."""
    times = StateArchive([job_source]).times
    first = times[0] + pd.Timedelta(days=1)
    last = times[-1] - pd.Timedelta(hours=lead_hours)
    spacing = (last - first) / max(count - 1, 1)
    return [(first + i * spacing).floor("12h") for i in range(count)]


def forecast_statistics(store: ArtifactStore, job: ForecastJob) -> ForecastStatistics:
    """Statistics of one forecast."""
    forecaster = Forecaster(store, job)
    known = forecaster.encode_known()
    batches = []
    for members in job.batches:
        drawn = [known]
        for blanket in range(job.plan.blankets):
            drawn.append(forecaster.sample_blanket(members, blanket, drawn[-1], lambda: None))
        batches.append(drawn[1:])
    comparison = compare(job, forecaster.decode(batches))
    if comparison is None:
        raise SystemExit(f"no truth for {job.request.start}")
    return ForecastStatistics.of(comparison, job.selection.latitude_weights)


def table(statistics: ForecastStatistics, job: ForecastJob) -> str:
    """Scores of the headline fields at chosen leads, as a Markdown table."""
    scores = statistics.table(job)
    lines = [
        "| field | lead (h) | RMSE | / persistence | / climatology | CRPS | spread-skill |",
        "|---|---|---|---|---|---|---|",
    ]
    for label, variable, level in HEADLINE:
        same = scores["variable"] == variable
        same &= scores["level"].isna() if level is None else scores["level"] == level
        for _, row in scores[same].iterrows():
            if row["lead_hours"] % 24 == 0 or row["lead_hours"] == 12:
                lines.append(
                    f"| {label} | {row['lead_hours']} | {row['rmse']:.4g} "
                    f"| {row['rmse'] / row['rmse_persistence']:.3f} "
                    f"| {row['rmse'] / row['rmse_climatology']:.3f} "
                    f"| {row['crps']:.4g} | {row['ssr']:.3f} |"
                )
    return "\n".join(lines)


def evaluate(
    store: str, *, starts: int, lead_hours: int, members: int, seed: int, model: str, source: str
) -> tuple[ForecastStatistics, ForecastJob, list[pd.Timestamp]]:
    """Statistics of forecasts from several start dates, the last job, and the dates."""
    states, folder = state_source(source), model_folder(model)
    dates = start_dates(states.url, starts, lead_hours)
    results = []
    for start in tqdm(dates, desc="start dates"):
        request = forecast_request(
            start=f"{start:%Y-%m-%dT%H}",
            lead_hours=lead_hours,
            members=members,
            seed=seed,
            model=model,
            source=source,
        )
        job = prepare_forecast(request, states, folder, "cpu")
        results.append((forecast_statistics(ArtifactStore(store), job), job))
    total = reduce(add, (statistics for statistics, _ in results))
    return total, results[-1][1], dates


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=12)
    parser.add_argument("--lead-hours", type=int, default=120)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="small")
    parser.add_argument("--source", default="sample")
    parser.add_argument("--store", default=store_default())
    arguments = vars(parser.parse_args())
    total, job, dates = evaluate(arguments.pop("store"), **arguments)
    sys.stdout.write(
        f"{len(dates)} start dates, {dates[0]:%Y-%m-%d %H} to {dates[-1]:%Y-%m-%d %H} UTC; "
        f"{job.request.members} members, seed {job.request.seed}; model {job.request.model} "
        f"{job.model_key}, data {job.source.name} {job.source.fingerprint}\n\n"
        f"{table(total, job)}\n"
    )


if __name__ == "__main__":
    main()
