"""What is learned, and the order in which samples come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from appa_core.nn.bases import Network

Batch = Mapping[str, Tensor]
#: Iteration, and positions within its batch.
_Part = tuple[int, Sequence[int]]


class Lesson(Protocol):
    """A network to train, its data and its loss.

    Everything random is a function of (seed, iteration, position within the iteration's batch),
    so that neither a resumed training nor another number of processes sees other samples.
    """

    @property
    def batch_size(self) -> int:
        """Samples of an iteration, over all processes."""
        ...

    @property
    def held_out(self) -> int:
        """Samples of the validation."""
        ...

    @property
    def objective(self) -> str:
        """The score that should fall."""
        ...

    def network(self) -> Network:
        """The network before its first iteration."""
        ...

    def batch(self, iteration: int, positions: Sequence[int]) -> Batch:
        """Some samples of an iteration, on the CPU."""
        ...

    def describe(self, iteration: int, positions: Sequence[int]) -> str:
        """Which data these samples are, for messages."""
        ...

    def loss(self, network: torch.nn.Module, batch: Batch) -> Tensor:
        """Mean loss of samples."""
        ...

    def held_out_batch(self, positions: Sequence[int]) -> Batch:
        """Some samples of the validation, on the CPU."""
        ...

    def errors(self, network: torch.nn.Module, batch: Batch) -> Tensor:
        """Errors of every sample, (N, S); they are averaged over samples."""
        ...

    def scores(self, errors: Sequence[float]) -> Mapping[str, float]:
        """Scores by name from mean errors (S,)."""
        ...


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox([seed, epoch])).permutation(count)


def shuffled(count: int, seed: int, number: int) -> int:
    """The sample that comes at some number of the stream: every one once in each epoch."""
    epoch, within = divmod(number, count)
    return int(_order(count, seed, epoch)[within])


def sample_generator(*identity: int) -> np.random.Generator:
    """A generator for one sample, such as (seed, iteration, position)."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(identity)))


@dataclass(frozen=True)
class _Parts(Sampler[_Part]):
    """The parts that a process reads: `micro` consecutive positions of its share at a time."""

    iterations: range
    share: range
    micro: int

    def __iter__(self) -> Iterator[_Part]:
        for iteration in self.iterations:
            for low in range(self.share.start, self.share.stop, self.micro):
                yield iteration, range(low, low + self.micro)

    def __len__(self) -> int:
        return len(self.iterations) * (len(self.share) // self.micro)


class _Samples(Dataset[Batch]):
    def __init__(self, lesson: Lesson) -> None:
        self._lesson = lesson

    def __getitem__(self, part: _Part) -> Batch:
        return self._lesson.batch(*part)


def read_ahead(
    lesson: Lesson, iterations: range, share: range, micro: int, workers: int
) -> Iterator[Batch]:
    """Micro-batches of a process in order, read ahead by worker processes if there are any.

    Args:
        lesson: Reads them.
        iterations: Which iterations.
        share: Positions of the batch that this process handles.
        micro: Samples of a micro-batch; divides the share.
        workers: Reading processes.
    """
    loader = DataLoader(
        _Samples(lesson),
        batch_size=None,
        sampler=_Parts(iterations, share, micro),
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        generator=torch.Generator(),  # the global one is left alone
    )
    yield from loader
