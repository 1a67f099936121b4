"""Noise that depends on what it is for, not on how work is batched."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: Streams that a stream can be split into.
_STREAMS = 1 << 24
#: Draw number (0 is the start of the reverse process) -> unit normal noise for every row.
NoiseSource = Callable[[int], Tensor]


def generator_for(*identity: int) -> torch.Generator:
    """A CPU generator seeded by non-negative integers, such as (seed, member, state).

    Torch's generator has 32 bits of seed: among some ten thousand streams two may be alike.
    """
    state = np.random.SeedSequence(identity).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 32 | int(state[1]))


def blanket_noise(
    seed: int,
    members: range,
    states: range,
    shape: tuple[int, ...],
    device: torch.device,
    *purpose: int,
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
        purpose: Tells streams of one run apart.

    Returns:
        (members, states, *shape) float32.
    """
    rows = [
        torch.stack(
            [torch.randn(shape, generator=generator_for(seed, m, s, *purpose)) for s in states]
        )
        for m in members
    ]
    return torch.stack(rows).to(device)


@dataclass(frozen=True)
class KeyedNoise:
    """Noise of trajectories as a function of (seed, member, state, draw).

    Streams are told apart by 128 bits, so that no two of a long run are alike by chance.

    Args:
        seed: Seed of the run.
        members: Member of every row.
        states: First state of every row: a non-negative position in time, so that trajectories
            that overlap in time share their noise.
        length: States of a trajectory.
        shape: Shape of one state.
        device: Where the noise is needed.
        purpose: Tells streams of one run apart.
        paired: The noise of an odd member is that of the even one before it with its sign turned
            (antithetic variates, Hammersley and Morton 1956).
    """

    seed: int
    members: Sequence[int]
    states: Sequence[int]
    length: int
    shape: tuple[int, ...]
    device: torch.device
    dtype: torch.dtype = torch.float32
    purpose: int = 0
    paired: bool = False

    def __call__(self, draw: int) -> Tensor:
        """(rows, length, *shape) unit normal noise."""
        rows = np.empty((len(self.members), self.length, math.prod(self.shape)), np.float32)
        for row, (member, first) in enumerate(zip(self.members, self.states, strict=True)):
            for i in range(self.length):
                own = member - member % 2 if self.paired else member
                identity = (self.seed, own, first + i, draw, self.purpose)
                stream = np.random.Generator(np.random.Philox(np.random.SeedSequence(identity)))
                stream.standard_normal(dtype=np.float32, out=rows[row, i])
            if self.paired and member % 2:
                rows[row] *= -1
        whole = torch.from_numpy(rows).reshape(*rows.shape[:2], *self.shape)
        return whole.to(self.device, self.dtype)

    def rows(self, index: Sequence[int]) -> KeyedNoise:
        """The noise of some rows."""
        return self._with(
            members=[self.members[i] for i in index], states=[self.states[i] for i in index]
        )

    def window(self, states: range, purpose: int) -> KeyedNoise:
        """The noise of another stream, of those of this one, for some states of trajectories."""
        return self._with(
            states=[first + states.start for first in self.states],
            length=len(states),
            purpose=self.purpose * _STREAMS + purpose,
        )

    def _with(self, **changes: Any) -> KeyedNoise:
        return KeyedNoise(**{**vars(self), **changes})


@dataclass(frozen=True)
class PooledNoise:
    """Noise of many small rows from few generators: the first `count` of a row of draws.

    A row's noise depends on (seed, row, draw) alone; rows come in pages of fixed size, so that
    more rows leave those before as they are.

    Args:
        seed: Seed of the run.
        index: Which rows.
        length: States of a trajectory.
        shape: Shape of one state.
        dtype: Precision.
        purpose: Tells streams of one run apart.
    """

    seed: int
    index: Tensor
    length: int
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float64
    purpose: int = 0
    page: int = 4096

    def __call__(self, draw: int) -> Tensor:
        """(rows, length, *shape) unit normal noise."""
        pages = torch.div(self.index, self.page, rounding_mode="floor")
        out = torch.empty(len(self.index), self.length, *self.shape, dtype=self.dtype)
        for number in sorted(set(pages.tolist())):
            generator = generator_for(self.seed, number, draw, self.purpose)
            values = torch.randn(
                self.page, self.length, *self.shape, dtype=self.dtype, generator=generator
            )
            here = pages == number
            out[here] = values[self.index[here] % self.page]
        return out

    def rows(self, index: Sequence[int]) -> PooledNoise:
        """The noise of some rows."""
        return self._with(index=self.index[torch.as_tensor(index)])

    def window(self, states: range, purpose: int) -> PooledNoise:
        """The noise of another stream, of those of this one, for some states of trajectories."""
        stream = self.purpose * _STREAMS + purpose
        return self._with(length=len(states), purpose=stream * 1_000_003 + states.start + 1)

    def _with(self, **changes: Any) -> PooledNoise:
        return PooledNoise(**{**vars(self), **changes})
