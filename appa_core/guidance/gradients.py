"""Guidance by the gradient of a likelihood with a simplified variance: SDA and DPS."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from appa_core.guidance.guided import LinearisableDenoiser, by_row, clamped, remaining_variance
from appa_core.guidance.observation import Observation


@dataclass(frozen=True)
class Sda:
    """Score-based data assimilation (Rozet & Louppe 2023, eq. 13).

    p(y | x_t) = N(y; A x_hat, Sigma_y + gamma sigma^2 / (1 + sigma^2) I), with the diagonal of
    Sigma_y alone.

    Args:
        gamma: Variance of A x given x_t, in units of that of data of unit variance.
        clamp: Bound of each element's correction, in standard deviations of x given x_t.
    """

    gamma: float = 0.01
    clamp: float = 6.0

    def __call__(
        self, x_t: Tensor, sigma: Tensor, denoiser: LinearisableDenoiser, observation: Observation
    ) -> Tensor:
        """Guided mean; see `Guidance`."""
        if observation.empty:
            return denoiser(x_t, sigma)
        prior = denoiser.linearise(x_t, sigma)
        operator = observation.linearise(prior.mean)
        residual = observation.residual(operator.value)
        spread = self.gamma * by_row(remaining_variance(sigma), residual)
        variance = observation.errors.variance(residual) + spread
        pulled = prior.vjp(operator.vjp(residual / variance))
        return prior.mean + clamped(by_row(sigma**2, pulled) * pulled, sigma, self.clamp)


@dataclass(frozen=True)
class Dps:
    """Diffusion posterior sampling (Chung et al. 2023, algorithm 1).

    The mean moves by zeta along the gradient of |y - A x_hat| with respect to x_t, so that a step
    from noise level t to s moves the sample by (1 - s / t) zeta along it, whatever the errors of
    the observations.

    Args:
        zeta: Step.
    """

    zeta: float = 1.0

    def __call__(
        self, x_t: Tensor, sigma: Tensor, denoiser: LinearisableDenoiser, observation: Observation
    ) -> Tensor:
        """Guided mean; see `Guidance`."""
        if observation.empty:
            return denoiser(x_t, sigma)
        prior = denoiser.linearise(x_t, sigma)
        operator = observation.linearise(prior.mean)
        residual = observation.residual(operator.value)
        length = residual.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        return prior.mean + self.zeta * prior.vjp(operator.vjp(residual / length))
