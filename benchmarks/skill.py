"""Forecast skill over many start dates: `python -m benchmarks.skill --starts 12`.

Prints, as Markdown, the scores that the results page quotes: each date's forecast is made (or
taken from the store), statistics are added over dates, and ratios are taken at the end.
`--write-scores` keeps them beside the weights, where `python -m flows.catalog` finds them, and
`--write-tables docs/scores` where `python -m benchmarks.results` makes the page of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from appa_core.config.requests import forecast_request, parse_time
from appa_core.errors import InputError
from appa_core.io.store import ArtifactStore
from appa_core.metrics.spectra import power_spectrum
from appa_core.steps.forecast import Forecaster, ForecastJob, prepare_forecast
from appa_core.steps.model_scores import FieldScore, ModelScores
from appa_core.steps.score import Comparison, ForecastStatistics, compare
from benchmarks.shown import show
from benchmarks.tables import MeasuredTable, changed_options, today
from flows.cli import store_default
from tasks.catalog import model_folder, state_source

HEADLINE = (
    ("Z500", "geopotential", 500),
    ("T850", "temperature", 850),
    ("U850", "u_component_of_wind", 850),
    ("T2m", "2m_temperature", None),
)
WAVENUMBERS = slice(1, 16)


@dataclass(frozen=True)
class Skill:
    """What is known of forecasts from several start dates.

    Args:
        statistics: Errors and spread.
        member_power: Mean power of members (dates, fields, leads, wavenumbers), for `HEADLINE`.
        true_power: That of the truth.
        job: The last forecast.
        dates: Start dates.
    """

    statistics: ForecastStatistics
    member_power: np.ndarray
    true_power: np.ndarray
    job: ForecastJob
    dates: Sequence[pd.Timestamp]

    @cached_property
    def table(self) -> pd.DataFrame:
        """Scores of `HEADLINE` at every lead; a column `field` has their short names."""
        scores = self.statistics.table(self.job)
        parts = []
        for label, variable, level in HEADLINE:
            same = scores["variable"] == variable
            same &= scores["level"].isna() if level is None else scores["level"] == level
            parts.append(scores[same].assign(field=label))
        return pd.concat(parts, ignore_index=True)

    @property
    def shown(self) -> list[dict[Any, Any]]:
        """Rows of the table at 12 h and whole days."""
        leads = self.table["lead_hours"]
        rows: list[dict[Any, Any]] = self.table[(leads % 24 == 0) | (leads == 12)].to_dict(
            "records"
        )
        return rows

    def power_ratio(self, leads_hours: tuple[int, int]) -> dict[str, np.ndarray]:
        """Power of members over that of the truth, mean over dates and leads, by wavenumber."""
        step = self.job.preset.state.step_hours
        leads = slice(leads_hours[0] // step - 1, leads_hours[1] // step)
        members, truth = (
            p[:, :, leads, WAVENUMBERS].mean(axis=(0, 2))
            for p in (self.member_power, self.true_power)
        )
        labels = [label for label, _, _ in HEADLINE]
        return dict(zip(labels, members / truth, strict=True))

    @property
    def scores(self) -> ModelScores:
        """For the list of models."""
        names = [field.name for field in fields(FieldScore)]
        rows = [FieldScore(*(row[n] for n in names)) for row in self.shown]
        job, dates = self.job, self.dates
        return ModelScores(
            model=job.model_key,
            data=f"{job.source.name} {job.source.fingerprint}",
            starts=(f"{dates[0]:%Y-%m-%dT%H}", f"{dates[-1]:%Y-%m-%dT%H}", len(dates)),
            members=job.request.members,
            seed=job.request.seed,
            fields=rows,
        )


def score_table(scores: ModelScores, date: str, command: str) -> MeasuredTable:
    """Scores as a table of the results page.

    Args:
        scores: What was measured.
        date: When, ISO 8601.
        command: By what.
    """
    first, last, count = scores.starts
    about = {
        "command": command, "date": date, "weights": scores.model, "seed": str(scores.seed),
        "data": scores.data, "starts": f"{count} from {first} to {last}",
        "members": str(scores.members),
    }  # fmt: skip
    return MeasuredTable(about, pd.DataFrame([vars(field) for field in scores.fields]))


def power_table(skill: Skill, about: Mapping[str, str]) -> MeasuredTable:
    """Power of members over the truth's, by field, leads and wavenumber."""
    last = min(72, skill.job.request.lead_hours)
    rows = [
        {
            "field": label,
            "leads_hours": f"{first}" if first == end else f"{first}-{end}",
            "wavenumber": n,
            "ratio": value,
        }
        for first, end in ((24, 24), (12, last))
        for label, ratio in skill.power_ratio((first, end)).items()
        for n, value in enumerate(ratio, WAVENUMBERS.start)
    ]
    return MeasuredTable(about, pd.DataFrame(rows))


def start_dates(
    times: pd.DatetimeIndex, count: int, lead_hours: int, between: Sequence[str] | None = None
) -> list[pd.Timestamp]:
    """Start dates spread evenly over a period, each with its whole forecast.

    Args:
        times: Known states.
        count: How many dates.
        lead_hours: Of the forecasts.
        between: Start and end of the period; all that is known by default.

    Raises:
        InputError: The period is too short.
    """
    low, high = [parse_time(t) for t in between] if between else [times[0], times[-1]]
    first = max(low, times[0]) + pd.Timedelta(days=1)
    last = min(high, times[-1]) - pd.Timedelta(hours=lead_hours)
    if last < first:
        raise InputError(
            f"{low:%Y-%m-%d} to {high:%Y-%m-%d} holds no forecast of {lead_hours} h from known "
            f"states, which are those of {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}"
        )
    spacing = (last - first) / max(count - 1, 1)
    return [(first + i * spacing).floor("12h") for i in range(count)]


def forecast(store: ArtifactStore, job: ForecastJob) -> Comparison:
    """A forecast beside the truth."""
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
    return comparison


def _power(job: ForecastJob, comparison: Comparison) -> tuple[np.ndarray, np.ndarray]:
    """Mean power of members, and of the truth, (fields, leads, wavenumbers)."""
    channels = job.selection.channels
    places = [
        next(i for i, c in enumerate(channels) if (c.variable, c.level) == (variable, level))
        for _, variable, level in HEADLINE
    ]
    grid = job.preset.state.build().grid
    members = comparison.ensemble[:, :, places].astype(np.float64)
    truth = comparison.truth[:, places].astype(np.float64)
    return (
        power_spectrum(members, grid).mean(axis=0).swapaxes(0, 1),
        power_spectrum(truth, grid).swapaxes(0, 1),
    )


def evaluate(  # noqa: PLR0913
    store: str,
    *,
    starts: int,
    lead_hours: int,
    members: int,
    seed: int,
    model: str,
    source: str,
    between: Sequence[str] | None = None,
) -> Skill:
    """Statistics of forecasts from several start dates."""
    states, folder = state_source(source), model_folder(model)
    dates = start_dates(states.open().times, starts, lead_hours, between)
    statistics, powers = [], []
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
        comparison = forecast(ArtifactStore(store), job)
        statistics.append(ForecastStatistics.of(comparison, job.selection.latitude_weights))
        powers.append(_power(job, comparison))
    member_power, true_power = (np.stack(p) for p in zip(*powers, strict=True))
    return Skill(reduce(add, statistics), member_power, true_power, job, dates)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=12)
    parser.add_argument("--lead-hours", type=int, default=120)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="small")
    parser.add_argument("--source", default="sample", help="catalog entry, or URL of a cube")
    parser.add_argument("--between", nargs=2, metavar=("START", "END"), help="period of starts")
    parser.add_argument("--store", default=store_default())
    parser.add_argument("--write-scores", action="store_true", help="beside the weights")
    parser.add_argument("--write-tables", type=Path, metavar="DIR", help="such as docs/scores")
    given = parser.parse_args()
    arguments = dict(vars(given))
    write, tables = (arguments.pop(name) for name in ("write_scores", "write_tables"))
    skill = evaluate(arguments.pop("store"), **arguments)
    job, dates = skill.job, skill.dates
    names = ("starts", "lead_hours", "members", "seed", "model", "source", "between")
    command = f"python -m benchmarks.skill{changed_options(parser, given, names)}"
    table = score_table(skill.scores, today(), command)
    power = power_table(skill, table.about)
    sys.stdout.write(
        f"{len(dates)} start dates, {dates[0]:%Y-%m-%d %H} to {dates[-1]:%Y-%m-%d %H} UTC; "
        f"{job.request.members} members, seed {job.request.seed}; model {job.request.model} "
        f"{job.model_key}, data {job.source.name} {job.source.fingerprint}\n\n"
        f"{show('forecasts', table.rows)}\n\n"
        "Power of members over the truth's, by total wavenumber:\n\n"
        f"{show('forecast-power', power.rows)}\n"
    )
    if write:
        skill.scores.write(Path(job.model_folder))
    if tables:
        table.write(tables / "forecasts.csv")
        power.write(tables / "forecast-power.csv")


if __name__ == "__main__":
    main()
