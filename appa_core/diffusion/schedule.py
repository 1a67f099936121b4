"""Noise schedules: the standard deviation sigma of the noise as a function of time t in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RectifiedSchedule:
    """sigma(t) = (t + (1 - t) sigma_min) / (t (1 / sigma_max - 1) + 1).

    Straight paths between data and noise, after a change of scale (Appa, section 2).
    """

    sigma_min: float = 1e-3
    sigma_max: float = 1e3

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level at diffusion times."""
        return (t + (1 - t) * self.sigma_min) / (t * (1 / self.sigma_max - 1) + 1)

    def steps(self, count: int) -> Tensor:
        """Noise levels, `count` + 1 of them, from sigma_max down to sigma_min, float64."""
        return self.sigma(torch.linspace(1, 0, count + 1, dtype=torch.float64))
