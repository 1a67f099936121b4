"""Scoring a forecast against the states that came, persistence and climatology."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.metrics.ensemble import EnsembleStatistics, FieldStatistics
from appa_core.steps.forecast import FORECAST, ForecastJob
from appa_core.steps.models import cached_model
from appa_core.steps.step import run_step

SCORES = "scores.csv"
COLUMNS = (
    "variable",
    "level",
    "lead_hours",
    "rmse",
    "crps",
    "spread",
    "ssr",
    "rmse_persistence",
    "rmse_climatology",
)


@dataclass(frozen=True)
class Comparison:
    """A forecast beside what it is measured with, cut to the job's selection.

    Args:
        ensemble: (M, T, C, H, W), for leads whose truth is known.
        truth: (T, C, H, W).
        persistence: (T, C, H, W), the last known state at every lead.
        climatology: (T, C, H, W).
    """

    ensemble: np.ndarray
    truth: np.ndarray
    persistence: np.ndarray
    climatology: np.ndarray


@dataclass(frozen=True)
class ForecastStatistics:
    """Statistics of forecasts and their baselines, which add up over dates."""

    ensemble: EnsembleStatistics
    persistence: FieldStatistics
    climatology: FieldStatistics

    @classmethod
    def of(cls, comparison: Comparison, latitude_weights: np.ndarray) -> Self:
        """Statistics of one forecast."""
        c, w = comparison, latitude_weights
        return cls(
            EnsembleStatistics.of(c.ensemble, c.truth, w),
            FieldStatistics.of(c.persistence, c.truth, w),
            FieldStatistics.of(c.climatology, c.truth, w),
        )

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.ensemble + other.ensemble,
            self.persistence + other.persistence,
            self.climatology + other.climatology,
        )

    def table(self, job: ForecastJob) -> pd.DataFrame:
        """One row per channel and lead, `COLUMNS`, SI units."""
        columns = {
            "rmse": self.ensemble.rmse,
            "crps": self.ensemble.crps,
            "spread": self.ensemble.spread,
            "ssr": self.ensemble.spread_skill_ratio,
            "rmse_persistence": self.persistence.rmse,
            "rmse_climatology": self.climatology.rmse,
        }
        step = job.preset.state.step_hours
        rows = [
            {"variable": channel.variable, "level": channel.level, "lead_hours": (t + 1) * step}
            | {name: float(values[t, c]) for name, values in columns.items()}
            for c, channel in enumerate(job.selection.channels)
            for t in range(self.ensemble.rmse.shape[0])
        ]
        return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"level": "Int64"})


def verified_leads(job: ForecastJob) -> range:
    """Leads, in states, whose truth is in the source, with the start's; from 1."""
    available = set(job.source.open().times)
    if job.request.time not in available:
        return range(1, 1)
    leads = range(1, job.plan.lead_states + 1)
    count = next((i for i, t in enumerate(job.times(leads)) if t not in available), len(leads))
    return range(1, count + 1)


def compare(job: ForecastJob, forecast: Artifact) -> Comparison | None:
    """Forecast, truth and baselines at the leads whose truth is known; None if there are none."""
    leads = verified_leads(job)
    if not leads:
        return None
    schema, selection = job.preset.state.build(), job.selection
    times = job.times(leads)
    states = schema.stack(job.source.open().read(job.times(range(len(leads) + 1))))
    normalisation = cached_model(job.model_folder, job.model_key, job.device).normalisation
    base = np.broadcast_to(normalisation.base.at(times.values), states[1:].shape)
    with forecast.verify().local() as folder:
        ensemble = ensemble_fields(job, folder / FORECAST)[:, : len(leads)]
    truth = selection.of_states(states[1:])
    last = selection.of_states(states[:1])
    return Comparison(
        ensemble, truth, np.broadcast_to(last, truth.shape), selection.of_states(base)
    )


def ensemble_fields(job: ForecastJob, path: Path) -> np.ndarray:
    """A written forecast as (member, lead, channel, latitude, longitude)."""
    dataset = xr.open_zarr(path, chunks=None, consolidated=False)
    fields = []
    for channel in job.selection.channels:
        field = dataset[channel.variable].isel(init_time=0)
        if channel.level is not None:
            field = field.sel(level=channel.level)
        fields.append(field.values)
    return np.stack(fields, axis=2)


def score_forecast(
    store: ArtifactStore, job: ForecastJob, forecast: Artifact, *, recompute: bool = False
) -> Artifact:
    """Write `scores.csv`: one row per variable, level and lead whose truth is known."""
    leads = verified_leads(job)
    times = job.times(range(len(leads) + 1))
    recipe = Recipe(
        "scores",
        1,
        {"verified_leads": len(leads)},
        {"forecast": forecast.key, "states": job.source.identity(times)},
    )

    def build(folder: Path) -> Mapping[str, Any]:
        comparison = compare(job, forecast)
        if comparison is None:
            table = pd.DataFrame(columns=list(COLUMNS))
        else:
            weights = job.selection.latitude_weights
            table = ForecastStatistics.of(comparison, weights).table(job)
        table.to_csv(folder / SCORES, index=False, float_format="%.6g", lineterminator="\n")
        return {"rows": len(table)}

    return run_step(store, recipe, build, recompute=recompute)
