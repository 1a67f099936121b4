"""Methods against posteriors that are known: `python -m benchmarks.posterior`.

`--quick` draws less and takes seconds; `--output docs/posterior.md` also writes the page.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from appa_core.config.build_method import build_method
from appa_core.config.methods import DiffusionConfig, load_method
from appa_core.diffusion import samplers
from appa_core.diffusion.schedule import LogLogitSchedule
from appa_core.guidance.gradients import Dps, Sda
from appa_core.guidance.guided import Guidance
from appa_core.guidance.mmps import Mmps
from appa_core.guidance.repaint import Repaint
from appa_core.posterior.diffusion import Chain, DiffusionPosterior, Fold
from appa_core.posterior.particles import TwistedParticles
from appa_core.posterior.smoother import EnsembleSmoother
from appa_core.posterior.task import Method, draw_posterior
from appa_core.posterior.variational import Variational
from benchmarks import closed_forms
from benchmarks.draws import crps, mass_error, moments, sliced_wasserstein
from benchmarks.mixture import MixtureProblem, Problem, seen_mixture

EXPLANATION = """\
Errors of draws against the closed-form posterior: of the mean, root mean square in posterior
standard deviations (sd); of sds, the largest, relative; of correlations, the largest; W1, the
sliced Wasserstein distance to exact draws in sds; of the probabilities of a mixture's components
(masses), the largest. CRPS is the mean over truths drawn from the posterior, and its ratio to that
of exact draws. `exact draws` shows what a finite number of draws costs. Evaluations are per draw:
of the denoiser in blankets (forward / VJP; no method multiplies with its Jacobian itself), of the
operator in trajectories (forward / VJP / JVP). MiB is the most memory on top of that before,
sampled every few milliseconds. `mmps n` makes at most n products in a solve, `mmps inf` solves to
1e-8, `pigdm` has a scalar covariance; `reference` and `default` are the settings that come with
the project.

Tests (`tests/analytic`) assert of `mmps inf` with 64 steps of DPM-Solver++, with 8 and 64 states
and with correlated errors: mean below 0.02, sd below 0.03, correlation below 0.05; and of 16
particles with 128 steps on the first mixture: W1 below 0.05, masses below 0.02. All other lines
are what they are.
"""
COLUMNS = "method | sampler | steps | mean | sd | correlation | W1 | CRPS | / exact | "
COSTS = "denoiser | operator | CPU seconds | MiB"


def peak_memory(call: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """What a call returns, and its most resident memory above that before, in MiB (on Linux)."""
    path = Path("/proc/self/statm")
    done, seen = threading.Event(), []

    def watch() -> None:
        while path.exists():
            seen.append(int(path.read_text("ascii").split()[1]))
            if done.wait(0.004):
                break

    thread = threading.Thread(target=watch)
    if sys.platform == "linux":  # give back what earlier calls freed
        ctypes.CDLL(None).malloc_trim(0)
    thread.start()
    try:
        x = call()
    finally:
        done.set()
        thread.join()
    pages = max(seen) - seen[0] if seen else 0
    return x, pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True)
class Row:
    """One line: a method on a share of the draws of other rows, where it costs much."""

    method: str
    sampler: str
    steps: int
    draw: Method
    share: float = 1.0


@dataclass(frozen=True)
class Section:
    """One problem, by blankets of some states, and what is tried on it."""

    title: str
    problem: Problem
    rows: list[Row]
    blanket: int | None = None


CONVERGED = Mmps("gmres", iterations=32, tolerance=1e-8)
# another guidance or sampler is compared by a line here
GUIDANCE: dict[str, Guidance] = {
    "mmps 1": Mmps(iterations=1),
    "mmps 2": Mmps(iterations=2),
    "mmps inf, gmres": CONVERGED,
    "mmps inf, minres": Mmps("minres", iterations=32, tolerance=1e-8),
    "mmps inf, cg": Mmps("cg", iterations=32, tolerance=1e-8),
    "pigdm": Mmps("cg", iterations=32, tolerance=1e-8, covariance="scalar"),
    "sda, gamma 0.3": Sda(gamma=0.3),
    "sda, gamma 1": Sda(gamma=1.0),
    "dps": Dps(zeta=0.1),
    "repaint": Repaint(),
}
DPM = "DPM-Solver++ 2"
SAMPLERS: dict[str, samplers.Sampler] = {
    "DDPM": samplers.DdimSampler(eta=1.0),
    "DDIM": samplers.DdimSampler(),
    "Heun": samplers.HeunSampler(),
    **{f"Adams-Bashforth {order}": samplers.AdamsBashforth(order) for order in (1, 2, 3, 4)},
    DPM: samplers.DpmSolver(2),
    "predictor-corrector": samplers.PredictorCorrector(2, 0.1),
}


def guided(
    method: str,
    guidance: Guidance = CONVERGED,
    sampler: str = DPM,
    steps: int = 32,
    layout: Fold | Chain | None = None,
    *,
    sweeps: int = 0,
) -> Row:
    """A row of guided diffusion, in one blanket unless there is a layout."""
    how = partial(DiffusionPosterior, LogLogitSchedule(), SAMPLERS[sampler], steps, guidance)
    return Row(method, sampler, steps, how(layout or Fold(1 << 20), sweeps=sweeps))


def configured(name: str, sampler: str, label: str | None = None) -> Row:
    """A row of a method that comes with the project, on blankets of 8."""
    method = load_method(name)
    assert isinstance(method, DiffusionConfig)
    return Row(label or name, sampler, method.steps, build_method(method, 8))


def twisted(particles: int, spread: float, share: float) -> Row:
    """A row of twisted particles."""
    method = TwistedParticles(LogLogitSchedule(1e-2, 1e2), 96, particles, spread)
    return Row(f"particles {particles}, spread {spread:g}", "DDPM", 96, method, share)


def sections() -> Iterator[Section]:
    """All tables."""
    settings = [
        configured("reference", "predictor-corrector"),
        configured("mmps", DPM, "default"),
    ]
    smoother = EnsembleSmoother(LogLogitSchedule(), samplers.DpmSolver(2), 32)
    one = [
        *settings,
        *(guided(name, guidance) for name, guidance in GUIDANCE.items()),
        twisted(16, 1.0, 0.25),
        Row("4D-Var", "", 0, Variational("4dvar")),
        Row("3D-Var", "", 0, Variational("3dvar")),
        Row("es-mda", DPM, 32, smoother, 0.5),
        *(guided("mmps inf", CONVERGED, name, n) for name in SAMPLERS for n in (16, 64)),
    ]
    yield Section("AR(1), 8 states", closed_forms.ar1(), one)
    few = [*settings, guided("mmps 2", GUIDANCE["mmps 2"]), guided("mmps inf")]
    few.append(guided("mmps inf", steps=64))
    blocks, shared = closed_forms.ar1_with_block_errors(), closed_forms.ar1_with_shared_errors()
    yield Section("AR(1), 8 states, errors correlated in blocks", blocks, few)
    yield Section("AR(1), 8 states, errors of neighbours' means shared", shared, few)
    rest = [guided(name, GUIDANCE[name]) for name in ("mmps 1", "sda, gamma 0.3")]
    yield Section("AR(1), 64 states in one blanket", closed_forms.ar1(64), few + rest)
    folds = [
        guided(f"mmps inf, {fold.fold} fold 8", layout=fold)
        for fold in (Fold(8), Fold(8, "causal"), Fold(8, "average"))
    ]
    chains = [
        guided(f"mmps inf, {chain.order}, {n} sweeps", steps=16, layout=chain, sweeps=n)
        for chain, n in ((Chain(1, "backward"), 0), *((Chain(1), n) for n in (0, 2, 4)))
    ]
    title = "AR(1), 64 states in blankets of 16, only the last two states observed"
    yield Section(title, closed_forms.ar1_seen_at_its_end(), folds + chains, blanket=16)
    particles = [twisted(n, 4.0, 1.0 if n < 64 else 0.5) for n in (1, 4, 16, 64)]
    title = "Mixture, y = x_0^2 + sin x_1 + e"
    yield Section(title, MixtureProblem(), approximate(smoother) + particles)
    # repainting knows no other operators than those that pick values
    rows = [*approximate(smoother), guided("repaint", Repaint()), twisted(16, 1.0, 1.0)]
    yield Section("Mixture, y = x_0 + e", seen_mixture(), rows)


def approximate(smoother: Method) -> list[Row]:
    """Methods that are biased where the prior is no Gaussian."""
    names = ("pigdm", "sda, gamma 0.3", "sda, gamma 1", "dps")
    return [
        guided("mmps inf"),
        guided("mmps inf", sampler="DDPM", steps=96),
        *(guided(name, GUIDANCE[name]) for name in names),
        *(guided(name, GUIDANCE[name], "DDPM", 96) for name in names),
        Row("4D-Var", "", 0, Variational("4dvar")),
        Row("es-mda", DPM, 32, smoother, 0.25),
    ]


def scores(x: Tensor, problem: Problem) -> str:
    """Cells of a line that say how good draws are."""
    exact, truths = problem.exact(2 * len(x), seed=1), problem.exact(512, seed=2)
    score = crps(x, truths)
    values = [*moments(x, problem)[:3], sliced_wasserstein(x, exact), score]
    values.append(score / crps(exact, truths))
    if isinstance(problem, MixtureProblem):
        values.append(mass_error(x, problem))
    return " | ".join(f"{v:.3f}" for v in values)


def line(section: Section, row: Row, draws: int) -> str:
    """Draw and score."""
    count, problem = int(draws * row.share), section.problem
    task = (
        problem.task(count)
        if isinstance(problem, MixtureProblem)
        else problem.task(count, section.blanket, background=True)
    )
    start = time.process_time()  # other programs' work is not counted
    x, mib = peak_memory(lambda: draw_posterior(task, row.draw))
    seconds, used = time.process_time() - start, task.cost
    kinds = (
        (used.denoiser_forward, used.denoiser_vjp),
        (used.operator_forward, used.operator_vjp, used.operator_jvp),
    )
    costs = " | ".join(
        " / ".join(f"{n / count:.4g}" for n in kind) if any(kind) else "" for kind in kinds
    )
    head = f"{row.method} | {row.sampler} | {row.steps or ''}"
    return f"| {head} | {scores(x, problem)} | {costs} | {seconds:.1f} | {mib:.0f} |\n"


def page(draws: int, date: str, command: str) -> Iterator[str]:
    """The document, piece by piece."""
    yield (
        f"# Methods against known posteriors\n\nMade by `{command}` on {date} with torch "
        f"{version('torch')}, azula {version('azula')}, threads: {torch.get_num_threads()}. "
        f"{draws} draws, fewer of methods that cost much.\n\n{EXPLANATION}"
    )
    everything = list(sections())
    line(everything[0], everything[0].rows[0], 8)  # what is loaded on first use is not counted
    for section in everything:
        masses = "masses | " if isinstance(section.problem, MixtureProblem) else ""
        columns = COLUMNS + masses + COSTS
        yield f"\n## {section.title}\n\n| {columns} |\n|{'---|' * (columns.count('|') + 1)}\n"
        exact = section.problem.exact(draws)
        yield f"| exact draws | | | {scores(exact, section.problem)} | | | | |\n"
        for row in section.rows:
            yield line(section, row, draws)


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="512 draws instead of 8192")
    parser.add_argument("--date", default=f"{datetime.now(UTC):%Y-%m-%d}", help="default: today")
    parser.add_argument("--output", type=Path, default=None)
    arguments = parser.parse_args()
    command = " ".join(["python -m benchmarks.posterior", *sys.argv[1:]])
    parts = []
    for part in page(512 if arguments.quick else 8192, arguments.date, command):
        sys.stdout.write(part)
        parts.append(part)
    if arguments.output:
        arguments.output.write_text("".join(parts), "utf-8")


if __name__ == "__main__":
    main()
