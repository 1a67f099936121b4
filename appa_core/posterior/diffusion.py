"""Guided diffusion: noise -> trajectory, by blankets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from appa_core.blankets import FoldPlan
from appa_core.diffusion.noise import NoiseSource
from appa_core.diffusion.samplers import Sampler
from appa_core.diffusion.schedule import Schedule
from appa_core.diffusion.trajectory import TrajectoryDenoiser
from appa_core.errors import InputError
from appa_core.guidance.guided import Guidance
from appa_core.posterior.task import PosteriorTask
from appa_core.posterior.watch import Watch
from appa_core.posterior.windows import (
    Window,
    chain_windows,
    reversed_windows,
    sweep_windows,
    window_task,
)


@dataclass(frozen=True)
class Fold:
    """All blankets side by side, folded at every noise level.

    Args:
        stride: States from one blanket to the next.
        fold: Which blanket a state is taken from.
    """

    stride: int
    fold: Literal["symmetrical", "causal", "average"] = "symmetrical"


@dataclass(frozen=True)
class Chain:
    """Blankets one after the other, each given states that are drawn already.

    p(x) = p(first blanket) prod p(next states | known states before them) is exact for a process
    of Markov order up to `known`, with observations within the blanket that is drawn. What later
    observations say of earlier states comes in by sweeps.

    Args:
        known: States that each blanket is given.
        order: In time, or against it.
    """

    known: int
    order: Literal["forward", "backward"] = "forward"


@dataclass(frozen=True)
class DiffusionPosterior:
    """Guided diffusion of trajectories.

    Args:
        schedule: Noise levels.
        sampler: Integrator.
        steps: Steps of the integrator.
        guidance: Conditioning on observations.
        layout: How blankets make a trajectory.
        sweeps: Rounds of block Gibbs sampling after that: windows drawn again, each given the
            states around it and the observations within it. It leaves the posterior of a Markov
            process as it is and carries information over any number of blankets.
        sweep_known: States given at each side of a window.
        limit: Root mean square at which a mean has diverged.
        inflation: Factor of the noise that a trajectory with observations starts from. A sampler
            without noise on the way carries it over to what it draws: about the posterior's mean,
            which stays, deviations are so much larger. Guidance by few solver iterations tells
            too little of what is left uncertain; this gives it back.
    """

    schedule: Schedule
    sampler: Sampler
    steps: int
    guidance: Guidance
    layout: Fold | Chain
    sweeps: int = 0
    sweep_known: int = 1
    limit: float = 100.0
    inflation: float = 1.0

    @property
    def couples_members(self) -> bool:
        """Members are independent."""
        return False

    def draw(self, task: PosteriorTask) -> Tensor:
        """Trajectories, (B, L, *S)."""
        task.require_blanket()
        if isinstance(self.layout, Fold):
            x = self._draw_folded(task, self.layout)
        else:
            x = self._draw_chained(task, self.layout)
        return self._sweep(task, x)

    def _draw_folded(self, task: PosteriorTask, layout: Fold) -> Tensor:
        k = task.blanket_states
        plan = FoldPlan(task.length, k, min(layout.stride, k), layout.fold)
        denoiser = TrajectoryDenoiser(
            task.denoiser, plan, task.condition, task.blankets_at_once, task.cost
        )
        mean = Watch(
            lambda x_t, sigma: self.guidance(x_t, sigma, denoiser, task.observation),
            task.labels,
            self.limit,
            task.on_evaluation,
            each_step=self.sampler.evaluations(1),
        )
        x = self.sampler.sample(mean, self._inflated(task), self.schedule.steps(self.steps))
        return torch.where(task.condition.mask > 0, task.condition.known, x)

    def _inflated(self, task: PosteriorTask) -> NoiseSource:
        """The noise of a task, inflated in rows that have observations."""
        if self.inflation == 1:
            return task.noise
        observed = (task.observation.count > 0).to(task.condition.known)
        factor = 1 + (self.inflation - 1) * observed

        def noise(draw: int) -> Tensor:
            unit = task.noise(draw)
            return unit * factor.reshape(-1, *[1] * (unit.ndim - 1))

        return noise

    def _draw_chained(self, task: PosteriorTask, layout: Chain) -> Tensor:
        k = task.blanket_states
        if not 0 < layout.known < k:
            raise InputError(f"a chain gives 1 to {k - 1} states to each blanket, not {layout}")
        windows = chain_windows(task.length, k, layout.known)
        if layout.order == "backward":
            windows = reversed_windows(task.length, windows, k)
        x = task.condition.known.clone()
        drawn = torch.zeros(task.length, dtype=torch.bool)
        for window in windows:
            x = self._redraw(task, window, x, drawn, purpose=0)
            drawn[window.first : window.stop] = True
        return x

    def _redraw(
        self, task: PosteriorTask, window: Window, x: Tensor, drawn: Tensor, purpose: int
    ) -> Tensor:
        part = self._draw_folded(
            window_task(task, window, x, drawn, purpose), Fold(task.blanket_states)
        )
        out = x.clone()
        out[:, window.first : window.stop] = part
        return out

    def _sweep(self, task: PosteriorTask, x: Tensor) -> Tensor:
        k = task.blanket_states
        if self.sweeps and not 0 < self.sweep_known <= (k - 1) // 2:
            raise InputError(
                f"sweeps over blankets of {k} states can be given 1 to {(k - 1) // 2} at each "
                f"side, not {self.sweep_known}"
            )
        drawn = torch.ones(task.length, dtype=torch.bool)
        redrawn = 0
        for sweep in range(self.sweeps):
            shift = (k - 2 * self.sweep_known) // 2 * (sweep // 2)
            windows = sweep_windows(task.length, k, self.sweep_known, shift)
            for window in windows if sweep % 2 == 0 else reversed(windows):
                redrawn += 1  # a stream of its own: windows overlap
                x = self._redraw(task, window, x, drawn, purpose=redrawn)
        return x


def without_observations(task: PosteriorTask) -> PosteriorTask:
    """The same task with no observation at all: the prior."""
    observation = task.observation
    used = torch.zeros(1, observation.y.shape[1]).to(observation.y)
    return replace(task, observation=replace(observation, used=used))
