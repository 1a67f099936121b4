"""Finding numerical failure at the step where it happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from appa_core.diffusion.samplers import MeanFunction
from appa_core.errors import NumericalError

_REMEDIES = (
    "try more steps or solver iterations, leave the safeguard on, lower tweedie_below, use "
    "float32 instead of bfloat16, and check the observations' error variances"
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
    """

    mean: MeanFunction
    labels: Sequence[str]
    limit: float = 100.0
    on_evaluation: Callable[[], object] = lambda: None
    evaluations: int = 0

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        """The guided mean, checked.

        Raises:
            NumericalError: A row is not finite or has diverged.
        """
        self.evaluations += 1
        mean = self.mean(x_t, sigma)
        size = mean.detach().flatten(1).float().square().mean(dim=1).sqrt()
        bad = ~(size <= self.limit)
        if bad.any():
            row = int(bad.nonzero()[0])
            what = "diverged" if torch.isfinite(size[row]) else "is not finite"
            raise NumericalError(
                f"{self.labels[row]}: the guided mean {what} at evaluation {self.evaluations} "
                f"(sigma {sigma[row].item():.3g}, root mean square {size[row].item():.3g}, "
                f"{int(bad.sum())} of {len(bad)} rows); {_REMEDIES}"
            )
        self.on_evaluation()
        return mean
