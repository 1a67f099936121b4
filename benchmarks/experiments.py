"""Experiments from observations: each draws, scores, and gives the tables of the results page."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import pandas as pd
from scipy import stats

from appa_core.observations.table import ObservationTable
from appa_core.steps.analysis import AnalysisJob
from benchmarks.observed import Analysis, Laboratory, read_of_truth
from benchmarks.observed_forecasts import forecast_scores
from benchmarks.observed_scores import Scores, Verification
from benchmarks.skill import HEADLINE
from benchmarks.tables import bounded, ratio

HOURS = 72
SPARSE = "simulated:stations=0.01,orbiters=1"
DENSE = "simulated:stations=0.1,orbiters=3,radiosondes=0.01"
INDEPENDENT = "simulated:stations=0.1,seed=77"
#: How analyses are drawn.
OWN = "reanalysis"
LABELS = [label for label, _, _ in HEADLINE]


@dataclass(frozen=True)
class Plan:
    """What to run.

    Args:
        lab: Where.
        dates: Start dates.
        month_days: Length of the long reanalysis.
    """

    lab: Laboratory
    dates: Sequence[str]
    month_days: int = 30


#: Tables by name; what is to be said of them besides is in `attrs`.
Tables = Mapping[str, pd.DataFrame]


def reanalysis(plan: Plan) -> Tables:
    """72 hours from the sparse network, against climatology, prior and optimal interpolation."""
    scores: dict[str, list[Scores]] = {OWN: [], "optimal-interpolation": [], "prior": []}
    verified: list[Verification] = []
    for date in plan.dates:
        independent = plan.lab.network(INDEPENDENT, date, HOURS)
        for method in (OWN, "optimal-interpolation"):
            analysis = plan.lab.analyse(SPARSE, date, HOURS, method)
            scores[method].append(Scores.of(analysis, analysis.posterior))
            if method == OWN:
                scores["prior"].append(Scores.of(analysis, analysis.prior))
                verified.append(Verification.of(analysis, independent))
    return {
        "reanalysis": pd.DataFrame(
            [_compared(scores, f, label) for f, label in enumerate(LABELS)]
        ),
        "reanalysis-stations": _independent(verified),
        "reanalysis-ranks": _ranks(verified),
    }


def _compared(scores: Mapping[str, Sequence[Scores]], f: int, label: str) -> dict[str, object]:
    """A field's errors by method, in pairs by date."""
    own, classical, prior = scores[OWN], scores["optimal-interpolation"], scores["prior"]
    base = [float(np.sqrt(s.climatology[f])) for s in own]
    mine, theirs = _errors(own, f), _errors(classical, f)
    return {
        "field": label,
        "rmse": float(np.sqrt(np.mean([s.squared_error[f] for s in own]))),
        **ratio("to_climatology", mine, base),
        **ratio("interpolation_to_climatology", theirs, base),
        **ratio("to_interpolation", mine, theirs),
        **ratio("crps_to_prior", [s.crps[f] for s in own], [s.crps[f] for s in prior]),
        **_reliability("ssr", own, f),
        **_reliability("interpolation_ssr", classical, f),
    }


def _errors(scores: Sequence[Scores], f: int) -> list[float]:
    """RMSE of a field by date."""
    return [float(np.sqrt(s.squared_error[f])) for s in scores]


def _reliability(name: str, scores: Sequence[Scores], f: int) -> dict[str, float]:
    """Spread-skill ratio pooled over dates, and its smallest and largest of any date."""

    def of(some: Sequence[Scores]) -> float:
        error = np.mean([s.squared_error[f] for s in some])
        return float(np.sqrt(np.mean([s.expected[f] for s in some]) / error))

    each = [of([s]) for s in scores]
    return bounded(name, of(scores), min(each), max(each))


def _independent(verified: Sequence[Verification]) -> pd.DataFrame:
    """Against stations that were never assimilated."""
    rows = []
    for name in sorted(set(verified[0].frame["quantity"])):
        parts = [v.frame[v.frame["quantity"] == name] for v in verified]
        own, prior = ([float(p[c].mean()) for p in parts] for c in ("crps", "crps_prior"))
        rows.append(
            {"quantity": name, "crps": float(np.mean(own)), **ratio("crps_to_prior", own, prior)}
        )
    return pd.DataFrame(rows)


def _ranks(verified: Sequence[Verification]) -> pd.DataFrame:
    """How often members surround the readings of independent stations, rank by rank."""
    groups = {
        ("one for each quantity and time", True): [v.thinned() for v in verified],
        ("all", False): [v.frame["rank"].to_numpy() for v in verified],
    }
    rows = []
    for (readings, independent), ranks in groups.items():
        counts = np.bincount(np.concatenate(ranks), minlength=verified[0].members + 1)
        rows += [
            {"readings": readings, "independent": independent, "rank": n, "count": int(count)}
            for n, count in enumerate(counts)
        ]
    return pd.DataFrame(rows)


def stations(plan: Plan) -> Tables:
    """More stations, smaller errors: RMSE over that of climatology, cell-times without any."""
    rows = []
    for share in (0.0, 0.001, 0.01, 0.1):
        scores = []
        for date in plan.dates:
            empty = None if share else ObservationTable.empty()
            spec = f"simulated:stations={share or 0.01}"
            analysis = plan.lab.analyse(spec, date, HOURS, OWN, empty)
            scores.append(Scores.of(analysis, analysis.posterior))
        row: dict[str, object] = {"stations": f"{100 * share:g} %"}
        for f, label in enumerate(LABELS):
            base = [float(np.sqrt(s.climatology[f])) for s in scores]
            row |= ratio(label, _errors(scores, f), base)
        rows.append(row)
    return {"stations": pd.DataFrame(rows)}


def forecasts(plan: Plan) -> Tables:
    """Forecasts from 24 hours of observations: RMSE over that of those from the true states."""
    rows = []
    for name, spec in (("dense", DENSE), ("sparse", SPARSE)):
        pairs = [forecast_scores(plan.lab, spec, date, 48, OWN) for date in plan.dates]
        for lead in (24, 48):
            row: dict[str, object] = {"network": name, "lead_hours": lead}
            for label in LABELS:
                own, perfect = (
                    [float(p[kind]["rmse"].loc[(label, lead)]) for p in pairs] for kind in (0, 1)
                )
                row |= ratio(label, own, perfect)
            rows.append(row)
    return {"observed-forecasts": pd.DataFrame(rows)}


def nonlinear(plan: Plan) -> Tables:
    """Wind speed alone, and water vapour through the column alone, at 10 % of cells."""
    rows = []
    wanted = {
        "10m_wind_speed": (0.5, "10m_u_component_of_wind"),
        "total_column_water_vapour": (1.0, "specific_humidity_850"),
    }
    for quantity, (error, seen) in wanted.items():
        ratios: dict[str, tuple[list[float], list[float]]] = {}
        for date in plan.dates:
            places = plan.lab.network("simulated:stations=0.1", date, HOURS)
            some = places.frame[places.frame["quantity"] == "2m_temperature"]
            mine = ObservationTable(
                some.assign(quantity=quantity, error_std=error, value=1.0).reset_index(drop=True)
            )
            observed = read_of_truth(plan.lab, mine, date, HOURS)
            analysis = plan.lab.analyse("simulated:stations=0.1", date, HOURS, OWN, observed)
            for name in (seen, "u_component_of_wind_850"):
                both = (analysis.posterior, analysis.prior)
                own, prior = (analysis.crps_of(name, ensemble) for ensemble in both)
                pair = ratios.setdefault(name, ([], []))
                pair[0].append(own)
                pair[1].append(prior)
        rows += [
            {"observed": quantity, "field": name, **ratio("crps_to_prior", *pair)}
            for name, pair in ratios.items()
        ]
    return {"nonlinear": pd.DataFrame(rows)}


def month(plan: Plan) -> Tables:
    """A long reanalysis: cost and memory by length, and increments where stretches meet."""
    rows, between = [], pd.DataFrame()
    for count in (plan.month_days // 3, 2 * plan.month_days // 3, plan.month_days):
        # a process of its own, so that its memory is that of this length
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            seconds, peak, between = pool.submit(_of_length, plan.lab, count).result()
        rows.append({"days": count, "drawing_seconds": seconds, "peak_mib": peak})
    return {"month": pd.DataFrame(rows), "month-seams": between}


def _of_length(lab: Laboratory, days: int) -> tuple[float, float, pd.DataFrame]:
    """Seconds and peak MiB of drawing a reanalysis of some days, and its seams."""
    analysis = lab.analyse(SPARSE, "2023-12-20", 24 * days, OWN)
    seconds = sum(
        float(piece.artifact.manifest["provenance"]["wall_seconds"])
        for batch in analysis.posterior.batches
        for piece in batch.pieces
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return seconds, peak, seams(analysis)


def seams(analysis: Analysis) -> pd.DataFrame:
    """Increments from state to state, over those of the truth, inside stretches and between."""
    fields, truth = analysis.fields(analysis.posterior), analysis.truth
    own = np.diff(fields.astype(np.float64), axis=1) ** 2
    true = np.diff(truth.astype(np.float64), axis=0) ** 2
    area = analysis.product.selection.schema.grid.area_weights[:, None]
    # over the truth's at the same times, for increments have a daily cycle
    size = (own.mean(axis=0) * area).mean(axis=(2, 3)) / (true * area).mean(axis=(2, 3))
    between = np.zeros(len(size), bool)
    between[_seams(analysis.job)] = True
    rows = []
    for f, label in enumerate(LABELS):
        inside, at = (np.sqrt(size[where, f]) for where in (~between, between))
        bounds = stats.ttest_ind(at, inside, equal_var=False).confidence_interval(0.95)
        rows.append(
            {
                "field": label,
                "inside": inside.mean(),
                "at_seams": at.mean(),
                **bounded("difference", at.mean() - inside.mean(), *map(float, bounds)),
            }
        )
    table = pd.DataFrame(rows)
    table.attrs["seams"] = str(between.sum())
    return table


def _seams(job: AnalysisJob) -> list[int]:
    """Increments across the seams of a plan."""
    return [s.keep - 1 for s in job.plan.stretches[:-1] if s.keep < len(job.times)]


EXPERIMENTS: dict[str, Callable[[Plan], Tables]] = {
    "reanalysis": reanalysis,
    "stations": stations,
    "forecasts": forecasts,
    "nonlinear": nonlinear,
    "month": month,
}
