"""The learned dynamics: what a denoiser expects to follow some first states."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from appa_core.diffusion.denoiser import Condition
from appa_core.errors import InputError
from appa_core.posterior.task import PosteriorTask
from appa_core.posterior.windows import Window, chain_windows

_PURPOSE = 9_003
#: At this noise level x_t says nothing of x: E[x | x_t, first states] is E[x | first states].
_BLIND = 1e3


@dataclass(frozen=True)
class ExpectedStates:
    """M(x_0 .. x_n-1) = E[x | x_0 .. x_n-1], blanket by blanket, each given n states of the last.

    It is differentiable twice, as products with both its Jacobian and the transpose need.

    Args:
        task: Whose denoiser and context are used.
        first_states: n.
        noise: What the network sees in place of states to come, (B, L, *S), unit normal: always
            the same, so that M is a function.
    """

    task: PosteriorTask
    first_states: int
    noise: Tensor

    @classmethod
    def of(cls, task: PosteriorTask, first_states: int) -> ExpectedStates:
        """The dynamics of a task.

        Raises:
            InputError: The trajectory is shorter than a blanket, or n is not below its states.
        """
        task.require_blanket()
        if not 0 < first_states < task.blanket_states:
            raise InputError(
                f"the learned dynamics go on from 1 to {task.blanket_states - 1} first states, "
                f"not {first_states}; change initial_states"
            )
        return cls(task, first_states, task.noise.window(range(task.length), _PURPOSE)(0))

    def __call__(self, first: Tensor) -> Tensor:
        """First states (B, n, *S) to trajectories (B, L, *S)."""
        n, k = self.first_states, self.task.blanket_states
        _, *others = chain_windows(self.task.length, k, n)
        x = first
        for window in (Window(0, k, tuple(range(n))), *others):
            x = torch.cat([x, self._following(window, x)], dim=1)
        return x

    def _following(self, window: Window, x: Tensor) -> Tensor:
        """The states of a window that come after those that it is given, the last of x."""
        given, task = len(window.given), self.task
        here = slice(window.first, window.first + task.blanket_states)
        told, unknown = task.condition.states(here), self.noise[:, here]
        mask = torch.zeros_like(told.mask)
        mask[:, :given] = 1
        known = torch.cat([x[:, window.first :], torch.zeros_like(unknown[:, given:])], dim=1)
        condition = Condition(known, mask, told.context)
        level = torch.full((len(x),), _BLIND, dtype=x.dtype, device=x.device)
        task.cost.denoiser_forward += len(x)
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
            pieces = [
                task.denoiser(_BLIND * unknown[rows], level[rows], condition.rows(rows))
                for rows in torch.split(torch.arange(len(x)), task.blankets_at_once)
            ]
        return torch.cat(pieces)[:, given:]
