"""What each part of a network contributes: the same jobs with and without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from appa_core.config.requests import Region
from appa_core.errors import InputError
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.metrics.intervals import paired_change
from appa_core.observations.table import ObservationTable
from appa_core.steps.departures import departures_summary, read_departures
from appa_core.steps.observing import WITHHELD, keep_observations, kept_observations
from appa_core.steps.score import SCORES
from appa_core.steps.step import run_step

IMPACT = "impact.csv"
_KINDS = ("platform", "quantity", "region")
#: What scores are of: states of the analysis, states of the forecast from it, withheld reports.
ANALYSIS, FORECAST, REPORTS = "analysis", "forecast", "withheld reports"


@dataclass(frozen=True)
class Denial:
    """Rows that are left out.

    Args:
        name: As it was asked for, such as `platform=orbiter`.
        conditions: Pairs of kind and value, all of which a denied row fulfils.
    """

    name: str
    conditions: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Denial:
        """A denial from `platform=NAME`, `quantity=NAME` or `region=S,N,W,E`, joined by +.

        Raises:
            InputError: The text is none.
        """
        conditions = []
        for part in text.split("+"):
            kind, is_given, value = part.partition("=")
            if kind not in _KINDS or not is_given or not value:
                raise InputError(
                    f"--deny {text!r}: expected {' or '.join(f'{k}=...' for k in _KINDS)}, joined "
                    f"by + where rows must fulfil several; got {part!r}"
                )
            if kind == "region":
                Region.parse(value)
            conditions.append((kind, value))
        return cls(text, tuple(conditions))

    def applies(self, frame: pd.DataFrame) -> np.ndarray:
        """Which rows are denied, (N,) bool."""
        chosen = np.ones(len(frame), bool)
        for kind, value in self.conditions:
            if kind == "region":
                chosen &= _inside(frame, Region.parse(value))
            else:
                chosen &= (frame[kind] == value).to_numpy(bool)
        return chosen

    def deny(self, table: ObservationTable) -> ObservationTable:
        """The table without them.

        Raises:
            InputError: No used row is denied.
        """
        chosen = self.applies(table.frame)
        if not (chosen & table.is_used).any():
            used = table.used.frame
            raise InputError(
                f"--deny {self.name}: no observation is denied; platforms are "
                f"{', '.join(sorted(set(used['platform'])))}; quantities are "
                f"{', '.join(sorted(set(used['quantity'])))}"
            )
        return table.reject(chosen, f"denied: {self.name}")


def _inside(frame: pd.DataFrame, region: Region) -> np.ndarray:
    width = (region.east - region.west) % 360 or 360.0
    inside = frame["latitude"].between(region.south, region.north)
    inside &= (frame["longitude"] - region.west) % 360 <= width
    return np.asarray(inside, bool)


def denials_of(texts: Sequence[str], table: ObservationTable) -> list[Denial]:
    """The denials of a command line, or of each platform in turn.

    Raises:
        InputError: A text is none, or there is a single platform to deny and no other wish.
    """
    if texts:
        return [Denial.parse(text) for text in texts]
    platforms = sorted(set(table.used.frame["platform"]))
    if len(platforms) < 2:
        raise InputError(
            f"all observations are of platform {', '.join(platforms) or 'none'}: say what to deny "
            "with --deny quantity=... or --deny region=..."
        )
    return [Denial.parse(f"platform={name}") for name in platforms]


def keep_denied(store: ArtifactStore, observations: Artifact, denial: Denial) -> Artifact:
    """Keep a table without what is denied."""
    return keep_observations(store, denial.deny(kept_observations(observations)))


@dataclass(frozen=True)
class Case:
    """Results of one period with one network.

    Args:
        period: Start of the period.
        denied: Name of what was denied; empty for the whole network.
        analysis: Scores of the analysis.
        departures: Of the analysis.
        forecast: Scores of the forecast from it; None if none was made.
    """

    period: str
    denied: str
    analysis: Artifact
    departures: Artifact
    forecast: Artifact | None = None

    @property
    def parents(self) -> dict[str, str]:
        """Keys of all results, by role."""
        parts = {"analysis": self.analysis, "departures": self.departures}
        if self.forecast is not None:
            parts["forecast"] = self.forecast
        return {f"{self.period} {self.denied} {n}": a.key for n, a in parts.items()}


def measure_impact(
    store: ArtifactStore, cases: Sequence[Case], *, recompute: bool = False
) -> Artifact:
    """Write `impact.csv`: how much worse scores become without what is denied.

    Columns: `denied`; `of` (analysis, forecast, withheld reports); `field`, `level`; `lead_hours`
    of forecasts; `score` (rmse or crps); its mean with the whole network, `all`, and without;
    `change`, the mean of without / all - 1 over periods, and its 95 % interval `low`, `high`
    (Student's t over `pairs` of periods; of a single period there is none).
    """
    parents = {k: v for case in cases for k, v in case.parents.items()}
    recipe = Recipe("denial-impact", 1, {}, parents)

    def build(folder: Path) -> Mapping[str, Any]:
        table = impact_table(pd.concat([_scores(case) for case in cases], ignore_index=True))
        table.to_csv(folder / IMPACT, index=False, float_format="%.6g", lineterminator="\n")
        return {"rows": len(table)}

    return run_step(store, recipe, build, recompute=recompute)


def impact_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Changes of scores by what is denied; see `measure_impact`.

    Args:
        scores: Columns period, denied, of, field, level, lead_hours, score, value; one row for
            each, and those of the whole network with an empty `denied`.
    """
    keys = ["of", "field", "level", "lead_hours", "score"]
    whole = scores[scores["denied"] == ""].set_index([*keys, "period"])["value"]
    rows = []
    denied = scores[scores["denied"] != ""]
    for group, part in denied.groupby(["denied", *keys], sort=False, dropna=False):
        index = pd.MultiIndex.from_frame(part[[*keys, "period"]])
        base = whole.reindex(index).to_numpy(float)
        value = part["value"].to_numpy(float)
        paired = np.isfinite(base) & np.isfinite(value) & (base > 0)
        if not paired.any():
            continue
        change = paired_change(value[paired].tolist(), base[paired].tolist())
        rows.append(
            dict(zip(["denied", *keys], group, strict=True))
            | {"all": base[paired].mean(), "without": value[paired].mean()}
            | {"change": change.mean, "low": change.low, "high": change.high}
            | {"pairs": change.pairs}
        )
    columns = ["denied", *keys, "all", "without", "change", "low", "high", "pairs"]
    return pd.DataFrame(rows, columns=columns)


def _scores(case: Case) -> pd.DataFrame:
    """Scores of a case in long form."""
    parts = [_of_states(case.analysis, ANALYSIS), _of_reports(case.departures)]
    if case.forecast is not None:
        parts.append(_of_states(case.forecast, FORECAST))
    table = pd.concat([p for p in parts if len(p)] or parts, ignore_index=True)
    return table.assign(period=case.period, denied=case.denied)


def _of_states(scores: Artifact, of: str) -> pd.DataFrame:
    """RMSE and CRPS by field, over all times of an analysis or by lead of a forecast."""
    with scores.verify().local() as folder:
        table = pd.read_csv(folder / SCORES)
    if "lead_hours" not in table:
        table["lead_hours"] = np.nan
    table["square"] = table["rmse"] ** 2
    groups = table.groupby(["variable", "level", "lead_hours"], dropna=False, sort=False)
    means = groups[["square", "crps"]].mean().reset_index()
    means["rmse"] = means["square"].pow(0.5)
    long = means.melt(["variable", "level", "lead_hours"], ["rmse", "crps"], "score", "value")
    return long.rename(columns={"variable": "field"}).assign(of=of)


def _of_reports(departures: Artifact) -> pd.DataFrame:
    """CRPS and RMS against withheld reports, by quantity."""
    summary = departures_summary(read_departures(departures))
    summary = summary[summary["status"] == WITHHELD]
    weights = summary["rows"]
    summary = summary.assign(rmse=summary["rms"].pow(2) * weights, crps=summary["crps"] * weights)
    sums = summary.groupby("quantity")[["rmse", "crps", "rows"]].sum().reset_index()
    sums["rmse"] = (sums["rmse"] / sums["rows"]).pow(0.5)
    sums["crps"] = sums["crps"] / sums["rows"]
    long = sums.melt(["quantity"], ["rmse", "crps"], "score", "value")
    long = long.rename(columns={"quantity": "field"})
    return long.assign(of=REPORTS, level=np.nan, lead_hours=np.nan)


def read_impact(artifact: Artifact) -> pd.DataFrame:
    """What `measure_impact` wrote."""
    with artifact.verify().local() as folder:
        return pd.read_csv(folder / IMPACT)
