"""Values of a decoded trajectory at given states, channels and cells."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

#: Latents (N, c, h, w) to standardised states (N, C, H, W).
Decoder = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class PointOperator:
    """Latent trajectories to standardised values at points; only observed states are decoded.

    Args:
        decode: Latents to states.
        state: State of each observation within the trajectory, (1 or B, M); negative where a row
            has fewer than M.
        cell: Its position in a flattened state (C, H, W), (1 or B, M).
        states: Which states the trajectory holds, of those that `state` counts.
        encode: States to latents, for repainting.
    """

    decode: Decoder
    state: Tensor
    cell: Tensor
    states: range
    encode: Decoder | None = None

    def rows(self, index: Tensor) -> PointOperator:
        """The operator of some rows."""
        if len(self.state) == 1:
            return self
        return replace(self, state=self.state[index], cell=self.cell[index])

    def window(self, first: int, stop: int) -> tuple[PointOperator, Tensor]:
        """The operator of the observations of some states, and which those are, (1 or B, M)."""
        states = self.states[first:stop]
        return replace(self, states=states), self._inside(states)

    def _inside(self, states: range) -> Tensor:
        return (self.state >= states.start) & (self.state < states.stop)

    @cached_property
    def _observed(self) -> list[int]:
        """States with any observation, of those that the trajectory holds."""
        return sorted(set(self.state[self._inside(self.states)].tolist()))

    def __call__(self, z: Tensor) -> Tensor:
        """(B, L, c, h, w) to (B, M); zero for observations of states outside."""
        if not self._observed:
            return z.flatten(1)[:, :1] * z.new_zeros(self.state.shape[1])
        fields = self._fields(z).flatten(1)
        inside, position = self._positions(fields, len(z))
        return fields.gather(1, position) * inside.to(fields)

    def _fields(self, z: Tensor) -> Tensor:
        """Decoded observed states, (B, T, C, H, W)."""
        chosen = torch.stack([z[:, s - self.states.start] for s in self._observed], dim=1)
        decoded = self.decode(chosen.flatten(0, 1))
        return decoded.reshape(len(z), len(self._observed), *decoded.shape[1:])

    def _positions(self, flat: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """Which observations lie inside, and where in the flattened observed states."""
        place = self.state.new_zeros(int(self.state.max()) + 1)
        place[self._observed] = torch.arange(len(self._observed), device=place.device)
        inside = self._inside(self.states)
        size = flat.shape[1] // len(self._observed)
        position = torch.where(inside, place[self.state] * size + self.cell, 0)
        return inside.to(flat.device), position.expand(rows, -1).to(flat.device)

    @torch.no_grad()
    def repaint(self, z: Tensor, residual: Tensor, radius: float) -> Tensor:
        """Latents after residuals were spread over cells and blended into the states.

        Args:
            z: (B, L, c, h, w).
            residual: (B, M), in standard deviations of each channel.
            radius: Standard deviation of the soft mask, in cells.
        """
        if self.encode is None or not self._observed:
            return z
        fields = self._fields(z)
        inside, position = self._positions(fields.flatten(1), len(z))
        zeros = torch.zeros_like(fields.flatten(1))
        total = zeros.scatter_add(1, position, residual * inside.to(residual))
        count = zeros.scatter_add(1, position, inside.to(residual).expand(len(z), -1))
        total, count = (_blur(t.reshape(fields.shape), radius) for t in (total, count))
        painted = fields + total / count.clamp(min=1e-3) * count.clamp(max=1)
        change = self._encoded(painted) - self._encoded(fields)
        out = z.clone()
        for i, state in enumerate(self._observed):
            out[:, state - self.states.start] += change[:, i]
        return out

    def _encoded(self, fields: Tensor) -> Tensor:
        if self.encode is None:
            return fields
        z = self.encode(fields.flatten(0, 1))
        return z.reshape(*fields.shape[:2], *z.shape[1:])


def _blur(fields: Tensor, radius: float) -> Tensor:
    """Sum of neighbours with Gaussian weights that are 1 in the middle, (..., H, W)."""
    reach = max(1, round(2 * radius)) if radius > 0 else 0
    weights = [math.exp(-0.5 * (i / max(radius, 1e-6)) ** 2) for i in range(-reach, reach + 1)]
    kernel = fields.new_tensor(weights)
    flat = fields.reshape(-1, 1, *fields.shape[-2:])
    flat = F.pad(flat, (reach, reach, 0, 0), mode="circular")
    flat = F.conv2d(F.pad(flat, (0, 0, reach, reach)), torch.outer(kernel, kernel)[None, None])
    return flat.reshape(fields.shape)
