"""Observations y = A(x) + e of trajectories, with e of known covariance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from appa_core.diffusion.trajectory import NetworkCost
from appa_core.errors import DataError
from appa_core.guidance.covariance import Covariance

#: Trajectories (B, L, ...) to what would be observed (B, M). Rows must not depend on each other.
#: Where rows have operators of their own, it has a method `rows(index)` that returns the operator
#: of some rows; without one, it serves every row.
Operator = Callable[[Tensor], Tensor]

_NO_GRADIENT = (
    "the operator's result does not depend on the trajectory through torch, so it has no "
    "gradient; write it with torch functions or use the method es-mda"
)


@dataclass(frozen=True)
class LinearisedOperator:
    """An operator around a trajectory.

    Args:
        value: A(x), (B, M).
        jvp: Changes of the trajectory (B, L, ...) to changes of the observations (B, M).
        vjp: The transposed map, (B, M) to (B, L, ...).
    """

    value: Tensor
    jvp: Callable[[Tensor], Tensor]
    vjp: Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What was observed of each trajectory of a batch.

    Args:
        y: Observed values, (B, M) or (1, M) where all rows share them. M may be zero.
        A: What would be observed of trajectories.
        cov_y: Covariance of the errors.
        used: 0 where a row has fewer than M observations, (B, M) or (1, M); None: all count.
            `y` needs values of any finite kind there. What is not used is left out with its error,
            whatever that goes together with.
        cost: Where evaluations are counted.
    """

    y: Tensor
    A: Operator
    cov_y: Covariance
    used: Tensor | None = None
    cost: NetworkCost = field(default_factory=NetworkCost, compare=False)

    def __post_init__(self) -> None:
        if self.y.ndim != 2:
            raise DataError(
                f"y must have shape (rows, observations), it has {tuple(self.y.shape)}"
            )
        if not torch.isfinite(self.y).all():
            row, column = (~torch.isfinite(self.y)).nonzero()[0].tolist()
            raise DataError(
                f"observation {column} of row {row} is not finite; drop it or mark it with `used`"
            )

    @property
    def count(self) -> Tensor:
        """Observations of each row, (B,)."""
        if self.used is None:
            return torch.full((len(self.y),), self.y.shape[1], device=self.y.device)
        return self.used.sum(dim=-1)

    @cached_property
    def errors(self) -> Covariance:
        """Covariance of the errors of what is used."""
        return self.cov_y if self.used is None else self.cov_y.marginal(self.used)

    @property
    def empty(self) -> bool:
        """Whether no row has any observation."""
        return not bool((self.count > 0).any())

    def rows(self, index: Tensor) -> Observation:
        """The observation of some rows of the batch."""
        rows: Any = getattr(self.A, "rows", None)
        return replace(
            self,
            y=_pick(self.y, index),
            A=rows(index) if rows else self.A,
            cov_y=self.cov_y.rows(index),
            used=None if self.used is None else _pick(self.used, index),
        )

    def _mask(self, v: Tensor) -> Tensor:
        return v if self.used is None else v * self.used

    def residual(self, observed: Tensor) -> Tensor:
        """Y - A(x), zero where there is no observation."""
        if observed.shape[1:] != self.y.shape[1:]:
            raise DataError(
                f"the operator gives {tuple(observed.shape[1:])} values for each trajectory, "
                f"y holds {tuple(self.y.shape[1:])}"
            )
        return self._mask(self.y - observed)

    def predict(self, x: Tensor) -> Tensor:
        """A(x), (B, M)."""
        self.cost.operator_forward += len(x)
        return self.A(x)

    def linearise(self, x: Tensor) -> LinearisedOperator:
        """The operator around trajectories (B, L, ...).

        Raises:
            DataError: The operator is not differentiable.
        """
        leaf = x.detach().requires_grad_()
        try:
            with torch.enable_grad():
                value = self.predict(leaf)
        except RuntimeError as error:
            if "requires grad" in str(error):  # numpy() of a tensor that is being differentiated
                raise DataError(_NO_GRADIENT) from error
            raise
        if not value.requires_grad:
            raise DataError(_NO_GRADIENT)

        def vjp(v: Tensor) -> Tensor:
            self.cost.operator_vjp += len(v)
            (out,) = torch.autograd.grad(value, leaf, self._mask(v), retain_graph=True)
            return out

        return LinearisedOperator(value.detach(), self._jvp_of(value, leaf), vjp)

    def _jvp_of(self, value: Tensor, leaf: Tensor) -> Callable[[Tensor], Tensor]:
        """J v as the derivative of u -> J^T u, which the first product sets up."""
        transposed: list[tuple[Tensor, Tensor]] = []

        def jvp(v: Tensor) -> Tensor:
            if not transposed:
                probe = torch.zeros_like(value, requires_grad=True)
                (pulled,) = torch.autograd.grad(value, leaf, probe, create_graph=True)
                transposed.append((probe, pulled))
                self.cost.operator_vjp += len(v)
            ((probe, pulled),) = transposed
            self.cost.operator_jvp += len(v)
            (out,) = torch.autograd.grad(pulled, probe, v, retain_graph=True)
            return self._mask(out)

        return jvp


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """Some rows, or the one that all share."""
    return values if len(values) == 1 else values[index]
