"""What guidance is: a correction of E[x | x_t] towards E[x | x_t, y]."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from appa_core.diffusion.trajectory import Linearisation
from appa_core.guidance.observation import Observation


class LinearisableDenoiser(Protocol):
    """A denoiser of trajectories that can be differentiated."""

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        """E[x | x_t], (B, L, ...), for noise levels (B,)."""
        ...

    def linearise(self, x_t: Tensor, sigma: Tensor) -> Linearisation:
        """E[x | x_t] and products with its transposed Jacobian."""
        ...


class Guidance(Protocol):
    """An approximation of E[x | x_t, y]."""

    def __call__(
        self, x_t: Tensor, sigma: Tensor, denoiser: LinearisableDenoiser, observation: Observation
    ) -> Tensor:
        """Guided mean.

        Args:
            x_t: Noisy trajectories, (B, L, ...).
            sigma: Noise levels, (B,).
            denoiser: E[x | x_t].
            observation: y, A and the covariance of errors, of B rows or one.

        Returns:
            (B, L, ...).
        """
        ...


def by_row(values: Tensor, like: Tensor) -> Tensor:
    """(B,) as (B, 1, ...), to multiply `like` (B, ...) row by row."""
    return values.to(like).reshape(-1, *[1] * (like.ndim - 1))


def remaining_variance(sigma: Tensor) -> Tensor:
    """sigma^2 / (1 + sigma^2): variance of x given x_t for data of unit variance, (B,)."""
    return sigma**2 / (1 + sigma**2)


def clamped(correction: Tensor, sigma: Tensor, limit: float) -> Tensor:
    """A correction no element of which exceeds `limit` standard deviations of x given x_t.

    A network's Jacobian can be wild, at high noise above all; a correction beyond what the prior
    allows is never right.
    """
    bound = by_row(limit * remaining_variance(sigma).sqrt(), correction)
    return torch.minimum(torch.maximum(correction, -bound), bound)
