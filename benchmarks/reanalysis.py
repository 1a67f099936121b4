"""Cost of a reanalysis: `python -m benchmarks.reanalysis --output docs/reanalysis_cost.md`.

72 hours from 1 % of cells as stations and one orbiter, on the shipped model and data. Methods run
in one process, date by date in turn, the `reference` setting one member at a time and all others
with their members as one batch. Costs of the networks are counted in evaluations and weighed by
the arithmetic (FLOP) of one evaluation.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

from appa_core.config.build_method import build_method
from appa_core.config.methods import load_method
from appa_core.errors import InputError
from appa_core.io.datasets import StateArchive
from appa_core.metrics.ensemble import EnsembleStatistics
from appa_core.observe.networks import NetworkPlan, simulate_network
from appa_core.posterior.task import draw_posterior
from appa_core.steps.assimilate import (
    DrawSettings,
    ObservedTrajectory,
    model_task,
    observe_states,
    reconstruction_variance,
)
from appa_core.steps.models import Model, load_model
from benchmarks.cost import Cost
from benchmarks.skill import HEADLINE
from tasks.catalog import model_folder, state_source

PAGE = """\
# Cost of a reanalysis

Made by `{command}`.

{setting}

CRPS (fair) and RMSE of the ensemble mean are means over all cells and times, in standard
deviations of the weather, CRPS also over all channels; SSR is the spread-skill ratio. Changes
against `{baseline}`, of CRPS and of the distance of SSR from 1, are paired by date (Student's t).
`denoiser` and `decoder` are the arithmetic of a date, all members, in forward evaluations of a
blanket and of the observed states of a trajectory; the cost ratio weighs them by their FLOP.
`reference` is the published setting, which draws one member at a time; all others draw theirs as
one batch. Methods take turns in going first.

{table}
"""
DATES = ("2023-12-20", "2024-01-01", "2024-01-13", "2024-01-25")
HOURS = 72


@dataclass(frozen=True)
class Run:
    """One method on one date.

    Args:
        denoiser: Arithmetic of the denoiser, in FLOP.
        decoder: Arithmetic of the decoder.
        forward: FLOP of one forward evaluation of each.
        seconds: Wall time of sampling.
        crps: Fair CRPS by channel, averaged over times, in standard deviations, (C,).
        spread: Mean variance by channel.
        squared_error: Mean squared error of the ensemble mean by channel.
    """

    denoiser: float
    decoder: float
    forward: tuple[float, float]
    seconds: float
    crps: np.ndarray
    spread: np.ndarray
    squared_error: np.ndarray


class Experiment:
    """Draws and scores reanalyses of one model.

    Args:
        model: Networks.
        source: Where the truth is read.
        members: Members of an ensemble.
        plan: The network of observations.
    """

    def __init__(self, model: Model, source: str, members: int, plan: NetworkPlan) -> None:
        self._model, self._members, self._plan = model, members, plan
        self._archive = StateArchive([source])
        self._schema = model.preset.state.build()
        self._states = HOURS // self._schema.step_hours
        self._extra = self._lost_by_the_autoencoder()

    def _lost_by_the_autoencoder(self) -> np.ndarray:
        """Variance by channel, (C,): what the model says, else of states of the source."""
        if self._model.stored_reconstruction is not None:
            return self._model.stored_reconstruction.square().cpu().numpy()
        some = pd.DatetimeIndex(self._archive.times)[:: len(self._archive.times) // 40 or 1]
        return reconstruction_variance(self._model, self._standard(some))

    def _standard(self, times: pd.DatetimeIndex) -> torch.Tensor:
        states = self._schema.stack(self._archive.read(times))
        return torch.from_numpy(self._model.normalisation.standardise(states, times.values))

    def run(self, name: str, date: str) -> Run:
        """Draw one ensemble and score it over all cells and times."""
        step = pd.Timedelta(hours=self._schema.step_hours)
        times = pd.date_range(date, periods=self._states, freq=step)
        truth = self._standard(times)
        seed = int(times[0].strftime("%Y%m%d"))
        points = simulate_network(
            self._schema, self._states, NetworkPlan(**{**vars(self._plan), "seed": seed})
        )
        values = observe_states(truth, points, np.random.default_rng(seed))
        settings = DrawSettings(range(self._members))
        observed = ObservedTrajectory(times, points, values)
        task = model_task(self._model, [observed], settings, self._extra)
        method = build_method(load_method(name), task.blanket_states)
        alone = 1 if name == "reference" else None
        start = time.perf_counter()
        drawn = draw_posterior(task, method, rows_at_once=alone)
        seconds = time.perf_counter() - start
        used, each = task.cost, Cost.measure(task)
        states = torch.stack([self._model.decode(member) for member in drawn])
        scores = EnsembleStatistics.of(
            states.numpy(), truth.numpy(), self._schema.grid.area_weights
        )
        return Run(
            denoiser=each.denoiser(used),
            decoder=each.operator(used),
            forward=(each.denoiser_forward, each.operator_forward),
            seconds=seconds,
            crps=scores.crps_fair.mean(0),
            spread=scores.variance.mean(0),
            squared_error=scores.squared_error.mean(0),
        )

    def headline(self) -> list[tuple[str, int]]:
        """Labels and channels of the headline fields."""
        return [(label, self._schema.index(v, level)) for label, v, level in HEADLINE]


def spread_skill(runs: Sequence[Run], members: int) -> float:
    """sqrt((M + 1) / M) spread / error, pooled over dates, averaged over channels."""
    spread = np.mean([r.spread for r in runs], axis=0)
    error = np.mean([r.squared_error for r in runs], axis=0)
    return float(np.mean(np.sqrt((members + 1) / members * spread / error)))


def paired_interval(change: Sequence[float]) -> tuple[float, float, float]:
    """Mean of changes and its 95 % interval (Student's t).

    Raises:
        InputError: There are fewer than two.
    """
    values = np.asarray(change)
    if len(values) < 2:
        raise InputError("an interval needs 2 or more dates; give more with --dates")
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def table(
    runs: dict[str, list[Run]], members: int, headline: list[tuple[str, int]], baseline: str
) -> str:
    """Scores and costs, each method against the baseline."""
    columns = ["method", "CRPS", "change (95 %)", "SSR", "change of its distance from 1 (95 %)"]
    columns += [f"RMSE {label}" for label, _ in headline]
    columns += ["denoiser", "decoder", "cost ratio", "decoder ratio", "seconds", "time ratio"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, results in runs.items():
        cells = [name, *_scores(results, runs[baseline], members)]
        error = np.sqrt(np.mean([r.squared_error for r in results], axis=0))
        cells += [f"{error[channel]:.3f}" for _, channel in headline]
        lines.append(f"| {' | '.join(cells + _costs(results, runs[baseline]))} |")
    return "\n".join(lines)


def _scores(results: list[Run], base: list[Run], members: int) -> list[str]:
    """CRPS, its change, spread-skill ratio, change of its distance from 1."""
    crps = f"{np.mean([r.crps.mean() for r in results]):.4f}"
    ratio = f"{spread_skill(results, members):.3f}"
    if results is base:
        return [crps, "", ratio, ""]
    pairs = list(zip(results, base, strict=True))
    change = paired_interval([a.crps.mean() / b.crps.mean() - 1 for a, b in pairs])
    away = [[abs(spread_skill([run], members) - 1) for run in pair] for pair in pairs]
    nearer = paired_interval([ours - theirs for ours, theirs in away])
    return [
        crps,
        "{:+.1%} ({:+.1%} .. {:+.1%})".format(*change),
        ratio,
        "{:+.3f} ({:+.3f} .. {:+.3f})".format(*nearer),
    ]


def _costs(results: list[Run], base: list[Run]) -> list[str]:
    """Forward equivalents, their ratios, seconds and their ratio."""
    own, theirs = _totals(results), _totals(base)
    forward = results[0].forward
    return [
        f"{own[0] / forward[0]:.0f}",
        f"{own[1] / forward[1]:.0f}",
        f"1/{sum(theirs[:2]) / sum(own[:2]):.1f}",
        f"1/{theirs[1] / own[1]:.1f}",
        f"{own[2]:.0f}",
        f"1/{theirs[2] / own[2]:.1f}",
    ]


def _totals(runs: Sequence[Run]) -> tuple[float, float, float]:
    """Mean arithmetic of the denoiser and of the decoder, and mean seconds."""
    return (
        float(np.mean([r.denoiser for r in runs])),
        float(np.mean([r.decoder for r in runs])),
        float(np.mean([r.seconds for r in runs])),
    )


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dates", nargs="+", default=DATES)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--methods", nargs="+", default=["reference", "mmps"])
    parser.add_argument("--baseline", default=None, help="default: the first method")
    parser.add_argument("--model", default="small")
    parser.add_argument("--source", default="sample")
    parser.add_argument("--output", type=Path, default=None)
    arguments = parser.parse_args()
    model = load_model(model_folder(arguments.model))
    plan = NetworkPlan()
    experiment = Experiment(model, state_source(arguments.source).url, arguments.members, plan)
    runs: dict[str, list[Run]] = {name: [] for name in arguments.methods}
    for i, date in enumerate(arguments.dates):
        turn = i % len(arguments.methods)
        for name in arguments.methods[turn:] + arguments.methods[:turn]:
            runs[name].append(experiment.run(name, date))
            sys.stderr.write(f"{date} {name}: CRPS {runs[name][-1].crps.mean():.4f}\n")
    baseline = arguments.baseline or arguments.methods[0]
    text = PAGE.format(
        baseline=baseline,
        command=f"python -m benchmarks.reanalysis --methods {' '.join(arguments.methods)}",
        setting=f"{HOURS} h, {plan.station_share:.0%} of cells as stations, {plan.orbiters} "
        f"orbiter; {len(arguments.dates)} dates ({', '.join(arguments.dates)}), "
        f"{arguments.members} members; model {arguments.model} {model.key}; "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads.",
        table=table(runs, arguments.members, experiment.headline(), baseline),
    )
    sys.stdout.write(text)
    if arguments.output:
        arguments.output.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
