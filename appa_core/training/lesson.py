"""What is learned, and the order in which samples come."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
#: Micro-batches that are read ahead by each reader.
_AHEAD = 2


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


def micro_batches(
    lesson: Lesson,
    iterations: range,
    share: range,
    micro: int,
    workers: int,
    *,
    has_idle_cores: bool = True,
) -> Generator[Batch, None, None]:
    """Micro-batches of a process in order, at most a few of them in memory.

    They are read while others are learned: in a thread, or in processes of their own, which pay
    where Python's part of the reading is large. Where the network itself keeps all cores busy a
    thread beside it would cost more than it saves, for operations wait for their slowest core:
    each is then read when it is its turn.

    Args:
        lesson: Reads them.
        iterations: Which iterations.
        share: Positions of the batch that this process handles.
        micro: Samples of a micro-batch; divides the share.
        workers: Reading processes; 0: none.
        has_idle_cores: Whether a thread may read ahead where there is no process for it.
    """
    parts = _Parts(iterations, share, micro)
    if not workers:
        inner = _read_by_a_thread if has_idle_cores else _read_in_turn
        yield from inner(lesson, parts)
        return
    yield from DataLoader(
        _Samples(lesson),
        batch_size=None,
        sampler=parts,
        num_workers=workers,
        prefetch_factor=_AHEAD,
        generator=torch.Generator(),  # the global one is left alone
    )


def _read_in_turn(lesson: Lesson, parts: _Parts) -> Generator[Batch, None, None]:
    for part in parts:
        yield lesson.batch(*part)


def _read_by_a_thread(lesson: Lesson, parts: _Parts) -> Generator[Batch, None, None]:
    reader = ThreadPoolExecutor(1, "read-ahead")
    ahead: deque[Future[Batch]] = deque()
    try:
        for part in parts:
            ahead.append(reader.submit(lesson.batch, *part))
            if len(ahead) > _AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        reader.shutdown(cancel_futures=True)
