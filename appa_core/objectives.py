"""What the two networks are trained to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from appa_core.diffusion.denoiser import Condition, Denoiser, loss_weight
from appa_core.diffusion.noise import generator_for

#: Data by position: indices (N,) to tensors.
Loader = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class MaskShares:
    """How often which states of a blanket are given in training.

    Args:
        leading: Probability that the first n states are given, by n.
        scattered: Probability that states are given here and there.
        scattered_share: Share of states given in that case.
    """

    leading: Mapping[int, float]
    scattered: float
    scattered_share: float

    def draw(self, batch: int, states: int, generator: torch.Generator) -> Tensor:
        """Masks (batch, states): 1 where given."""
        pick = torch.rand(batch, 1, generator=generator)
        scattered = torch.rand(batch, states, generator=generator) < self.scattered_share
        masks = torch.zeros(batch, states)
        position = torch.arange(states)
        low = 0.0
        for count, share in sorted(self.leading.items()):
            chosen = (pick >= low) & (pick < low + share)
            masks = torch.where(chosen, (position < count).float(), masks)
            low += share
        chosen = (pick >= low) & (pick < low + self.scattered)
        return torch.where(chosen, scattered.float(), masks)


@dataclass(frozen=True)
class ReconstructionObjective:
    """Mean squared error of reconstructed states, weighted by area and channel.

    Args:
        load: Standardised states (N, C, H, W) by position.
        count: Positions.
        batch: States per iteration.
        weights: (C, H, 1), mean 1.
        latent_noise: Standard deviation of noise added to latents.
        seed: Seed of batches and noise.
    """

    load: Loader
    count: int
    batch: int
    weights: Tensor
    latent_noise: float
    seed: int

    def loss(self, network: torch.nn.Module, iteration: int) -> Tensor:
        """Loss of one batch."""
        generator = generator_for(self.seed, iteration)
        x = self.load(torch.randint(self.count, (self.batch,), generator=generator))
        z: Tensor = network.encode(x)  # type: ignore[operator]
        if self.latent_noise:
            noise = torch.randn(z.shape, generator=generator)
            z = z + self.latent_noise * noise.to(z)
        error: Tensor = network.decode(z) - x  # type: ignore[operator]
        return (error.square() * self.weights).mean()


@dataclass(frozen=True)
class DenoisingObjective:
    """Denoising score matching on blankets, some of whose states are given.

    Args:
        load: Standardised latents (N, K, c, h, w) by position of the first state.
        load_context: Context (N, K, C, h, w) by position.
        count: Positions at which a blanket can start.
        batch: Blankets per iteration.
        states: K.
        weights: (c, h, 1), mean 1.
        masks: Which states are given how often.
        noise_mean: Mean of ln sigma.
        noise_scale: Scale of ln sigma, which has a logistic distribution: at 1 its density is
            that of sampling steps on the rectified schedule.
        seed: Seed of batches, masks and noise.
    """

    load: Loader
    load_context: Loader
    count: int
    batch: int
    states: int
    weights: Tensor
    masks: MaskShares
    noise_mean: float
    noise_scale: float
    seed: int

    def loss(self, network: torch.nn.Module, iteration: int) -> Tensor:
        """Loss of one batch: squared error of the states that are not given."""
        generator = generator_for(self.seed, iteration)
        index = torch.randint(self.count, (self.batch,), generator=generator)
        mask = self.masks.draw(self.batch, self.states, generator)
        share = torch.rand(self.batch, generator=generator).clamp(1e-3, 1 - 1e-3)
        x, context = self.load(index), self.load_context(index)
        noise = torch.randn(x.shape, generator=generator).to(x)
        sigma = (self.noise_mean + self.noise_scale * torch.logit(share)).exp().to(x)
        given = mask[:, :, None, None, None].to(x)
        x_t = x + sigma[:, None, None, None, None] * noise
        mean = Denoiser(network)(x_t, sigma, Condition(x, given, context))
        error = ((mean - x).square() * self.weights).mean(dim=(2, 3, 4))
        weighted = error * loss_weight(sigma)[:, None] * (1 - mask.to(x))
        return weighted.sum() / (1 - mask).sum().clamp(min=1).to(x)
