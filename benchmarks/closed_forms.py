"""Problems whose posterior is known, with the exact denoiser of their prior.

States are single numbers here: a trajectory of L states has shape (L,), a batch (B, L).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from appa_core.diffusion.denoiser import Condition
from appa_core.diffusion.noise import PooledNoise, generator_for
from appa_core.errors import InputError
from appa_core.guidance.block_covariance import BlockCovariance
from appa_core.guidance.covariance import (
    Covariance,
    DiagonalCovariance,
    LowRankCovariance,
)
from appa_core.guidance.observation import Observation
from appa_core.posterior.background import Background
from appa_core.posterior.task import PosteriorTask

_TRUTH, _ERRORS, EXACT = 1, 2, 3


def tensor(values: object) -> Tensor:
    """Numbers in double precision."""
    return torch.tensor(values, dtype=torch.float64)


class Posterior(NamedTuple):
    """Mean (L,) and covariance (L, L)."""

    mean: Tensor
    covariance: Tensor

    @property
    def sd(self) -> Tensor:
        """Standard deviations, (L,)."""
        return self.covariance.diagonal().sqrt()


def toy_task(noise: PooledNoise, **parts: Any) -> PosteriorTask:
    """Nothing known but observations, one ensemble."""
    rows = len(noise.index)
    zeros = torch.zeros(rows, noise.length, dtype=noise.dtype)
    return PosteriorTask(
        condition=Condition(zeros, zeros, zeros),
        noise=noise,
        group=torch.zeros(rows, dtype=torch.long),
        labels=[f"row {i}" for i in range(rows)],
        **parts,
    )


@dataclass(frozen=True, eq=False)
class GaussianDenoiser:
    """E[x | x_t, known states] of K states with covariance C, by eigenvectors."""

    covariance: Tensor
    _factors: dict[tuple[bool, ...], tuple[Tensor, ...]] = field(default_factory=dict)

    def __call__(self, x_t: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        """(B, K); every row must know the same states."""
        known = condition.mask[0] > 0
        if not (condition.mask == condition.mask[:1]).all():
            raise InputError("this denoiser needs rows that know the same states")
        regression, variances, vectors = (t.to(x_t) for t in self._factor(known))
        mean = condition.known[:, known] @ regression.mT
        gain = variances / (variances + sigma.to(x_t)[:, None] ** 2)
        estimate = mean + ((x_t[:, ~known] - mean) @ vectors * gain) @ vectors.mT
        free = (~known).nonzero()[:, 0]
        return torch.where(known, condition.known, 0).index_copy(1, free, estimate)

    def _factor(self, known: Tensor) -> tuple[Tensor, ...]:
        """Regression of free on known states; eigenvalues and eigenvectors of what is left."""
        key = tuple(known.tolist())
        if key not in self._factors:
            c, free = self.covariance, ~known
            regression = torch.linalg.solve(c[known][:, known], c[known][:, free]).mT
            left = c[free][:, free] - regression @ c[known][:, free]
            self._factors[key] = (regression, *torch.linalg.eigh(left))
        return self._factors[key]


@dataclass(frozen=True, eq=False)
class GaussianProblem:
    """y = H x + e with x ~ N(0, C), stationary in time, and e ~ N(0, R).

    Args:
        covariance: C, (L, L).
        operator: H, (M, L).
        errors: R as samplers take it, in a precision.
        dense_errors: R as a matrix, (M, M).
        seed: Of truth and observations.
    """

    covariance: Tensor
    operator: Tensor
    errors: Callable[[torch.dtype], Covariance]
    dense_errors: Tensor
    seed: int = 0

    @cached_property
    def truth(self) -> Tensor:
        """(L,)."""
        factor: Tensor = torch.linalg.cholesky(self.covariance)
        return factor @ self._normal(_TRUTH, len(factor))

    @cached_property
    def y(self) -> Tensor:
        """(M,)."""
        factor: Tensor = torch.linalg.cholesky(self.dense_errors)
        return self.operator @ self.truth + factor @ self._normal(_ERRORS, len(factor))

    @cached_property
    def posterior(self) -> Posterior:
        """K y and C - K H C with K = C H^T (H C H^T + R)^-1."""
        hc = self.operator @ self.covariance
        gain = torch.linalg.solve(hc @ self.operator.mT + self.dense_errors, hc).mT
        return Posterior(gain @ self.y, self.covariance - gain @ hc)

    def exact(self, count: int, seed: int = 0) -> Tensor:
        """Independent draws from the posterior, (count, L)."""
        factor: Tensor = torch.linalg.cholesky(self.posterior.covariance)
        normal = self._normal(EXACT, count, len(factor), seed=seed)
        return self.posterior.mean + normal @ factor.mT

    def _normal(self, purpose: int, *shape: int, seed: int = 0) -> Tensor:
        generator = generator_for(self.seed, purpose, seed)
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def task(
        self,
        rows: int,
        blanket_states: int | None = None,
        seed: int = 0,
        *,
        background: bool = False,
        dtype: torch.dtype = torch.float64,
    ) -> PosteriorTask:
        """The task of drawing `rows` trajectories by blankets of some states, all if None."""
        length = len(self.covariance)
        k = blanket_states or length
        parts = self.operator, self.y, torch.linalg.cholesky(self.covariance)
        h, y, factor = (part.to(dtype) for part in parts)
        one = torch.ones((), dtype=dtype)
        prior = Background(one.new_zeros(1, length), one, factor[None], one.new_zeros(0), one)
        return toy_task(
            PooledNoise(seed, torch.arange(rows), length, (), dtype),
            denoiser=GaussianDenoiser(self.covariance[:k, :k]),
            blanket_states=k,
            observation=Observation(y=y[None], A=lambda x: x @ h.mT, cov_y=self.errors(dtype)),
            background=prior if background else None,
        )


def ar1_covariance(length: int, a: float) -> Tensor:
    """C_ij = a^|i - j|, of x_i+1 = a x_i + sqrt(1 - a^2) w."""
    i = torch.arange(length, dtype=torch.float64)
    return a ** (i[:, None] - i).abs()


def _ar1_at(states: Sequence[int], variances: Tensor, length: int, a: float) -> GaussianProblem:
    h = torch.eye(length, dtype=torch.float64)[list(states)]
    errors = lambda dtype: DiagonalCovariance(variances.to(dtype))
    return GaussianProblem(ar1_covariance(length, a), h, errors, torch.diag(variances))


def ar1(length: int = 8, a: float = 0.9) -> GaussianProblem:
    """AR(1) observed at every third state, with error variances of 0.3 and 0.05 in turn."""
    states = range(0, length, 3)
    turns = [0.05 if i % 2 else 0.3 for i in range(len(states))]
    return _ar1_at(states, tensor(turns), length, a)


def ar1_seen_at_its_end(length: int = 64, a: float = 0.95) -> GaussianProblem:
    """AR(1) of which the last two states alone are observed, error variance 0.01."""
    return _ar1_at((length - 2, length - 1), tensor([0.01, 0.01]), length, a)


def ar1_seen_often(
    times: int, variance: float, length: int = 8, a: float = 0.9
) -> GaussianProblem:
    """AR(1) of which every state is observed many times, with errors of one variance."""
    states = [state for state in range(length) for _ in range(times)]
    return _ar1_at(states, tensor([variance] * len(states)), length, a)


def ar1_seen_once(variance: float, length: int = 8, a: float = 0.9) -> GaussianProblem:
    """AR(1) with a single observation."""
    return _ar1_at((length // 2,), tensor([variance]), length, a)


def ar1_unseen(length: int = 8, a: float = 0.9) -> GaussianProblem:
    """AR(1) without any observation: the posterior is the prior."""
    return _ar1_at((), tensor([]), length, a)


def ar1_with_block_errors() -> GaussianProblem:
    """AR(1) of 8 states; errors of the first three are correlated, and of two others."""
    h = torch.eye(8, dtype=torch.float64)[[0, 1, 2, 4, 7]]
    blocks = [0.2 * ar1_covariance(3, 0.8), 0.1 * ar1_covariance(2, -0.6)]
    dense = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
    errors = lambda dtype: BlockCovariance.of([block.to(dtype) for block in blocks])
    return GaussianProblem(ar1_covariance(8, 0.9), h, errors, dense)


def ar1_with_shared_errors() -> GaussianProblem:
    """AR(1) of 8 states; means of neighbours, whose errors share a bias and a drift."""
    h = torch.eye(8, dtype=torch.float64).reshape(4, 2, 8).mean(1)
    diagonal = tensor([0.02, 0.1, 0.05, 0.2])
    drift = torch.linspace(-0.3, 0.3, 4, dtype=torch.float64)
    v = torch.stack([torch.full_like(drift, 0.4), drift], dim=1)
    dense = torch.diag(diagonal) + v @ v.mT
    errors = lambda dtype: LowRankCovariance(diagonal.to(dtype), v.to(dtype))
    return GaussianProblem(ar1_covariance(8, 0.9), h, errors, dense)


def ar1_with_a_bias(length: int = 12, a: float = 0.9) -> GaussianProblem:
    """AR(1) observed at every other state, with errors that all share a bias."""
    h = torch.eye(length, dtype=torch.float64)[::2]
    diagonal, v = tensor([0.05] * len(h)), tensor([[0.5]] * len(h))
    errors = lambda dtype: LowRankCovariance(diagonal.to(dtype), v.to(dtype))
    return GaussianProblem(ar1_covariance(length, a), h, errors, torch.diag(diagonal) + v @ v.mT)
