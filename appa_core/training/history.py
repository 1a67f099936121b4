"""What a training has seen so far: losses, scores, and the best weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

_LOSSES = "history/losses"
_BEST = "best/"


@dataclass
class History:
    """Losses and validations of a training.

    Args:
        losses: Of every iteration.
        validations: Iteration and scores, in order.
        best: The lowest objective so far, and the position of its validation.
        best_weights: Averaged weights of that validation, if they are wanted.
    """

    losses: list[float] = field(default_factory=list)
    validations: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    best: tuple[float, int] | None = None
    best_weights: dict[str, Tensor] | None = None

    @property
    def scores(self) -> Mapping[str, float]:
        """Those of the last validation."""
        return self.validations[-1][1] if self.validations else {}

    def add(self, iteration: int, scores: Mapping[str, float], objective: float) -> bool:
        """Note a validation; returns whether it is the best so far."""
        self.validations.append((iteration, dict(scores)))
        is_better = self.best is None or objective < self.best[0]
        if is_better:
            self.best = (objective, len(self.validations) - 1)
        return is_better

    def is_stale(self, patience: int | None) -> bool:
        """Whether the last `patience` validations brought nothing better."""
        if patience is None or self.best is None:
            return False
        return len(self.validations) - 1 - self.best[1] >= patience

    def curve(self) -> Mapping[str, Any]:
        """Losses and validations, for a file."""
        return {"losses": self.losses, "validations": self.validations}

    def summary(self) -> Mapping[str, Any]:
        """What is small, JSON-compatible."""
        return {"validations": self.validations, "best": self.best}

    def state_dict(self) -> dict[str, Tensor]:
        """What is large, as named tensors."""
        flat = {_LOSSES: torch.tensor(self.losses, dtype=torch.float64)}
        return flat | {f"{_BEST}{n}": w for n, w in (self.best_weights or {}).items()}

    @classmethod
    def of(cls, summary: Mapping[str, Any], state: Mapping[str, Tensor]) -> History:
        """The history that gave `summary` and `state_dict`."""
        weights = {k.removeprefix(_BEST): v for k, v in state.items() if k.startswith(_BEST)}
        best = summary["best"]
        return cls(
            losses=state[_LOSSES].tolist(),
            validations=[(int(i), dict(s)) for i, s in summary["validations"]],
            best=None if best is None else (float(best[0]), int(best[1])),
            best_weights=weights or None,
        )
