"""Trajectories of any length, stretch by stretch, in the memory of one stretch.

A stretch is given the last states that stay of the one before and draws the next, in the light of
its own observations, some of which lie beyond the states that stay:

    p(x | y) = prod_i p(next states | last known states, y)
             ~ prod_i p(next states | last known states, y of the stretch),

which is exact for a process of Markov order `known_states`, up to what observations beyond the
stretch say of states that stay: fixed-lag smoothing. No state is a mean of two drawings, so that
increments from one stretch to the next are those of the process.

References:
    Cohn et al. 1994, A fixed-lag Kalman smoother for retrospective data assimilation.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from appa_core.blankets import RelayPlan
from appa_core.diffusion.denoiser import Condition
from appa_core.errors import InputError
from appa_core.posterior.task import Method, PosteriorTask
from appa_core.posterior.windows import Window, window_task

#: Stream of the noise that known states carry; stretches have theirs from 0.
_DOUBTS = 1 << 20


def given_first(task: PosteriorTask, known: Tensor, doubt: float = 0.0) -> PosteriorTask:
    """The task with its first states given.

    Args:
        task: Of a stretch.
        known: (B, n, *S) with n of 0 or more.
        doubt: Standard deviation of noise that is put on them and told to the denoiser: drawn
            states are not the truth.

    Raises:
        InputError: Nothing is left to draw.
    """
    count, condition = known.shape[1], task.condition
    if count >= task.length:
        raise InputError(f"{count} states are given of a stretch of {task.length}")
    if not count:
        return task
    mask, values = condition.mask.clone(), condition.known.clone()
    mask[:, :count] = 1
    values[:, :count] = known
    return doubted(replace(task, condition=Condition(values, mask, condition.context)), doubt)


def doubted(task: PosteriorTask, doubt: float) -> PosteriorTask:
    """The task with noise on its given states, of which the denoiser is told."""
    if not doubt:
        return task
    condition = task.condition
    noise = task.noise.window(range(task.length), _DOUBTS)(0)
    known = condition.known + doubt * condition.mask * noise
    told = torch.full_like(condition.mask, doubt)
    return replace(task, condition=Condition(known, condition.mask, condition.context, told))


def draw_relay(task: PosteriorTask, method: Method, plan: RelayPlan, doubt: float = 0.0) -> Tensor:
    """Draw trajectories stretch by stretch.

    Args:
        task: Of the whole trajectories; its operator has a method `window`, or depends on states
            in a way that derivatives show.
        method: Draws one stretch.
        plan: Stretches.
        doubt: Noise on states that a stretch is given.

    Returns:
        (B, L, *S).
    """
    x = task.condition.known.clone()
    drawn = torch.zeros(task.length, dtype=torch.bool)
    for number, stretch in enumerate(plan.stretches):
        window = Window(stretch.first, stretch.stop - stretch.first, tuple(range(stretch.given)))
        # states ahead are drawn again: with noise of their own, or they would know of it
        part = window_task(task, window, x, drawn, purpose=number)
        new = method.draw(doubted(part, doubt))
        x[:, stretch.drawn] = new[:, stretch.given : stretch.keep - stretch.first]
        drawn[stretch.drawn] = True
    return x
