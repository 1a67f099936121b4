"""Twisted particle sampling: exact as particles and steps grow.

Every row carries P particles of its own. They move by ancestral sampling with a mean that is
guided by a twisting function psi(x_t) near p(y | x_t), and are weighted and resampled by

    w = p(x_s | x_t) psi(x_s) / (q(x_s | x_t) psi(x_t)),

which corrects what the guidance gets wrong; at the end psi is the likelihood itself. One particle
of each row is its draw, so that rows are independent and a row's bias falls as 1 / P.

References:
    Wu et al. 2023, Practical and Asymptotically Exact Conditional Sampling in Diffusion Models.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from appa_core.blankets import FoldPlan
from appa_core.diffusion.schedule import Schedule
from appa_core.diffusion.trajectory import TrajectoryDenoiser
from appa_core.errors import InputError, NumericalError
from appa_core.guidance.guided import by_row, remaining_variance
from appa_core.guidance.observation import Observation
from appa_core.posterior.task import PosteriorTask
from appa_core.posterior.watch import Watch


@dataclass(frozen=True)
class TwistedParticles:
    """Twisted sequential Monte Carlo.

    Args:
        schedule: Noise levels.
        steps: Steps of ancestral sampling.
        particles: P of each row.
        spread: gamma of the twist N(y; A x_hat, Sigma_y + gamma sigma^2 / (1 + sigma^2) I): the
            variance of A x for data of unit variance.
        ess: Share of P below which the effective number of particles triggers resampling.
        limit: Root mean square at which a mean has diverged.
    """

    schedule: Schedule
    steps: int = 128
    particles: int = 64
    spread: float = 1.0
    ess: float = 0.5
    limit: float = 100.0

    @property
    def couples_members(self) -> bool:
        """Members are independent."""
        return False

    def draw(self, task: PosteriorTask) -> Tensor:
        """Trajectories, (B, L, *S)."""
        if task.length != task.blanket_states:
            raise InputError(
                f"twisted particles draw one blanket of {task.blanket_states} states, not "
                f"{task.length}; use guided diffusion with sweeps for longer trajectories"
            )
        p = self.particles
        rows = torch.arange(len(task)).repeat_interleave(p)
        plan = FoldPlan(task.length, task.length, task.length)
        condition = task.condition.rows(rows)
        denoiser = TrajectoryDenoiser(
            task.denoiser, plan, condition, task.blankets_at_once, task.cost
        )
        observation = task.observation.rows(rows)
        labels = [task.labels[int(r)] for r in rows]
        sigmas = self.schedule.steps(self.steps).tolist()
        x = sigmas[0] * self._noise(task, 0)
        log_w = x.new_zeros(len(task), p)
        log_psi = torch.zeros_like(log_w)
        for step, (now, following) in enumerate(pairwise(sigmas)):
            level = torch.full((len(x),), now, dtype=x.dtype, device=x.device)
            twist = _Twist(denoiser, observation, self.spread)
            watch = Watch(twist, labels, self.limit, task.on_evaluation, evaluations=step)
            guided = watch(x, level)
            log_w = log_w + twist.log_psi.reshape(log_w.shape) - log_psi
            log_psi = twist.log_psi.reshape(log_w.shape)
            chosen, log_w = self._resampled(task, log_w, step)
            first = torch.arange(len(task), device=x.device)[:, None] * p
            flat = (first + chosen).flatten()
            x, guided, plain = x[flat], guided[flat], twist.mean[flat]
            log_psi = log_psi.gather(1, chosen)
            x, change = self._move(task, x, plain, guided, (now, following), step)
            log_w = log_w + change.reshape(log_w.shape)
        final = observation.residual(observation.predict(x))
        exact = -0.5 * observation.errors.whiten(final).square().sum(-1).reshape(log_w.shape)
        log_w = log_w + exact - log_psi
        _require_weights(task, log_w)
        total = torch.softmax(log_w, dim=1).cumsum(1)
        chosen = torch.searchsorted(total, self._uniform(task, self.steps)).clamp(max=p - 1)
        picked = x[torch.arange(len(task), device=x.device) * p + chosen[:, 0]]
        return torch.where(task.condition.mask > 0, task.condition.known, picked)

    def _noise(self, task: PosteriorTask, draw: int) -> Tensor:
        """(B * P, L, *S)."""
        whole = range(task.length)
        streams = [task.noise.window(whole, purpose=i)(draw) for i in range(self.particles)]
        return torch.stack(streams, dim=1).flatten(0, 1)

    def _move(
        self,
        task: PosteriorTask,
        x: Tensor,
        plain: Tensor,
        guided: Tensor,
        levels: tuple[float, float],
        step: int,
    ) -> tuple[Tensor, Tensor]:
        """One ancestral step from the guided kernel, and ln p / q of it."""
        now, following = levels
        share = (following / now) ** 2
        std = following * (1 - share) ** 0.5
        centre = guided + share * (x - guided)
        moved = centre + std * self._noise(task, step + 1)
        free = 1 - torch.repeat_interleave(task.condition.mask, self.particles, dim=0)
        under_prior = (moved - plain - share * (x - plain)) * free
        under_guide = (moved - centre) * free
        change = under_guide.square().flatten(1).sum(1) - under_prior.square().flatten(1).sum(1)
        return moved, change / (2 * std**2)

    def _resampled(self, task: PosteriorTask, log_w: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Systematic resampling of the rows that need it: choices (B, P) and log weights."""
        w = torch.softmax(log_w, dim=1)
        p = self.particles
        needed = (1 / w.square().sum(1) < self.ess * p)[:, None]
        places = torch.arange(p, device=w.device)
        points = (places + self._uniform(task, step)) / p
        chosen = torch.searchsorted(w.cumsum(1), points).clamp(max=p - 1)
        chosen = torch.where(needed, chosen, places)
        return chosen, torch.where(needed, torch.zeros_like(log_w), log_w)

    def _uniform(self, task: PosteriorTask, step: int) -> Tensor:
        """A number in [0, 1) of every row, (B, 1), from its noise."""
        normal = task.noise.window(range(task.length), purpose=self.particles)(step)
        uniform: Tensor = torch.special.ndtr(normal.flatten(1)[:, :1])
        return uniform.clamp(max=1 - 1e-7)


def _require_weights(task: PosteriorTask, log_w: Tensor) -> None:
    bad = (~torch.isfinite(torch.logsumexp(log_w, dim=1))).nonzero()[:, 0].tolist()
    if bad:
        raise NumericalError(
            f"{task.labels[bad[0]]}: none of the particles' weights is a number after the last "
            f"step ({len(bad)} of {len(log_w)} rows); check the operator near the observations, "
            "and their error variances, or try more particles"
        )


class _Twist:
    """x_hat + sigma^2 d ln psi / dx_t, keeping x_hat and ln psi."""

    def __init__(
        self, denoiser: TrajectoryDenoiser, observation: Observation, spread: float
    ) -> None:
        self._denoiser, self._observation, self._spread = denoiser, observation, spread
        self.mean = self.log_psi = torch.empty(0)

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        if self._observation.empty:
            self.mean = self._denoiser(x_t, sigma)
            self.log_psi = x_t.new_zeros(len(x_t))
            return self.mean
        prior = self._denoiser.linearise(x_t, sigma)
        operator = self._observation.linearise(prior.mean)
        residual = self._observation.residual(operator.value)
        errors = self._observation.errors.variance(residual)
        variance = errors + self._spread * by_row(remaining_variance(sigma), residual)
        self.mean = prior.mean
        self.log_psi = -0.5 * (residual.square() / variance).sum(-1)
        pulled = prior.vjp(operator.vjp(residual / variance))
        return prior.mean + by_row(sigma**2, pulled) * pulled
