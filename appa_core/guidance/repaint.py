"""Conditioning by repainting (DiffDA): observed values replace the sample's through a soft mask.

At every noise level the part of the sample that is observed is set to the observed values, with
noise of that level; in terms of the mean, x_hat -> x_hat + m (x_obs - x_hat). Errors of the
observations play no part.

References:
    Lugmayr et al. 2022, RePaint. Huang et al. 2024, DiffDA, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from appa_core.errors import InputError
from appa_core.guidance.guided import LinearisableDenoiser
from appa_core.guidance.observation import Observation


@dataclass(frozen=True)
class Repaint:
    """Repainting of observed values.

    An operator on decoded states needs a method `repaint(x, residual, radius)` that spreads
    residuals (B, M) over cells, blends them into the states and encodes the result. Any other
    operator must be a selection or a weighted mean of values: its transpose then puts residuals
    back where they were taken.

    Args:
        radius: Width of the soft mask in cells, for operators on decoded states.
    """

    radius: float = 1.0

    def __call__(
        self, x_t: Tensor, sigma: Tensor, denoiser: LinearisableDenoiser, observation: Observation
    ) -> Tensor:
        """Guided mean; see `Guidance`."""
        mean = denoiser(x_t, sigma)
        if observation.empty:
            return mean
        own: Any = getattr(observation.A, "repaint", None)
        if own is not None:
            residual = observation.residual(observation.predict(mean))
            painted: Tensor = own(mean, residual, self.radius)
            return painted
        operator = observation.linearise(mean)
        weights = operator.vjp(torch.ones_like(operator.value))
        if (weights < -1e-6).any():
            raise InputError(
                "repainting needs an operator that picks or averages values; this one has "
                "negative weights: use mmps, sda or pigdm"
            )
        values = operator.vjp(observation.residual(operator.value))
        return mean + values / weights.clamp(min=1.0)
