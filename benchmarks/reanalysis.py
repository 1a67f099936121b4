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
from torch.utils.flop_counter import FlopCounterMode

from appa_core.blankets import FoldPlan
from appa_core.config.build_method import build_method
from appa_core.config.methods import load_method
from appa_core.diffusion.trajectory import TrajectoryDenoiser
from appa_core.io.datasets import StateArchive
from appa_core.metrics.ensemble import EnsembleStatistics
from appa_core.observe.networks import NetworkPlan, simulate_network
from appa_core.posterior.task import PosteriorTask, draw_posterior
from appa_core.steps.assimilate import (
    DrawSettings,
    ObservedTrajectory,
    model_task,
    observe_states,
    reconstruction_variance,
)
from appa_core.steps.models import Model, load_model
from benchmarks.skill import HEADLINE
from tasks.catalog import model_folder, state_source

PAGE = """\
# Cost of a reanalysis

Made by `{command}`.

{setting}

CRPS (fair) and RMSE of the ensemble mean are means over all cells and times, in standard
deviations of the weather, CRPS also over all channels; the change of CRPS is paired by date.
TFLOP are a date's, all members; `cost ratio` is that of denoiser and decoder together. `reference`
is the published setting, which draws one member at a time; all others draw theirs as one batch.

{table}
"""
DATES = ("2023-12-20", "2024-01-01", "2024-01-13", "2024-01-25")
HOURS = 72


@dataclass(frozen=True)
class Cost:
    """Arithmetic of one evaluation in FLOP.

    The denoiser's is that of a blanket, the operator's of all observed states of a trajectory.
    """

    denoiser_forward: float
    denoiser_vjp: float
    operator_forward: float
    operator_vjp: float
    operator_jvp: float

    @classmethod
    def measure(cls, task: PosteriorTask) -> Cost:
        """Count one evaluation of each kind."""
        one = task.rows([0])
        k = one.blanket_states
        plan = FoldPlan(one.length, k, k)
        denoiser = TrajectoryDenoiser(one.denoiser, plan, one.condition)
        x = torch.randn(one.condition.known.shape, generator=torch.Generator().manual_seed(0))
        sigma = torch.ones(1)
        forward = _flop(lambda: denoiser(x, sigma)) / len(plan.starts)
        prior = denoiser.linearise(x, sigma)
        vjp = _flop(lambda: prior.vjp(x)) / len(plan.starts)
        at = one.observation.linearise(prior.mean)
        return cls(
            forward,
            vjp,
            _flop(lambda: one.observation.linearise(prior.mean)),
            _flop(lambda: at.vjp(at.value)),
            _flop(lambda: at.jvp(x)),
        )


def _flop(call: object) -> float:
    with FlopCounterMode(display=False) as counter:
        call()  # type: ignore[operator]
    return float(counter.get_total_flops())


@dataclass(frozen=True)
class Run:
    """One method on one date.

    Args:
        denoiser: Arithmetic of the denoiser, in FLOP.
        decoder: Arithmetic of the decoder.
        seconds: Wall time of sampling.
        crps: Fair CRPS by channel, averaged over times, in standard deviations, (C,).
        spread: Mean variance by channel.
        squared_error: Mean squared error of the ensemble mean by channel.
    """

    denoiser: float
    decoder: float
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
        some = pd.DatetimeIndex(self._archive.times)[:: len(self._archive.times) // 40 or 1]
        self._extra = reconstruction_variance(model, self._standard(some))

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
            denoiser=used.denoiser_forward * each.denoiser_forward
            + used.denoiser_vjp * each.denoiser_vjp,
            decoder=used.operator_forward * each.operator_forward
            + used.operator_vjp * each.operator_vjp
            + used.operator_jvp * each.operator_jvp,
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


def paired_interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Mean of a / b - 1 over pairs and its 95 % interval (Student's t)."""
    change = np.asarray(a) / np.asarray(b) - 1
    half = stats.t.ppf(0.975, len(change) - 1) * change.std(ddof=1) / np.sqrt(len(change))
    return float(change.mean()), float(change.mean() - half), float(change.mean() + half)


def table(
    runs: dict[str, list[Run]], members: int, headline: list[tuple[str, int]], baseline: str
) -> str:
    """Scores and costs, each method against the baseline."""
    columns = ["method", "CRPS", f"CRPS / {baseline} - 1 (95 %)", "spread-skill"]
    columns += [f"RMSE {label}" for label, _ in headline]
    columns += ["denoiser TFLOP", "decoder TFLOP", "cost ratio", "decoder ratio"]
    columns += ["seconds", "time ratio"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    base = runs[baseline]
    for name, results in runs.items():
        change = paired_interval([r.crps.mean() for r in results], [r.crps.mean() for r in base])
        cells = [
            name,
            f"{np.mean([r.crps.mean() for r in results]):.4f}",
            "{:+.1%} ({:+.1%} .. {:+.1%})".format(*change) if results is not base else "",
            f"{spread_skill(results, members):.3f}",
        ]
        error = np.sqrt(np.mean([r.squared_error for r in results], axis=0))
        cells += [f"{error[channel]:.3f}" for _, channel in headline]
        own, theirs = (_totals(r) for r in (results, base))
        cells += [f"{own[0] / 1e12:.2f}", f"{own[1] / 1e12:.2f}"]
        cells += [f"1/{sum(theirs[:2]) / sum(own[:2]):.1f}", f"1/{theirs[1] / own[1]:.1f}"]
        cells += [f"{own[2]:.0f}", f"1/{theirs[2] / own[2]:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


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
    for date in arguments.dates:
        for name in arguments.methods:
            runs[name].append(experiment.run(name, date))
            sys.stderr.write(f"{date} {name}: CRPS {runs[name][-1].crps.mean():.4f}\n")
    baseline = arguments.baseline or arguments.methods[0]
    text = PAGE.format(
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
