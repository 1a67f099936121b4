"""From a raw network to E[x | x_t, known]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

#: (x, context, c_noise) -> output, see `appa_core.nn.bases.BlanketBackbone.forward`.
Backbone = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Condition:
    """What is given besides the noise.

    Args:
        known: Known latents (B, K, c, h, w); any value where unknown.
        mask: 1 for known states, 0 for states to draw, (B, K, 1, 1, 1).
        context: Fields that are always known, such as the date, (B, K, C, h, w).
        doubt: Standard deviation of noise that the known latents carry, which the network is
            told, (B, K, 1, 1, 1); None: they are exact.
    """

    known: Tensor
    mask: Tensor
    context: Tensor
    doubt: Tensor | None = None

    def rows(self, index: Tensor) -> Condition:
        """The condition of some rows of the batch."""
        doubt = None if self.doubt is None else self.doubt[index]
        return Condition(self.known[index], self.mask[index], self.context[index], doubt)

    def states(self, here: slice) -> Condition:
        """The condition of some states."""
        doubt = None if self.doubt is None else self.doubt[:, here]
        return Condition(self.known[:, here], self.mask[:, here], self.context[:, here], doubt)


class Denoiser:
    """E[x | x_t] for data of unit variance, with the preconditioning of Karras et al. 2022.

    c_skip = 1 / (1 + s^2), c_out = s / sqrt(1 + s^2), c_in = 1 / sqrt(1 + s^2),
    c_noise = 10 ln s.

    Args:
        backbone: The raw network.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone

    def __call__(self, x_t: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        """Posterior mean of the blanket.

        Args:
            x_t: Noisy latents (B, K, c, h, w).
            sigma: Noise level, (B,).
            condition: Known states come back unchanged.

        Returns:
            (B, K, c, h, w).
        """
        s = sigma.to(x_t.dtype).reshape(-1, 1, 1, 1, 1)
        mask = condition.mask
        known = condition.known * mask
        scale = torch.rsqrt(1 + s**2)
        noisy = x_t * (1 - mask)
        certainty = mask if condition.doubt is None else mask * (1 - condition.doubt)
        told = certainty.expand(-1, -1, 1, *x_t.shape[-2:])
        context = torch.cat([condition.context, told], dim=2)
        out = self.backbone(noisy * scale + known, context, 10 * sigma.log())
        mean = noisy * scale**2 + s * scale * out
        return mean * (1 - mask) + known


def loss_weight(sigma: Tensor) -> Tensor:
    """1 / sigma^2 + 1: every noise level counts the same in the network's own output."""
    return 1 / sigma**2 + 1
