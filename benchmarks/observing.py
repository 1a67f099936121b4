"""Skill from observations: `python -m benchmarks.observing --output results.md`.

Prints, as Markdown, what the results page quotes, on known states of the test period. Everything
that is drawn is kept in the store: the same command continues where it stopped. `--quick` makes
one date with few members, to see that all works.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy import stats

from appa_core.metrics.intervals import paired_change
from appa_core.observations.table import ObservationTable
from appa_core.steps.analysis import AnalysisJob
from benchmarks.observed import (
    Analysis,
    Laboratory,
    Scores,
    Verification,
    read_of_truth,
)
from benchmarks.observed_forecasts import forecast_scores
from benchmarks.skill import HEADLINE
from flows.cli import store_default

DATES = ("2023-12-18", "2023-12-27", "2024-01-05", "2024-01-14", "2024-01-23", "2024-02-01")
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


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def ratio(a: Sequence[float], b: Sequence[float]) -> str:
    """Mean of a / b over dates and its 95 % interval."""
    change = paired_change(a, b)
    if change.pairs == 1:
        return f"{1 + change.mean:.3f}"
    return f"{1 + change.mean:.3f} ({1 + change.low:.3f} .. {1 + change.high:.3f})"


def reanalysis(plan: Plan) -> str:
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
    own, classical = scores[OWN], scores["optimal-interpolation"]
    rows = []
    for f, label in enumerate(LABELS):
        rmse = {
            n: [float(np.sqrt(s.squared_error[f])) for s in many] for n, many in scores.items()
        }
        base = [float(np.sqrt(s.climatology[f])) for s in own]
        rows.append(
            [
                label,
                f"{np.sqrt(np.mean([s.squared_error[f] for s in own])):.4g}",
                ratio(rmse[OWN], base),
                ratio(rmse["optimal-interpolation"], base),
                ratio(rmse[OWN], rmse["optimal-interpolation"]),
                ratio([s.crps[f] for s in own], [s.crps[f] for s in scores["prior"]]),
                _reliability(own, f),
                _reliability(classical, f),
            ]
        )
    header = ["field", "RMSE", "/ climatology", "OI / climatology", "/ OI", "CRPS / prior"]
    first = table([*header, "spread-skill", "OI spread-skill"], rows)
    return f"{first}\n\n{_independent(verified)}"


def _reliability(scores: Sequence[Scores], f: int) -> str:
    """Spread-skill ratio pooled over dates, and its smallest and largest of any date."""

    def of(some: Sequence[Scores]) -> float:
        error = np.mean([s.squared_error[f] for s in some])
        return float(np.sqrt(np.mean([s.expected[f] for s in some]) / error))

    each = [of([s]) for s in scores]
    return f"{of(scores):.3f} ({min(each):.2f} .. {max(each):.2f})"


def _independent(verified: Sequence[Verification]) -> str:
    """Against stations that were never assimilated."""
    rows = []
    for name in sorted(set(verified[0].frame["quantity"])):
        parts = [v.frame[v.frame["quantity"] == name] for v in verified]
        own, prior = ([float(p[c].mean()) for p in parts] for c in ("crps", "crps_prior"))
        rows.append([name, f"{np.mean(own):.4g}", ratio(own, prior)])
    ranks = np.concatenate([v.thinned() for v in verified])
    counts = np.bincount(ranks, minlength=verified[0].members + 1)
    chi = stats.chisquare(counts)
    everywhere = np.bincount(np.concatenate([v.frame["rank"] for v in verified]))
    shares, all_shares = (
        " ".join(f"{c / some.sum():.3f}" for c in some) for some in (counts, everywhere)
    )
    text = (
        f"Ranks (one station for each quantity and time, {counts.sum()} in all): {shares}; "
        f"chi-square {chi.statistic:.1f} at {len(counts) - 1} degrees of freedom, "
        f"p = {chi.pvalue:.3f}. Of all {everywhere.sum()} readings, which are not independent: "
        f"{all_shares}."
    )
    return table(["quantity", "CRPS", "/ prior"], rows) + "\n\n" + text


def stations(plan: Plan) -> str:
    """More stations, smaller errors."""
    rows = []
    for share in (0.0, 0.001, 0.01, 0.1):
        scores = []
        for date in plan.dates:
            empty = None if share else ObservationTable.empty()
            spec = f"simulated:stations={share or 0.01}"
            analysis = plan.lab.analyse(spec, date, HOURS, OWN, empty)
            scores.append(Scores.of(analysis, analysis.posterior))
        cells = [
            ratio(
                [float(np.sqrt(s.squared_error[f])) for s in scores],
                [float(np.sqrt(s.climatology[f])) for s in scores],
            )
            for f in range(len(LABELS))
        ]
        rows.append([f"{share:.1%}", *cells])
    note = "RMSE of the ensemble mean over that of climatology, cell-times without observation."
    return f"{note}\n\n{table(['stations', *LABELS], rows)}"


def forecasts(plan: Plan) -> str:
    """Forecasts from 24 hours of observations, against those from perfect states."""
    rows = []
    for name, spec in (("dense", DENSE), ("sparse", SPARSE)):
        pairs = [forecast_scores(plan.lab, spec, date, 48, OWN) for date in plan.dates]
        for lead in (24, 48):
            cells = []
            for label in LABELS:
                own, perfect = (
                    [float(p[kind]["rmse"].loc[(label, lead)]) for p in pairs] for kind in (0, 1)
                )
                cells.append(ratio(own, perfect))
            rows.append([name, str(lead), *cells])
    note = "RMSE of the ensemble mean over that of the forecast from the true states."
    return f"{note}\n\n{table(['network', 'lead (h)', *LABELS], rows)}"


def nonlinear(plan: Plan) -> str:
    """Wind speed alone, and water vapour through the column alone."""
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
        rows += [[quantity, name, ratio(*pair)] for name, pair in ratios.items()]
    note = "CRPS over that of the prior; 10 % of cells read the quantity, and nothing else."
    return f"{note}\n\n{table(['observed', 'field', 'CRPS / prior'], rows)}"


def month(plan: Plan) -> str:
    """A long reanalysis: cost and memory by length, and increments where stretches meet."""
    rows, text = [], ""
    for count in (plan.month_days // 3, 2 * plan.month_days // 3, plan.month_days):
        # a process of its own, so that its memory is that of this length
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            seconds, peak, text = pool.submit(_of_length, plan.lab, count).result()
        rows.append([str(count), f"{seconds:.0f}", f"{seconds / count:.1f}", f"{peak:.0f}"])
    cost = table(["days", "seconds of drawing", "a day", "peak memory (MiB)"], rows)
    return f"{cost}\n\n{text}"


def _of_length(lab: Laboratory, days: int) -> tuple[float, float, str]:
    """Seconds and peak MiB of drawing a reanalysis of some days, and its seams."""
    analysis = lab.analyse(SPARSE, "2023-12-20", 24 * days, OWN)
    seconds = sum(
        float(piece.artifact.manifest["provenance"]["wall_seconds"])
        for batch in analysis.posterior.batches
        for piece in batch.pieces
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return seconds, peak, seams(analysis)


def seams(analysis: Analysis) -> str:
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
        test = stats.ttest_ind(at, inside, equal_var=False)
        low, high = test.confidence_interval(0.95)
        rows.append(
            [
                label,
                f"{inside.mean():.3f}",
                f"{at.mean():.3f}",
                f"{at.mean() - inside.mean():+.3f} ({low:+.3f} .. {high:+.3f})",
            ]
        )
    note = f"Size of increments over that of the truth; {between.sum()} seams."
    return f"{note}\n\n{table(['field', 'inside', 'at seams', 'difference (95 %)'], rows)}"


def _seams(job: AnalysisJob) -> list[int]:
    """Increments across the seams of a plan."""
    return [s.keep - 1 for s in job.plan.stretches[:-1] if s.keep < len(job.times)]


EXPERIMENTS: dict[str, Callable[[Plan], str]] = {
    "reanalysis": reanalysis,
    "stations": stations,
    "forecasts": forecasts,
    "nonlinear": nonlinear,
    "month": month,
}


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", nargs="+", choices=EXPERIMENTS, default=[*EXPERIMENTS])
    parser.add_argument("--dates", nargs="+", default=DATES)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--model", default="small")
    parser.add_argument("--source", default="sample")
    parser.add_argument("--store", default=store_default())
    parser.add_argument("--output", type=Path)
    parser.add_argument("--quick", action="store_true", help="one date, few members, three days")
    arguments = parser.parse_args()
    members = 3 if arguments.quick else arguments.members
    lab = Laboratory(arguments.store, arguments.model, arguments.source, members)
    dates = list(arguments.dates)[:1] if arguments.quick else list(arguments.dates)
    plan = Plan(lab, dates, 6 if arguments.quick else 30)
    head = (
        f"{len(dates)} start dates ({', '.join(dates)}), {members} members, model "
        f"{arguments.model}; 95 % intervals by Student's t over dates."
    )
    parts = [head]
    for name in arguments.experiments:
        parts.append(f"## {name}\n\n{EXPERIMENTS[name](plan)}")
        sys.stdout.write(parts[-1] + "\n\n")
        sys.stdout.flush()
    if arguments.output:
        arguments.output.write_text("\n\n".join(parts) + "\n", "utf-8")


if __name__ == "__main__":
    main()
