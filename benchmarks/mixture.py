"""A mixture of Gaussians with an observation, whose posterior quadrature gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from appa_core.diffusion.denoiser import Condition
from appa_core.diffusion.noise import PooledNoise, generator_for
from appa_core.errors import InputError
from appa_core.guidance.covariance import DiagonalCovariance
from appa_core.guidance.observation import Observation
from appa_core.posterior.background import Background
from appa_core.posterior.task import PosteriorTask
from benchmarks.closed_forms import EXACT, GaussianProblem, Posterior, tensor, toy_task

_EXTENT, _CELLS = 4.5, 900  # of the grid: half its side, cells along a side
_WEIGHTS = tensor([0.3, 0.4, 0.3])
_MEANS = tensor([[-1.1, 0.6], [1.0, 0.0], [0.1, 1.9]])
_COVARIANCES = tensor(
    [[[0.15, 0.05], [0.05, 0.2]], [[0.2, -0.08], [-0.08, 0.15]], [[0.1, 0], [0, 0.3]]]
)


def square_and_sine(x: Tensor) -> Tensor:
    """x_0^2 + sin x_1, (B, 2) to (B, 1)."""
    return x[:, :1] ** 2 + x[:, 1:].sin()


@dataclass(frozen=True, eq=False)
class MixtureProblem:
    """y = A(x) + e with x ~ sum_k w_k N(m_k, S_k) over L = 2 states: many modes.

    Args:
        error_std: Standard deviation of e, which is zero in y itself.
        truth: (2,).
        observe: A, (B, 2) to (B, 1).
    """

    error_std: float = 0.3
    truth: Tensor = field(default_factory=lambda: tensor([-1.2, 0.5]))
    observe: Callable[[Tensor], Tensor] = square_and_sine

    def _shares(self, x_t: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Log densities w_k N(x_t; m_k, S_k + variance I), (B, 3); E[x | x_t, k], (B, 3, 2)."""
        values, vectors = torch.linalg.eigh(_COVARIANCES.to(x_t))
        total = values + variance.to(x_t)[:, None, None]
        means = _MEANS.to(x_t)
        along = torch.einsum("bnd,nde->bne", x_t[:, None] - means, vectors)
        log = -0.5 * (along**2 / total + total.log()).sum(-1) + _WEIGHTS.to(x_t).log()
        return log, means + torch.einsum("bne,nde->bnd", along * values / total, vectors)

    def denoise(self, x_t: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        """E[x | x_t], (B, 2)."""
        if condition.mask.any():
            raise InputError("the mixture's denoiser takes no known states")
        log, means = self._shares(x_t, sigma**2)
        return (log.softmax(1)[..., None] * means).sum(1)

    def component_masses(self, x: Tensor) -> Tensor:
        """Mean probability of each component given x, (3,), over draws (B, 2)."""
        return self._shares(x, x.new_zeros(len(x)))[0].softmax(1).mean(0)

    @cached_property
    def _grid(self) -> tuple[Tensor, Tensor]:
        """Centres of cells, (cells^2, 2), and the posterior's mass in each."""
        side = (torch.arange(_CELLS, dtype=torch.float64) + 0.5) / _CELLS * 2 - 1
        points = torch.cartesian_prod(side, side) * _EXTENT
        prior = self._shares(points, points.new_zeros(len(points)))[0].logsumexp(1)
        departure = (self.observe(points) - self.observe(self.truth[None]))[:, 0] / self.error_std
        return points, (prior - departure**2 / 2).softmax(0)

    @cached_property
    def posterior(self) -> Posterior:
        """Mean and covariance by quadrature."""
        points, mass = self._grid
        mean = mass @ points
        return Posterior(mean, torch.einsum("g,gi,gj->ij", mass, points - mean, points - mean))

    @cached_property
    def posterior_masses(self) -> Tensor:
        """Posterior probability of each component by quadrature, (3,)."""
        points, mass = self._grid
        return mass @ self._shares(points, points.new_zeros(len(points)))[0].softmax(1)

    def exact(self, count: int, seed: int = 0) -> Tensor:
        """Independent draws from the posterior: cells by inverse CDF, uniform within each."""
        points, mass = self._grid
        generator = generator_for(seed, EXACT)
        uniform = torch.rand(count, 3, generator=generator, dtype=torch.float64)
        cells = torch.searchsorted(mass.cumsum(0), uniform[:, 0].contiguous())
        width = 2 * _EXTENT / _CELLS
        return points[cells.clamp(max=len(points) - 1)] + (uniform[:, 1:] - 0.5) * width

    @property
    def _background(self) -> Background:
        """The Gaussian of the prior's mean and covariance."""
        mean = _WEIGHTS @ _MEANS
        between = torch.einsum("n,ni,nj->ij", _WEIGHTS, _MEANS - mean, _MEANS - mean)
        within = torch.einsum("n,nij->ij", _WEIGHTS, _COVARIANCES)
        factor: Tensor = torch.linalg.cholesky(between + within)
        one = tensor(1.0)
        return Background(mean[None], one, factor[None], tensor([]), one)

    def task(self, rows: int, seed: int = 0) -> PosteriorTask:
        """The task of drawing `rows` trajectories."""
        error = DiagonalCovariance(tensor([self.error_std**2]))
        return toy_task(
            PooledNoise(seed, torch.arange(rows), 2, ()),
            denoiser=self.denoise,
            blanket_states=2,
            observation=Observation(y=self.observe(self.truth[None]), A=self.observe, cov_y=error),
            background=self._background,
        )


def seen_mixture() -> MixtureProblem:
    """Y = x_0 + e: an operator that picks a value, which is all that repainting knows."""
    return MixtureProblem(truth=tensor([0.5, 1.0]), observe=lambda x: x[:, :1])


Problem = GaussianProblem | MixtureProblem
