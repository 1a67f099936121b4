"""Ensemble smoother with multiple data assimilation (ES-MDA) over the initial noise.

The control of a member is the noise from which a deterministic sampler makes its trajectory; its
prior is N(0, I) whatever the trajectories look like. A few Kalman updates with inflated errors
move it towards the observations, from the ensemble's own covariances: nothing is differentiated.

References:
    Emerick & Reynolds 2013, Ensemble smoother with multiple data assimilation.
    Di Federico & Durlofsky 2024, Latent diffusion models for parameterization and data
    assimilation of facies-based geomodels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from appa_core.blankets import FoldPlan
from appa_core.diffusion.noise import NoiseSource
from appa_core.diffusion.samplers import Sampler
from appa_core.diffusion.schedule import Schedule
from appa_core.diffusion.trajectory import TrajectoryDenoiser
from appa_core.errors import InputError
from appa_core.posterior.perturbations import unit_errors
from appa_core.posterior.task import PosteriorTask
from appa_core.posterior.watch import Watch


@dataclass(frozen=True)
class EnsembleSmoother:
    """ES-MDA over the initial noise.

    Its members depend on each other through the ensemble's covariances, so that, unlike all other
    methods, another number of members gives other members.

    Args:
        schedule: Noise levels.
        sampler: A deterministic sampler.
        steps: Its steps.
        assimilations: Updates; each inflates the errors' variance by this number.
        stride: States from one blanket to the next.
        limit: Root mean square at which a mean has diverged.
    """

    schedule: Schedule
    sampler: Sampler
    steps: int = 16
    assimilations: int = 4
    stride: int = 1
    limit: float = 100.0

    @property
    def couples_members(self) -> bool:
        """Members of an ensemble share its covariances."""
        return True

    def draw(self, task: PosteriorTask) -> Tensor:
        """Trajectories, (B, L, *S)."""
        task.require_blanket()
        smallest = int(torch.bincount(task.group)[task.group].min())
        if smallest < 2:
            raise InputError(
                "es-mda estimates covariances from its members; expected 2 or more of each "
                f"ensemble, there is {smallest}"
            )
        noise = task.noise(0)
        x = self._trajectories(task, noise)
        if task.observation.empty:
            return x
        for i in range(self.assimilations):
            with torch.no_grad():
                observed = task.observation.predict(x)
            noise = self._update(task, noise, observed, i)
            x = self._trajectories(task, noise)
        return x

    def _trajectories(self, task: PosteriorTask, noise: Tensor) -> Tensor:
        k = task.blanket_states
        plan = FoldPlan(task.length, k, min(self.stride, k))
        denoiser = TrajectoryDenoiser(
            task.denoiser, plan, task.condition, task.blankets_at_once, task.cost
        )
        each_step = self.sampler.evaluations(1)
        mean = Watch(denoiser, task.labels, self.limit, task.on_evaluation, each_step=each_step)
        fixed: NoiseSource = lambda draw: _only_first(noise, draw)
        x = self.sampler.sample(mean, fixed, self.schedule.steps(self.steps))
        return torch.where(task.condition.mask > 0, task.condition.known, x)

    def _update(self, task: PosteriorTask, noise: Tensor, observed: Tensor, number: int) -> Tensor:
        residual = task.observation.residual(observed)
        shifted = torch.zeros_like(residual)
        errors = unit_errors(task, shifted, purpose=9_100 + number)
        inflation = float(self.assimilations)
        departure = task.observation.errors.whiten(residual) / inflation**0.5 + errors
        white = task.observation.errors.whiten(observed) / inflation**0.5
        if task.observation.used is not None:
            white = white * task.observation.used
        out = noise.clone()
        for number_of_group in sorted(set(task.group.tolist())):
            rows = (task.group == number_of_group).nonzero()[:, 0]
            control = noise[rows].flatten(1)
            gain = _kalman(control, white[rows], departure[rows])
            out[rows] = noise[rows] + gain.reshape(noise[rows].shape)
        return out


def _kalman(control: Tensor, observed: Tensor, departure: Tensor) -> Tensor:
    """C_wd (C_dd + I)^-1 departure from ensemble covariances, in the space of members."""
    members = len(control)
    a = (control - control.mean(0)) / (members - 1) ** 0.5
    h = (observed - observed.mean(0)) / (members - 1) ** 0.5
    inner = torch.eye(members).to(h) + h @ h.mT
    # h^T (h h^T + I)^-1 = (h^T h + I)^-1 h^T
    weights: Tensor = torch.linalg.solve(inner, h @ departure.mT)
    change: Tensor = weights.mT @ a
    return change


def _only_first(noise: Tensor, draw: int) -> Tensor:
    if draw:
        raise InputError("es-mda needs a deterministic sampler; this one draws noise on its way")
    return noise
