"""Integrators of the reverse process for noise that is added to the data (variance exploding)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from appa_core.errors import NumericalError

#: (x_t, sigma (B,)) -> E[x | x_t]
MeanFunction = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def sample_multistep(
    mean: MeanFunction,
    noise: Tensor,
    sigmas: Tensor,
    *,
    order: int = 2,
    on_step: Callable[[], object] = lambda: None,
) -> Tensor:
    """Draw by the exponential multistep method in the data prediction (DPM-Solver++).

    Between noise levels s and r the probability-flow equation is integrated exactly for a mean
    that is constant (order 1, DDIM) or linear in ln s (order 2) over the step:
    x_r = (r / s) x_s + (1 - r / s) D (Lu et al. 2022, algorithm 2, with alpha = 1).

    Args:
        mean: The denoiser.
        noise: Unit normal noise, (B, ...).
        sigmas: Noise levels, descending, (steps + 1,); the last is taken for no noise at all.
        order: 1 or 2.
        on_step: Called after every evaluation of the mean.

    Returns:
        Samples, (B, ...).

    Raises:
        NumericalError: A value is not finite; the message gives the step and noise level.
    """
    x = noise * sigmas[0].item()
    previous: Tensor | None = None
    log_ratio = 0.0
    for i, (now, following) in enumerate(pairwise(sigmas)):
        estimate = mean(x, now.to(x.dtype).expand(len(x)).to(x.device))
        if not torch.isfinite(estimate).all():
            raise NumericalError(
                f"the denoiser gave values that are not finite at step {i + 1} of "
                f"{len(sigmas) - 1} (sigma {now.item():.3g}); try --dtype float32 or other weights"
            )
        step = (now / following).log().item()
        direction = estimate
        if order == 2 and previous is not None and i < len(sigmas) - 2:
            direction = estimate + (estimate - previous) * (step / (2 * log_ratio))
        ratio = (following / now).item()
        x = ratio * x + (1 - ratio) * direction
        previous, log_ratio = estimate, step
        on_step()
    return x
