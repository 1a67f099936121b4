"""Covariances of observation errors, without their dense matrices where they have structure.

Every covariance acts on vectors (B, M), where its own leading axis is 1 (shared by all rows) or
B. With a factor L such that Sigma = L L^T it whitens errors: L^-1 e has unit covariance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from appa_core.errors import DataError


class Covariance(ABC):
    """Sigma = L L^T, symmetric and positive definite."""

    @abstractmethod
    def apply(self, v: Tensor) -> Tensor:
        """Sigma v, (B, M) to (B, M)."""

    @abstractmethod
    def colour(self, v: Tensor) -> Tensor:
        """L v: unit noise to errors."""

    @abstractmethod
    def whiten(self, v: Tensor) -> Tensor:
        """L^-1 v: errors to unit noise."""

    @abstractmethod
    def whiten_transposed(self, v: Tensor) -> Tensor:
        """L^-T v."""

    @abstractmethod
    def variance(self, like: Tensor) -> Tensor:
        """Diagonal of Sigma, as broadcast to `like` (B, M)."""

    @abstractmethod
    def rows(self, index: Tensor) -> Covariance:
        """The covariance of some rows of a batch."""

    @abstractmethod
    def marginal(self, used: Tensor) -> Covariance:
        """The covariance of the errors of some observations, the others left out.

        What is used keeps its own covariance, so that leaving out observations is the same as
        never having had them.

        Args:
            used: 0 or 1, (1 or B, M).

        Returns:
            As large as before: errors of the others have some variance and no correlation.
        """

    @abstractmethod
    def coupled(self, chosen: Tensor) -> Tensor:
        """Observations whose errors go together with those of any chosen one, itself included.

        Args:
            chosen: (1 or B, M), bool.

        Returns:
            (1 or B, M), bool.
        """

    @abstractmethod
    def dense(self, index: Tensor) -> Tensor:
        """The covariance of some observations as a matrix, (k, k), where all rows share it."""

    def solve(self, v: Tensor) -> Tensor:
        """Sigma^-1 v."""
        return self.whiten_transposed(self.whiten(v))


@dataclass(frozen=True)
class DiagonalCovariance(Covariance):
    """Independent errors.

    Args:
        variances: (M,), (1, M) or (B, M), positive; a scalar tensor serves all observations.
    """

    variances: Tensor

    def __post_init__(self) -> None:
        _require_positive(self.variances, "variances")

    @property
    def _std(self) -> Tensor:
        return self.variances.sqrt()

    def apply(self, v: Tensor) -> Tensor:
        """Sigma v."""
        return self.variances * v

    def colour(self, v: Tensor) -> Tensor:
        """L v."""
        return self._std * v

    def whiten(self, v: Tensor) -> Tensor:
        """L^-1 v."""
        return v / self._std

    def whiten_transposed(self, v: Tensor) -> Tensor:
        """L^-T v."""
        return v / self._std

    def variance(self, like: Tensor) -> Tensor:
        """Diagonal."""
        return self.variances.expand_as(like)

    def dense(self, index: Tensor) -> Tensor:
        """Some observations as a matrix."""
        return torch.diag(self.variances.flatten()[index])

    def rows(self, index: Tensor) -> DiagonalCovariance:
        """Some rows."""
        return DiagonalCovariance(pick_rows(self.variances, index, 1))

    def marginal(self, used: Tensor) -> DiagonalCovariance:  # noqa: ARG002
        """Independent errors stay as they are."""
        return self

    def coupled(self, chosen: Tensor) -> Tensor:
        """Each error is on its own."""
        return chosen


def scalar_covariance(variance: float, like: Tensor) -> DiagonalCovariance:
    """Independent errors of one variance, in the precision of `like`."""
    return DiagonalCovariance(torch.tensor(variance, dtype=like.dtype, device=like.device))


@dataclass(frozen=True)
class LowRankCovariance(Covariance):
    """diag(d) + V V^T: independent errors plus a few that many observations share.

    L = D^(1/2) (I + U (sqrt(1 + lambda) - 1) U^T), with U, lambda the eigenpairs of
    D^(-1/2) V V^T D^(-1/2).

    Args:
        diagonal: (M,) or (B, M), positive.
        factors: V, (M, R) or (B, M, R).
    """

    diagonal: Tensor
    factors: Tensor

    def __post_init__(self) -> None:
        _require_positive(self.diagonal, "the diagonal")
        if self.factors.shape[:-1] != self.diagonal.shape:
            raise DataError(
                f"factors of a covariance have shape (..., M, rank) over a diagonal (..., M); "
                f"these are {tuple(self.factors.shape)} over {tuple(self.diagonal.shape)}"
            )

    @cached_property
    def _modes(self) -> tuple[Tensor, Tensor]:
        scaled = self.factors / self.diagonal.sqrt()[..., None]
        u, s, _ = torch.linalg.svd(scaled, full_matrices=False)
        return u, s**2

    def _scale_modes(self, v: Tensor, gain: Tensor, u: Tensor) -> Tensor:
        inner = torch.einsum("...mr,...m->...r", u, v)
        return v + torch.einsum("...mr,...r->...m", u, (gain - 1) * inner)

    def apply(self, v: Tensor) -> Tensor:
        """Sigma v."""
        inner = torch.einsum("...mr,...m->...r", self.factors, v)
        return self.diagonal * v + torch.einsum("...mr,...r->...m", self.factors, inner)

    def colour(self, v: Tensor) -> Tensor:
        """L v."""
        u, lam = self._modes
        return self.diagonal.sqrt() * self._scale_modes(v, (1 + lam).sqrt(), u)

    def whiten(self, v: Tensor) -> Tensor:
        """L^-1 v."""
        u, lam = self._modes
        return self._scale_modes(v / self.diagonal.sqrt(), (1 + lam).rsqrt(), u)

    def whiten_transposed(self, v: Tensor) -> Tensor:
        """L^-T v."""
        u, lam = self._modes
        return self._scale_modes(v, (1 + lam).rsqrt(), u) / self.diagonal.sqrt()

    def variance(self, like: Tensor) -> Tensor:
        """Diagonal."""
        return (self.diagonal + self.factors.square().sum(-1)).expand_as(like)

    def dense(self, index: Tensor) -> Tensor:
        """Some observations as a matrix."""
        diagonal = self.diagonal.flatten()[index]
        factors = self.factors.reshape(-1, self.factors.shape[-1])[index]
        return torch.diag(diagonal) + factors @ factors.mT

    def rows(self, index: Tensor) -> LowRankCovariance:
        """Some rows."""
        return LowRankCovariance(
            pick_rows(self.diagonal, index, 1), pick_rows(self.factors, index, 2)
        )

    def marginal(self, used: Tensor) -> LowRankCovariance:
        """Without the factors of observations that are left out."""
        factors = self.factors * used[..., None]
        return LowRankCovariance(self.diagonal.expand(factors.shape[:-1]), factors)

    def coupled(self, chosen: Tensor) -> Tensor:
        """Factors join observations, also by way of others."""
        has = self.factors != 0
        found = chosen | torch.zeros(has.shape[:-1], dtype=torch.bool, device=has.device)
        while True:
            active = (has & found[..., None]).any(dim=-2, keepdim=True)
            more = found | (has & active).any(dim=-1)
            if torch.equal(more, found):
                return found
            found = more


def pick_rows(values: Tensor, index: Tensor, core: int) -> Tensor:
    """Rows of a tensor whose last `core` axes are one row, if it has an axis of rows."""
    if values.ndim <= core or values.shape[0] == 1:
        return values
    return values[index]


def _require_positive(values: Tensor, what: str) -> None:
    if not (values > 0).all():
        raise DataError(
            f"{what} of observation errors must be positive; the least is {values.min().item():g}"
        )
