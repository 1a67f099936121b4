"""Ensembles of trajectories in pieces, read a few states at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from appa_core.errors import IntegrityError
from appa_core.io.store import Artifact
from appa_core.io.tensors import load_tensors

LATENTS = "latents.safetensors"
#: Names of the tensor in a piece: of latents, or of standardised states.
OF_LATENTS, OF_STATES = "latents", "states"


@dataclass(frozen=True)
class Piece:
    """Consecutive states of some members.

    Args:
        first: State of the trajectory that it begins with.
        count: How many.
        artifact: Holds them, (members, n, ...).
        skip: Where they begin in it.
    """

    first: int
    count: int
    artifact: Artifact
    skip: int = 0

    def read(self, states: range) -> Tensor:
        """Those of some states that it holds, (members, n, ...)."""
        low = max(states.start, self.first) - self.first + self.skip
        high = min(states.stop, self.first + self.count) - self.first + self.skip
        with self.artifact.verify().local() as folder:
            (values,) = load_tensors(folder / LATENTS).values()
        return values[:, low:high]


@dataclass(frozen=True)
class DrawnMembers:
    """Trajectories of some members.

    Args:
        members: Which.
        pieces: In order of time, without gaps.
    """

    members: range
    pieces: tuple[Piece, ...]

    def read(self, states: range) -> Tensor:
        """Some states, (members, len(states), ...), latents or standardised states.

        Raises:
            IntegrityError: Pieces do not hold them all.
        """
        found = [
            piece.read(states)
            for piece in self.pieces
            if piece.first < states.stop and piece.first + piece.count > states.start
        ]
        values = torch.cat(found, dim=1) if found else torch.zeros(len(self.members), 0)
        if values.shape[1] != len(states):
            raise IntegrityError(
                f"states {states.start} to {states.stop - 1} of members {self.members.start} to "
                f"{self.members.stop - 1} are not all there; remove the store's folders of these "
                "members and run the command again"
            )
        return values


def cut(pieces: Iterable[Piece], states: range) -> tuple[Piece, ...]:
    """Pieces of some states of a trajectory, which count from 0 again."""
    found = []
    for piece in pieces:
        first = max(piece.first, states.start)
        stop = min(piece.first + piece.count, states.stop)
        if first < stop:
            skip = piece.skip + first - piece.first
            found.append(Piece(first - states.start, stop - first, piece.artifact, skip))
    return tuple(found)


@dataclass(frozen=True)
class DrawnEnsemble:
    """Trajectories of all members.

    Args:
        times: Valid times of the states.
        batches: Members, in order.
    """

    times: pd.DatetimeIndex
    batches: tuple[DrawnMembers, ...]

    @property
    def members(self) -> int:
        """How many there are."""
        return sum(len(batch.members) for batch in self.batches)

    @property
    def parents(self) -> dict[str, str]:
        """Keys of all pieces, by role."""
        return {
            f"members{batch.members.start}-states{p.first}": f"{p.artifact.key}+{p.skip}"
            for batch in self.batches
            for p in batch.pieces
        }

    def blocks(self, size: int, overlap: int = 0) -> Iterator[range]:
        """All states in pieces of a size, each followed by some states of the next."""
        for low in range(0, len(self.times), size):
            yield range(low, min(low + size + overlap, len(self.times)))

    def between(self, states: range, times: pd.DatetimeIndex) -> DrawnEnsemble:
        """Some states, with their valid times."""
        batches = (DrawnMembers(b.members, cut(b.pieces, states)) for b in self.batches)
        return DrawnEnsemble(times, tuple(batches))

    def each(self, states: range) -> Iterator[Tensor]:
        """Some states of one member after the other, (len(states), ...) each."""
        for batch in self.batches:
            yield from batch.read(states)
