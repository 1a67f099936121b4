"""Finding numerical failure at the step where it happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from appa_core.diffusion.samplers import MeanFunction
from appa_core.errors import NumericalError, StalledError

_REMEDIES = (
    "try more steps or solver iterations, leave the safeguard on, lower tweedie_below, use "
    "float32 instead of bfloat16, and check the observations' error variances and that the "
    "operator has a finite gradient"
)


@dataclass
class Watch:
    """A mean function that raises where it fails.

    Args:
        mean: Guided mean.
        labels: What to call each row.
        limit: Root mean square of a row's mean above which it has diverged, in standard
            deviations of the data.
        on_evaluation: Called after each evaluation.
        evaluations: How many there have been.
        each_step: Evaluations of a sampler's step.
    """

    mean: MeanFunction
    labels: Sequence[str]
    limit: float = 100.0
    on_evaluation: Callable[[], object] = lambda: None
    evaluations: int = 0
    each_step: int = 1

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        """The guided mean, checked.

        Raises:
            NumericalError: A row is not finite or has diverged, or its solver stalls.
        """
        self.evaluations += 1
        try:
            mean = self.mean(x_t, sigma)
        except StalledError as error:
            what = f"cannot be found, {error.solver} stalls,"
            raise self._failure(what, error.rows, sigma) from error
        size = mean.detach().flatten(1).float().square().mean(dim=1).sqrt()
        bad = (~(size <= self.limit)).nonzero()[:, 0].tolist()
        if bad:
            what = "diverged" if torch.isfinite(size[bad[0]]) else "is not finite"
            seen = f"root mean square {size[bad[0]].item():.3g}, "
            raise self._failure(what, bad, sigma, seen)
        self.on_evaluation()
        return mean

    def _failure(
        self, what: str, rows: Sequence[int], sigma: Tensor, seen: str = ""
    ) -> NumericalError:
        step = -(-self.evaluations // self.each_step)
        return NumericalError(
            f"{self.labels[rows[0]]}: the guided mean {what} at step {step} (evaluation "
            f"{self.evaluations}, sigma {sigma[rows[0]].item():.3g}, {seen}{len(rows)} of "
            f"{len(sigma)} rows); {_REMEDIES}"
        )
