"""One stretch of a trajectory, given the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from appa_core.diffusion.denoiser import Condition
from appa_core.errors import InputError
from appa_core.guidance.observation import Observation
from appa_core.posterior.task import PosteriorTask


@dataclass(frozen=True)
class Window:
    """Consecutive states of a trajectory, some of which are given.

    Args:
        first: First state.
        states: How many.
        given: Positions within the window that are given, as they are in the trajectory.
    """

    first: int
    states: int
    given: tuple[int, ...]

    @property
    def stop(self) -> int:
        """State before which it ends."""
        return self.first + self.states

    @property
    def leading(self) -> int:
        """Given states at its beginning."""
        return next((i for i in range(self.states) if i not in self.given), self.states)


def chain_windows(length: int, blanket: int, known: int) -> list[Window]:
    """Blankets one after the other, each given the last `known` states before its own."""
    windows = [Window(0, blanket, ())]
    drawn = blanket
    while drawn < length:
        first = min(drawn - known, length - blanket)
        windows.append(Window(first, blanket, tuple(range(drawn - first))))
        drawn = first + blanket
    return windows


def reversed_windows(length: int, windows: list[Window], blanket: int) -> list[Window]:
    """The same windows, backwards in time."""
    return [
        Window(length - w.stop, blanket, tuple(sorted(blanket - 1 - g for g in w.given)))
        for w in windows
    ]


def sweep_windows(length: int, blanket: int, known: int, shift: int) -> list[Window]:
    """Blankets given `known` states at either side, whose insides cover the trajectory.

    Args:
        length: L.
        blanket: K.
        known: Given states at each side that has neighbours.
        shift: Moves the windows, so that states at the rim of one sweep lie inside in the next.
    """
    step = blanket - 2 * known
    firsts = {0, length - blanket}
    firsts |= {f for f in range(shift % step - known, length, step) if 0 <= f <= length - blanket}
    ordered = sorted(firsts)
    for a, b in pairwise(ordered):  # insides must meet
        firsts |= set(range(a + step, b, step))
    windows = []
    for first in sorted(firsts):
        left = range(known) if first > 0 else range(0)
        right = range(blanket - known, blanket) if first + blanket < length else range(0)
        windows.append(Window(first, blanket, (*left, *right)))
    return windows


def window_task(
    task: PosteriorTask, window: Window, x: Tensor, drawn: Tensor, purpose: int
) -> PosteriorTask:
    """The task of drawing a window.

    Args:
        task: Of the whole trajectory.
        window: Which states.
        x: Trajectories so far, (B, L, *S).
        drawn: Whether each state has a value, (L,); observations of others wait.
        purpose: Number of the stream of noise.
    """
    states = range(window.first, window.stop)
    here = slice(window.first, window.stop)
    told = task.condition.states(here)
    mask = told.mask.clone()
    mask[:, list(window.given)] = 1
    known = torch.where(told.mask > 0, told.known, x[:, here]) * mask
    doubt = None if told.doubt is None else told.doubt * told.mask  # draws are given as they are
    return replace(
        task,
        condition=Condition(known, mask, told.context, doubt),
        observation=observation_of(task.observation, window, x, drawn),
        noise=task.noise.window(states, purpose),
    )


def observation_of(
    observation: Observation, window: Window, x: Tensor, drawn: Tensor
) -> Observation:
    """The observations that inform a window, as functions of its states.

    Operators with a method `window(first, stop)` say themselves which observations depend on no
    other state. For any other operator that is found by probing its derivative, and it is applied
    to whole trajectories with the window put in. Then observations of given states inform the
    window too, if their errors, which are known there, go together with those of its own.

    Raises:
        InputError: Errors go together across windows, and the operator is one of a window alone.
    """
    own: Any = getattr(observation.A, "window", None)
    if own is not None:
        operator, inside = own(window.first, window.stop)
        if window.leading:  # what these states read has been heard already
            inside = inside & ~own(window.first, window.first + window.leading)[1]
        inside = inside.expand(max(len(inside), len(observation.y)), -1)
        _require_independent(observation, inside)
        return _restricted(observation, operator, inside)
    if observation.empty:
        return observation
    after = drawn.clone()
    after[window.first : window.stop] = True
    free = [window.first + i for i in range(window.states) if i not in window.given]
    waiting = _depends(observation, x, (~after).nonzero().flatten().tolist())
    inside = _depends(observation, x, free) & ~waiting
    inside = observation.errors.coupled(inside) & ~waiting

    def inserted(part: Tensor) -> Tensor:
        whole = torch.cat([x[:, : window.first], part, x[:, window.stop :]], dim=1)
        return observation.A(whole)

    return _restricted(observation, inserted, inside)


def _require_independent(observation: Observation, inside: Tensor) -> None:
    used = inside if observation.used is None else inside & (observation.used > 0)
    outside = observation.errors.coupled(used) & ~used
    if outside.any():
        column = int(outside.nonzero()[0, 1])
        raise InputError(
            f"the error of observation {column} goes together with those of another window of the "
            "trajectory, which chains and sweeps of this operator cannot account for; draw with "
            "the layout `fold` and no sweeps, or give independent errors"
        )


def _restricted(observation: Observation, operator: Any, inside: Tensor) -> Observation:
    used = inside.to(observation.y.dtype)
    if observation.used is not None:
        used = used * observation.used
    y = observation.y.expand(len(used), -1)
    return replace(observation, A=operator, used=used, y=y)


def _depends(observation: Observation, x: Tensor, states: list[int]) -> Tensor:
    """Which observations depend on some states, (B, M).

    Derivatives are probed around two opposite trajectories that have no zeros, since those of a
    wind speed or of rain vanish at zero and on one side of it.
    """
    pattern = torch.sin(1e3 * torch.linspace(1, 2, x.numel(), dtype=x.dtype, device=x.device))
    around = pattern.reshape(x.shape)
    probe = torch.zeros_like(x)
    probe[:, states] = around[:, states].flip(0, 1)
    found = [observation.linearise(side).jvp(probe) != 0 for side in (around, -around)]
    return found[0] | found[1]
