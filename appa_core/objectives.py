"""What the two networks are trained to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from appa_core.diffusion.denoiser import Condition, Denoiser, loss_weight


@dataclass(frozen=True)
class MaskShares:
    """How often which states of a blanket are given in training.

    Args:
        leading: Probability that the first n states are given, by n.
        scattered: Probability that states are given here and there.
        scattered_share: Share of states given in that case.
        noise: Largest standard deviation of noise on given states.
    """

    leading: Mapping[int, float]
    scattered: float
    scattered_share: float
    noise: float = 0.0

    def draw(self, states: int, generator: np.random.Generator) -> np.ndarray:
        """Which states of a blanket are given, (states,) bool."""
        pick, scattered = generator.random(), generator.random(states) < self.scattered_share
        for count, share in sorted(self.leading.items()):
            if pick < share:
                return np.arange(states) < count
            pick -= share
        return scattered if pick < self.scattered else np.zeros(states, bool)

    def draw_doubt(self, generator: np.random.Generator) -> float:
        """Standard deviation of noise on the given states of a blanket: none in half of them."""
        has_noise, share = generator.random() < 0.5, generator.random()
        return self.noise * share if has_noise else 0.0


@dataclass(frozen=True)
class NoiseLevels:
    """Noise levels of training: ln sigma has a logistic distribution.

    At scale 1 its density is that of sampling steps on the rectified schedule.

    Args:
        mean: Mean of ln sigma.
        scale: Scale of ln sigma.
    """

    mean: float
    scale: float

    def draw(self, generator: np.random.Generator) -> float:
        """A noise level."""
        share = np.clip(generator.random(), 1e-3, 1 - 1e-3)
        return float(np.exp(self.mean + self.scale * np.log(share / (1 - share))))


def reconstruction_loss(
    network: torch.nn.Module, x: Tensor, weights: Tensor, noise: Tensor | None = None
) -> Tensor:
    """Mean squared error of reconstructed states.

    Args:
        network: An autoencoder.
        x: Standardised states (N, C, H, W).
        weights: (C, H, 1), mean 1.
        noise: Added to latents, (N, c, h, w).
    """
    error: Tensor = network(x, noise) - x
    return (error.square() * weights).mean()


def denoising_loss(
    network: torch.nn.Module,
    x: Tensor,
    condition: Condition,
    noise: Tensor,
    sigma: Tensor,
    weights: Tensor,
) -> Tensor:
    """Denoising score matching on blankets, some of whose states are given.

    The squared error of the states that are not given, over the number of all states, so that the
    loss of a batch is the mean of those of its samples.

    Args:
        network: The denoiser's raw network.
        x: Standardised latents (N, K, c, h, w).
        condition: Which of them are given.
        noise: Unit normal, as x.
        sigma: Noise levels (N,).
        weights: (c, h, 1), mean 1.
    """
    x_t = x + sigma[:, None, None, None, None] * noise
    mean = Denoiser(network)(x_t, sigma, condition)
    error = ((mean - x).square() * weights).mean(dim=(2, 3, 4))
    return (error * loss_weight(sigma)[:, None] * (1 - condition.mask.flatten(1))).mean()
