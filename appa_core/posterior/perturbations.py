"""Unit normal controls and errors of each row, from the row's own noise."""

from __future__ import annotations

import torch
from torch import Tensor

from appa_core.posterior.task import PosteriorTask


def unit_controls(task: PosteriorTask, shape: tuple[int, ...], purpose: int) -> Tensor:
    """Controls (B, L, width) for a shape (L, width)."""
    states, width = shape
    stream = task.noise.window(range(task.length), purpose)
    draws = [stream(0)[:, :states].reshape(len(task), states, -1)]
    while sum(d.shape[2] for d in draws) < width:
        draws.append(stream(len(draws))[:, :states].reshape(len(task), states, -1))
    return torch.cat(draws, dim=2)[:, :, :width]


def unit_errors(task: PosteriorTask, like: Tensor, purpose: int) -> Tensor:
    """Errors (B, M) of unit variance, zero where a row has no observation."""
    width = like.shape[1]
    if not width:
        return like
    stream = task.noise.window(range(task.length), purpose)
    draws = [stream(0).flatten(1)]
    while sum(d.shape[1] for d in draws) < width:
        draws.append(stream(len(draws)).flatten(1))
    errors = torch.cat(draws, dim=1)[:, :width].to(like)
    return errors if task.observation.used is None else errors * task.observation.used
