"""Noise that depends on what it is for, not on how work is batched."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def generator_for(*identity: int) -> torch.Generator:
    """A CPU generator seeded by non-negative integers, such as (seed, member, state)."""
    state = np.random.SeedSequence(identity).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 32 | int(state[1]))


def blanket_noise(
    seed: int, members: range, states: range, shape: tuple[int, ...], device: torch.device
) -> Tensor:
    """Unit normal noise for members x states.

    Each state's noise is a function of (seed, member, state) alone, so that more members or
    another batching leave it as it is; it is drawn on the CPU, so that devices agree.

    Args:
        seed: Seed of the run.
        members: Members of the ensemble.
        states: Non-negative positions in time.
        shape: Shape of one latent.
        device: Where the result is needed.

    Returns:
        (members, states, *shape) float32.
    """
    rows = [
        torch.stack([torch.randn(shape, generator=generator_for(seed, m, s)) for s in states])
        for m in members
    ]
    return torch.stack(rows).to(device)
