"""Integrators of the reverse process for noise that is added to the data (variance exploding).

Every sampler starts from `noise(0) * sigmas[0]`, calls the denoiser at noise levels of the list
and ends at its last level, which is taken for no noise at all. Heun and Adams-Bashforth come from
azula; those that draw noise on the way are ours, because that noise must be a function of seed,
member and state (docs/adr/0005).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import torch
from azula import sample as azula_sample
from azula.denoise import Denoiser as AzulaDenoiser
from azula.denoise import DiracPosterior
from azula.noise import Schedule as AzulaSchedule
from torch import Tensor

from appa_core.diffusion.noise import NoiseSource

#: (x_t, sigma (B,)) -> E[x | x_t]
MeanFunction = Callable[[Tensor, Tensor], Tensor]


class Sampler(Protocol):
    """From noise to samples."""

    def sample(
        self, mean: MeanFunction, noise: NoiseSource, sigmas: Tensor, start: Tensor | None = None
    ) -> Tensor:
        """Draw.

        Args:
            mean: The denoiser, perhaps guided.
            noise: Unit normal noise (B, ...) by number of the draw.
            sigmas: Noise levels, descending, (steps + 1,).
            start: What the initial noise is added to, (B, ...); zero if None.

        Returns:
            Samples, (B, ...).
        """
        ...

    def evaluations(self, steps: int) -> int:
        """Calls of the denoiser for a number of steps."""
        ...


def _initial(noise: NoiseSource, sigmas: Tensor, start: Tensor | None) -> Tensor:
    x = noise(0) * sigmas[0].item()
    return x if start is None else x + start


def _at(mean: MeanFunction, x_t: Tensor, sigma: float) -> Tensor:
    return mean(x_t, torch.full((len(x_t),), sigma, dtype=x_t.dtype, device=x_t.device))


@dataclass(frozen=True)
class DdimSampler:
    """x_s = D + (s / t) sqrt(1 - eta tau) (x_t - D) + s sqrt(eta tau) z, tau = 1 - s^2 / t^2.

    eta = 0 is deterministic, eta = 1 is ancestral sampling, DDPM (Song et al. 2021, eq. 12).
    """

    eta: float = 0.0

    @torch.no_grad()
    def sample(
        self, mean: MeanFunction, noise: NoiseSource, sigmas: Tensor, start: Tensor | None = None
    ) -> Tensor:
        """Draw; see `Sampler`."""
        x = _initial(noise, sigmas, start)
        for i, (now, following) in enumerate(pairwise(sigmas.tolist())):
            estimate = _at(mean, x, now)
            fresh = self.eta * (1 - (following / now) ** 2)
            x = estimate + (following / now) * (1 - fresh) ** 0.5 * (x - estimate)
            if fresh > 0:
                x = x + following * fresh**0.5 * noise(i + 1)
        return x

    def evaluations(self, steps: int) -> int:
        """One a step."""
        return steps


@dataclass(frozen=True)
class DpmSolver:
    """Exponential multistep in the data prediction, DPM-Solver++ (Lu et al. 2022, algorithm 2).

    Between noise levels s and r the probability-flow equation is integrated exactly for a mean
    that is constant (order 1, DDIM) or linear in ln s (order 2) over the step:
    x_r = (r / s) x_s + (1 - r / s) D. The last step is of first order.
    """

    order: int = 2

    @torch.no_grad()
    def sample(
        self, mean: MeanFunction, noise: NoiseSource, sigmas: Tensor, start: Tensor | None = None
    ) -> Tensor:
        """Draw; see `Sampler`."""
        x = _initial(noise, sigmas, start)
        previous: Tensor | None = None
        log_ratio = 0.0
        for i, (now, following) in enumerate(pairwise(sigmas)):
            estimate = _at(mean, x, now.item())
            step = (now / following).log().item()
            direction = estimate
            if self.order == 2 and previous is not None and i < len(sigmas) - 2:
                direction = estimate + (estimate - previous) * (step / (2 * log_ratio))
            ratio = (following / now).item()
            x = ratio * x + (1 - ratio) * direction
            previous, log_ratio = estimate, step
        return x

    def evaluations(self, steps: int) -> int:
        """One a step."""
        return steps


@dataclass(frozen=True)
class PredictorCorrector:
    """Langevin corrections at each level, then a DDIM step (Song et al. 2021; Appa, section 2).

    A correction is x <- D + sqrt(1 - delta) (x - D) + sqrt(delta) sigma z.
    """

    corrections: int = 2
    delta: float = 0.1

    @torch.no_grad()
    def sample(
        self, mean: MeanFunction, noise: NoiseSource, sigmas: Tensor, start: Tensor | None = None
    ) -> Tensor:
        """Draw; see `Sampler`."""
        x = _initial(noise, sigmas, start)
        draw = 0
        for now, following in pairwise(sigmas.tolist()):
            for _ in range(self.corrections):
                draw += 1
                estimate = _at(mean, x, now)
                x = estimate + (1 - self.delta) ** 0.5 * (x - estimate)
                x = x + self.delta**0.5 * now * noise(draw)
            estimate = _at(mean, x, now)
            x = estimate + (following / now) * (x - estimate)
        return x

    def evaluations(self, steps: int) -> int:
        """One for each correction and one for the predictor."""
        return steps * (self.corrections + 1)


@dataclass(frozen=True)
class HeunSampler:
    """Heun's method in sigma (Karras et al. 2022), from azula."""

    def sample(
        self, mean: MeanFunction, noise: NoiseSource, sigmas: Tensor, start: Tensor | None = None
    ) -> Tensor:
        """Draw; see `Sampler`."""
        return _through_azula(azula_sample.HeunSampler, mean, noise, sigmas, start)

    def evaluations(self, steps: int) -> int:
        """Two a step."""
        return 2 * steps


@dataclass(frozen=True)
class AdamsBashforth:
    """Linear multistep in sigma with the noise prediction (Zhang & Chen 2023), from azula."""

    order: int = 3

    def sample(
        self, mean: MeanFunction, noise: NoiseSource, sigmas: Tensor, start: Tensor | None = None
    ) -> Tensor:
        """Draw; see `Sampler`."""
        make = azula_sample.zABSampler
        return _through_azula(make, mean, noise, sigmas, start, order=self.order)

    def evaluations(self, steps: int) -> int:
        """One a step."""
        return steps


class _Table(AzulaSchedule):
    """Noise levels by position in a list: t = 1 - i / steps."""

    def __init__(self, sigmas: Tensor) -> None:
        self.sigmas = sigmas

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        index = torch.round((1 - t) * (len(self.sigmas) - 1)).long()
        sigma = self.sigmas.to(t.device)[index]
        return torch.ones_like(sigma), sigma


class _Adapter(AzulaDenoiser):
    """A mean function as azula's samplers call it."""

    def __init__(self, mean: MeanFunction, sigmas: Tensor) -> None:
        super().__init__()
        self.mean, self.schedule = mean, _Table(sigmas)

    def forward(self, x_t: Tensor, t: Tensor, **_: object) -> DiracPosterior:
        return DiracPosterior(_at(self.mean, x_t, self.schedule(t)[1].item()))


def _through_azula(
    make: Any,
    mean: MeanFunction,
    noise: NoiseSource,
    sigmas: Tensor,
    start: Tensor | None,
    **options: object,
) -> Tensor:
    sampler = make(
        _Adapter(mean, sigmas), steps=len(sigmas) - 1, silent=True, dtype=torch.float64, **options
    )
    x: Tensor = sampler(_initial(noise, sigmas, start))
    return x
