"""Variational assimilation: 3D-Var, 4D-Var and strong-constraint 4D-Var, as ensembles.

A trajectory is a function of a control w whose prior is N(0, I): through the square root of a
background covariance, and for the strong constraint through the dynamics from its first states.
Each member minimises

    1/2 |w - w_b|^2 + 1/2 |L^-1 (y + L e - A(x(w)))|^2,     w_b, e ~ N(0, I),

by Gauss-Newton steps whose linear systems conjugate gradients solve: randomised maximum
likelihood, which draws from the posterior where x(w) and A are linear and the prior is Gaussian.

References:
    Courtier et al. 1994, A strategy for operational implementation of 4D-Var.
    Fan et al. 2025, LDA: variational assimilation in the latent space of an autoencoder.
    Xiao et al. 2024, FengWu-4DVar.
    Kitanidis 1995, Quasi-linear geostatistical theory for inversing (randomised likelihood).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from appa_core.errors import InputError
from appa_core.guidance.observation import Observation
from appa_core.guidance.solvers import conjugate_gradient
from appa_core.posterior.background import Background
from appa_core.posterior.dynamics import ExpectedStates
from appa_core.posterior.perturbations import unit_controls, unit_errors
from appa_core.posterior.task import PosteriorTask
from appa_core.posterior.watch import Watch

_CONTROL, _ERRORS = 9_001, 9_002


@dataclass(frozen=True)
class Variational:
    """Variational assimilation of each member.

    Args:
        kind: `3dvar`: every state by itself; `4dvar`: the trajectory with its background
            covariance in time; `strong-4dvar`: its first states, the rest from the dynamics.
        outer: Gauss-Newton steps: linearisations of the operator.
        inner: Most iterations of conjugate gradients in each.
        tolerance: Relative residual at which they stop.
        perturb: Draw members; without it all are the mode.
        initial_states: First states that the strong constraint controls.
        limit: Root mean square at which a trajectory has diverged.
    """

    kind: Literal["3dvar", "4dvar", "strong-4dvar"] = "4dvar"
    outer: int = 3
    inner: int = 50
    tolerance: float = 1e-4
    perturb: bool = True
    initial_states: int = 1
    limit: float = 100.0

    @property
    def couples_members(self) -> bool:
        """Members are independent."""
        return False

    def draw(self, task: PosteriorTask) -> Tensor:
        """Trajectories, (B, L, *S)."""
        transform, like = self._transform(task)
        prior_control = unit_controls(task, like, purpose=_CONTROL)
        observation = task.observation
        errors = torch.zeros_like(observation.y.expand(len(task), -1))
        if self.perturb:
            errors = unit_errors(task, errors, purpose=_ERRORS)
        else:
            prior_control = torch.zeros_like(prior_control)
        watch = Watch(lambda x, _: x, task.labels, self.limit, task.on_evaluation)
        w = prior_control
        for _ in range(self.outer):
            w = self._gauss_newton(observation, transform, w, prior_control, errors)
            watch(transform(w), torch.zeros(len(w)))
        return transform(w)

    def _transform(
        self, task: PosteriorTask
    ) -> tuple[Callable[[Tensor], Tensor], tuple[int, ...]]:
        background = task.background
        if background is None:
            raise InputError("variational methods need a background covariance; give one")
        held = background.mean.shape[1]
        known = _known_states(task)
        wanted = self.initial_states if self.kind == "strong-4dvar" else task.length
        if held < wanted or (held > wanted and self.kind != "strong-4dvar"):
            raise InputError(
                f"the background is of {held} states and {self.kind} needs one of {wanted}; "
                "estimate it from trajectories of that length"
            )
        if self.kind == "3dvar":
            background = background.at_each_time()
        elif self.kind == "strong-4dvar":
            background = background.initial(self.initial_states)
        if known.shape[1] >= wanted:
            raise InputError(
                f"{known.shape[1]} states are known, and {self.kind} controls {wanted}: nothing "
                "is left to draw"
            )
        free: Background = background.after(known) if known.shape[1] else background
        states: Callable[[Tensor], Tensor] = lambda w: torch.cat(
            [known.expand(len(w), *known.shape[1:]), free.trajectory(w)], 1
        )
        if self.kind != "strong-4dvar":
            return states, free.control_shape
        dynamics = task.dynamics or ExpectedStates.of(task, self.initial_states)
        return lambda w: dynamics(states(w)), free.control_shape

    def _gauss_newton(
        self,
        observation: Observation,
        transform: Callable[[Tensor], Tensor],
        w: Tensor,
        prior_control: Tensor,
        errors: Tensor,
    ) -> Tensor:
        """Solve (I + H^T H) dw = w_b - w + H^T (L^-1 (y - A x) + e), H = L^-1 dA/dw."""
        observed = Observation(
            y=observation.y,
            A=lambda control: observation.A(transform(control)),
            cov_y=observation.cov_y,
            used=observation.used,
            cost=observation.cost,
        )
        if observed.empty:
            return prior_control
        cov = observed.errors
        at = observed.linearise(w)
        shape = w.shape

        def h(v: Tensor) -> Tensor:
            return cov.whiten(at.jvp(v.reshape(shape)))

        def h_t(u: Tensor) -> Tensor:
            return at.vjp(cov.whiten_transposed(u)).flatten(1)

        departure = cov.whiten(observed.residual(at.value)) + errors
        gradient = (prior_control - w).flatten(1) + h_t(departure)
        solution = conjugate_gradient(
            lambda v: v + h_t(h(v)), gradient, iterations=self.inner, tolerance=self.tolerance
        )
        # a row whose misfit is not a number has not moved, which would look like the prior
        known = torch.isfinite(solution.residual)[:, None]
        return w + torch.where(known, solution.x, torch.nan).reshape(shape)


def _known_states(task: PosteriorTask) -> Tensor:
    """The given states that a trajectory begins with, (B, n, *S).

    Raises:
        InputError: Others are given.
    """
    mask = (
        task.condition.mask.flatten(2)[..., 0]
        if task.condition.mask.ndim > 2
        else task.condition.mask
    )
    count = int(mask[0].sum())
    expected = torch.zeros_like(mask)
    expected[:, :count] = 1
    if not torch.equal(mask, expected):
        raise InputError(
            "variational methods can be given the first states of a trajectory, the same of all "
            "members; observe other states instead"
        )
    return task.condition.known[:, :count]
