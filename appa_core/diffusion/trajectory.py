"""The denoiser of a trajectory of any length, made of a blanket's denoiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from appa_core.blankets import FoldPlan
from appa_core.diffusion.denoiser import Condition

#: (x_t (N, K, *S), sigma (N,), condition) -> E[x | x_t, known states], (N, K, *S).
BlanketDenoiser = Callable[[Tensor, Tensor, Condition], Tensor]


@dataclass
class NetworkCost:
    """What was computed: the denoiser in blankets, the operator in trajectories.

    An operator on latents decodes the observed states of a trajectory in each evaluation.
    """

    denoiser_forward: int = 0
    denoiser_vjp: int = 0
    operator_forward: int = 0
    operator_vjp: int = 0
    operator_jvp: int = 0


@dataclass(frozen=True)
class Linearisation:
    """E[x | x_t] and the transposed Jacobian of the denoiser.

    Args:
        mean: (B, L, *S).
        vjp: v to J^T v with J = dE[x | x_t] / dx_t, both (B, L, *S).
    """

    mean: Tensor
    vjp: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class TrajectoryDenoiser:
    """E[x | x_t] of trajectories by folding blankets that are denoised side by side.

    Args:
        denoiser: Of one blanket.
        plan: Layout of the trajectory.
        condition: Known states, their mask and the context, each (B, L, ...).
        batch: Most blankets in one call of the network: the memory budget. Beyond it, blankets
            go through in pieces, and Jacobian products compute each piece again instead of
            keeping it.
        cost: Where evaluations are counted.
    """

    denoiser: BlanketDenoiser
    plan: FoldPlan
    condition: Condition
    batch: int = 1 << 30
    cost: NetworkCost = field(default_factory=NetworkCost)

    def rows(self, index: Sequence[int] | Tensor) -> TrajectoryDenoiser:
        """The denoiser of some rows of the batch."""
        picks = torch.as_tensor(index)
        return replace(self, condition=self.condition.rows(picks))

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        """E[x | x_t], (B, L, *S), without a graph."""
        with torch.no_grad():
            blankets, levels, condition = self._unfold(x_t, sigma)
            return self._fold(self._denoise(blankets, levels, condition), len(x_t))

    def linearise(self, x_t: Tensor, sigma: Tensor) -> Linearisation:
        """E[x | x_t] and products with its transposed Jacobian."""
        blankets, levels, condition = self._unfold(x_t.detach(), sigma)
        keep = len(blankets) <= self.batch
        graph: list[tuple[Tensor, Tensor]] = []
        if keep:
            leaf = blankets.requires_grad_()
            with torch.enable_grad():
                out = self._denoise(leaf, levels, condition)
            graph.append((leaf, out))
            values = out.detach()
        else:
            with torch.no_grad():
                values = self._denoise(blankets, levels, condition)

        def vjp(v: Tensor) -> Tensor:
            shares = self._shares(v)
            self.cost.denoiser_vjp += len(shares)
            if keep:
                ((leaf, out),) = graph
                (pulled,) = torch.autograd.grad(out, leaf, shares, retain_graph=True)
            else:
                pulled = self._recomputed_vjp(blankets, levels, condition, shares)
            return self._scatter(pulled, v)

        return Linearisation(self._fold(values, len(x_t)), vjp)

    def _recomputed_vjp(
        self, blankets: Tensor, levels: Tensor, condition: Condition, shares: Tensor
    ) -> Tensor:
        pieces = []
        for low in range(0, len(blankets), self.batch):
            here = torch.arange(low, min(low + self.batch, len(blankets)))
            leaf = blankets[here].detach().requires_grad_()
            with torch.enable_grad():
                out = self._denoise(leaf, levels[here], condition.rows(here))
            pieces.append(torch.autograd.grad(out, leaf, shares[here])[0])
        return torch.cat(pieces)

    def _denoise(self, blankets: Tensor, levels: Tensor, condition: Condition) -> Tensor:
        self.cost.denoiser_forward += len(blankets)
        if len(blankets) <= self.batch:
            return self.denoiser(blankets, levels, condition)
        pieces = []
        for low in range(0, len(blankets), self.batch):
            here = torch.arange(low, min(low + self.batch, len(blankets)))
            pieces.append(self.denoiser(blankets[here], levels[here], condition.rows(here)))
        return torch.cat(pieces)

    def _unfold(self, x_t: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Condition]:
        count, whole = len(self.plan.starts), self.condition
        condition = Condition(
            self._windows(whole.known),
            self._windows(whole.mask),
            self._windows(whole.context),
            None if whole.doubt is None else self._windows(whole.doubt),
        )
        return self._windows(x_t), sigma.repeat_interleave(count), condition

    def _windows(self, x: Tensor) -> Tensor:
        """(B, L, ...) to (B * blankets, K, ...), blankets of a row side by side."""
        k = self.plan.blanket_states
        stacked = torch.stack([x[:, s : s + k] for s in self.plan.starts], dim=1)
        return stacked.flatten(0, 1)

    def _weights(self, like: Tensor) -> Tensor:
        weights = torch.tensor(self.plan.weights, dtype=like.dtype, device=like.device)
        return weights.reshape(*weights.shape, *[1] * (like.ndim - 2))

    def _fold(self, blankets: Tensor, rows: int) -> Tensor:
        """(B * blankets, K, *S) to (B, L, *S) by the plan's shares."""
        parts = blankets.reshape(rows, len(self.plan.starts), *blankets.shape[1:])
        parts = parts * self._weights(blankets)
        out = parts.new_zeros(rows, self.plan.length, *blankets.shape[2:])
        for i, start in enumerate(self.plan.starts):
            out[:, start : start + self.plan.blanket_states] += parts[:, i]
        return out

    def _shares(self, v: Tensor) -> Tensor:
        """Transpose of `_fold`."""
        weights = self._weights(v)
        parts = self._windows(v).reshape(len(v), len(self.plan.starts), -1, *v.shape[2:])
        return (parts * weights).flatten(0, 1)

    def _scatter(self, blankets: Tensor, like: Tensor) -> Tensor:
        """Transpose of `_windows`."""
        parts = blankets.reshape(len(like), len(self.plan.starts), *blankets.shape[1:])
        out = torch.zeros_like(like)
        for i, start in enumerate(self.plan.starts):
            out[:, start : start + self.plan.blanket_states] += parts[:, i]
        return out
