"""What is asked of every method: draw from p(trajectory | observations)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, Self

import torch
from torch import Tensor

from appa_core.diffusion.denoiser import Condition
from appa_core.diffusion.trajectory import BlanketDenoiser, NetworkCost
from appa_core.errors import InputError, NumericalError
from appa_core.guidance.observation import Observation
from appa_core.posterior.background import Background
from appa_core.posterior.localisation import Places


class RowNoise(Protocol):
    """Unit normal noise of every row, by draw, that does not depend on the batch."""

    def __call__(self, draw: int) -> Tensor:
        """(B, L, *S)."""
        ...

    def rows(self, index: Sequence[int]) -> Self:
        """The noise of some rows."""
        ...

    def window(self, states: range, purpose: int) -> Self:
        """Another stream of noise, for some states of every trajectory."""
        ...


@dataclass(frozen=True)
class Climatology:
    """Draws of the prior, as states, for methods that know no latents.

    Args:
        ensemble: Blankets of standardised states, (N, K, C, H, W).
        places: Where their values lie, and the observations of the task.
    """

    ensemble: Tensor
    places: Places

    def around(self, states: range, middle: int) -> tuple[Tensor, Tensor]:
        """Parts of blankets (N, len(states), ...) whose middle, (N, ...), stands for a state.

        Raises:
            InputError: Blankets do not reach so far.
        """
        first = self.ensemble.shape[1] // 2 - (middle - states.start)
        if first < 0 or first + len(states) > self.ensemble.shape[1]:
            raise InputError(
                f"blankets of {self.ensemble.shape[1]} states do not reach from state {middle} to "
                f"states {states.start} to {states.stop - 1}; lower the method's reach"
            )
        part = self.ensemble[:, first : first + len(states)]
        return part, part[:, middle - states.start]


@dataclass(frozen=True, kw_only=True)
class PosteriorTask:
    """Trajectories to draw: a batch of rows, members x dates, of L states each.

    Args:
        denoiser: The prior, E[x | x_t] of one blanket of K states.
        blanket_states: K.
        condition: Known states, their mask and the context of every row, each (B, L, ...).
        observation: What was observed, of B rows or one.
        noise: Noise of every row.
        group: Rows of one number share their observations: an ensemble, (B,).
        labels: What to call a row in messages.
        blankets_at_once: Most blankets in one call of the network: the memory budget.
        background: Gaussian prior, for variational methods.
        climatology: Draws of the prior, for optimal interpolation.
        dynamics: First states (B, n, *S) to trajectories (B, L, *S), for strong constraints; None:
            those that the denoiser has learned.
        on_evaluation: Called after every guided evaluation.
    """

    denoiser: BlanketDenoiser
    blanket_states: int
    condition: Condition
    observation: Observation
    noise: RowNoise
    group: Tensor
    labels: Sequence[str]
    blankets_at_once: int = 1 << 30
    background: Background | None = None
    climatology: Climatology | None = None
    dynamics: Callable[[Tensor], Tensor] | None = None
    on_evaluation: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        rows = len(self.condition.known)
        for what, count in (
            ("context", len(self.condition.context)),
            ("masks", len(self.condition.mask)),
            ("groups", len(self.group)),
            ("labels", len(self.labels)),
        ):
            if count != rows:
                raise InputError(f"a task of {rows} rows needs as many {what}; there are {count}")
        if len(self.observation.y) not in {1, rows}:
            raise InputError(
                f"a task of {rows} rows has observations of {len(self.observation.y)} rows; "
                "expected as many, or one that all share"
            )

    def __len__(self) -> int:
        """Rows."""
        return len(self.condition.known)

    @property
    def cost(self) -> NetworkCost:
        """Where evaluations are counted."""
        return self.observation.cost

    @property
    def length(self) -> int:
        """States L of a trajectory."""
        return self.condition.known.shape[1]

    def require_blanket(self) -> None:
        """Refuse trajectories that no blanket fits into.

        Raises:
            InputError: The trajectory is too short.
        """
        if self.length < self.blanket_states:
            raise InputError(
                f"a trajectory of {self.length} states is shorter than a blanket of "
                f"{self.blanket_states}; extend the period and drop what is not wanted"
            )

    def rows(self, index: Sequence[int]) -> PosteriorTask:
        """The task of some rows."""
        picks = torch.as_tensor(index)
        return replace(
            self,
            condition=self.condition.rows(picks),
            observation=self.observation.rows(picks),
            noise=self.noise.rows(list(index)),
            group=self.group[picks],
            labels=[self.labels[i] for i in index],
            background=self.background and self.background.rows(picks),
        )


class Method(Protocol):
    """A way to draw from a posterior."""

    @property
    def couples_members(self) -> bool:
        """Whether members of an ensemble depend on each other, so that it cannot be split."""
        ...

    def draw(self, task: PosteriorTask) -> Tensor:
        """Trajectories, (B, L, *S)."""
        ...


def draw_posterior(
    task: PosteriorTask,
    method: Method,
    *,
    rows_at_once: int | None = None,
    on_rows: Callable[[Sequence[int], Tensor], object] = lambda _rows, _x: None,
) -> Tensor:
    """Draw every row of a task, in batches of rows.

    Args:
        task: What to draw.
        method: How.
        rows_at_once: Most rows in one batch; all if None. It changes memory and speed, not what
            is drawn, to rounding.
        on_rows: Called with the rows and trajectories of each finished batch.

    Returns:
        (B, L, *S).

    Raises:
        NumericalError: A value is not finite, diverges or a solver stalls; the message gives the
            step, the noise level, the row and what to try.
        InputError: The method cannot serve the task.
    """
    pieces = []
    for rows in _batches(task, rows_at_once or len(task), coupled=method.couples_members):
        x = method.draw(task.rows(rows))
        if not torch.isfinite(x).all():
            bad = next(i for i, row in enumerate(x) if not torch.isfinite(row).all())
            raise NumericalError(f"{task.labels[rows[bad]]}: the result is not finite")
        on_rows(rows, x)
        pieces.append(x)
    return torch.cat(pieces)


def _batches(task: PosteriorTask, limit: int, *, coupled: bool) -> list[list[int]]:
    if not coupled:
        return [
            list(range(low, min(low + limit, len(task)))) for low in range(0, len(task), limit)
        ]
    groups = task.group.tolist()
    if any(b < a for a, b in pairwise(groups)):
        raise InputError("a method that couples members needs the rows of an ensemble together")
    batches: list[list[int]] = []
    for number in dict.fromkeys(groups):
        rows = [i for i, g in enumerate(groups) if g == number]
        if len(rows) > limit:
            raise InputError(
                f"this method draws the {len(rows)} members of an ensemble together, which is "
                f"more than the {limit} rows allowed at once; raise the limit or lower members"
            )
        if batches and len(batches[-1]) + len(rows) <= limit:
            batches[-1] += rows
        else:
            batches.append(rows)
    return batches
