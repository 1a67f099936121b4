"""Noise schedules: the standard deviation sigma of the noise as a function of time t in [0, 1].

States are perturbed as x_t = x + sigma(t) z (variance exploding). Schedules that also scale the
data, x_t = alpha x + sigma z, are the same process after division by alpha, so that one number
sigma / alpha describes each of them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from azula import noise as azula_noise
from torch import Tensor


@dataclass(frozen=True)
class Schedule(ABC):
    """A path of noise levels.

    Args:
        sigma_min: Level at t = 0.
        sigma_max: Level at t = 1.
    """

    sigma_min: float = 1e-3
    sigma_max: float = 1e3

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f"expected 0 < sigma_min < sigma_max, got {self}")

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Noise level at diffusion times, ascending in t."""

    def steps(self, count: int) -> Tensor:
        """Noise levels, `count` + 1 of them, from sigma_max down to sigma_min, float64."""
        return self.sigma(torch.linspace(1, 0, count + 1, dtype=torch.float64))


class RectifiedSchedule(Schedule):
    """sigma(t) = (t + (1 - t) sigma_min) / (t (1 / sigma_max - 1) + 1).

    Straight paths between data and noise, after a change of scale (Liu et al. 2022; Appa,
    section 2).
    """

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level at diffusion times."""
        return _ratio(azula_noise.RectifiedSchedule(1 / self.sigma_max, self.sigma_min), t)


class LogLinearSchedule(Schedule):
    """ln sigma is linear in t (Song & Ermon 2019)."""

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level at diffusion times."""
        return _ratio(azula_noise.VESchedule(self.sigma_min, self.sigma_max), t)


class LogLogitSchedule(Schedule):
    """ln sigma = 2 logit(u), u from sqrt(sigma_min) to 1 - 1 / sqrt(sigma_max) linearly in t.

    Many steps near sigma = 1, where most of the structure appears, few at both ends, which lie at
    sigma = (u / (1 - u))^2: 6 % inside the limits for 1e-3 and 1e3.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if math.sqrt(self.sigma_min) + 1 / math.sqrt(self.sigma_max) >= 1:
            raise ValueError(f"a log-logit schedule needs limits wider than these: {self}")

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level at diffusion times."""
        low = math.sqrt(self.sigma_min)
        u = low + t * (1 - 1 / math.sqrt(self.sigma_max) - low)
        return (u / (1 - u)) ** 2


class CosineSchedule(Schedule):
    """Variance preserving, alpha = cos(t arccos(1 / sigma_max)) (Nichol & Dhariwal 2021)."""

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level at diffusion times."""
        return _ratio(azula_noise.CosineSchedule(1 / self.sigma_max, self.sigma_min), t)


def _ratio(schedule: Any, t: Tensor) -> Tensor:
    alpha, sigma = schedule(t)
    out: Tensor = sigma / alpha
    return out
