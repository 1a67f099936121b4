"""Arithmetic of the networks, by kind of evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from appa_core.blankets import FoldPlan
from appa_core.diffusion.trajectory import NetworkCost, TrajectoryDenoiser
from appa_core.posterior.task import PosteriorTask


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

    def denoiser(self, used: NetworkCost) -> float:
        """FLOP of a number of evaluations of the denoiser."""
        return (
            used.denoiser_forward * self.denoiser_forward + used.denoiser_vjp * self.denoiser_vjp
        )

    def operator(self, used: NetworkCost) -> float:
        """FLOP of a number of evaluations of the operator."""
        return (
            used.operator_forward * self.operator_forward
            + used.operator_vjp * self.operator_vjp
            + used.operator_jvp * self.operator_jvp
        )

    @classmethod
    def measure(cls, task: PosteriorTask) -> Cost:
        """Count one evaluation of each kind."""
        one = task.rows([0])
        one = replace(one, observation=replace(one.observation, cost=NetworkCost()))
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
            _flop(lambda: one.observation.predict(prior.mean)),
            _flop(lambda: at.vjp(at.value)),
            _second(lambda: at.jvp(x)),
        )


def _flop(call: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def _second(call: Callable[[], object]) -> float:
    """The cost of a call after the first, which sets something up."""
    _flop(call)
    return _flop(call)
