"""Running a training as a chain of committed checkpoints."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any

import torch
from torch import Tensor

from appa_core.errors import InputError, NumericalError, ResourceError
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import save_tensors
from appa_core.steps.checkpoints import Checkpoints
from appa_core.steps.step import run_step
from appa_core.training.history import History
from appa_core.training.lesson import Batch, Lesson, micro_batches
from appa_core.training.parallel import Processes
from appa_core.training.settings import OptimiserSettings, RunSettings
from appa_core.training.trainer import NotFiniteError, Trainer

WEIGHTS = "weights.safetensors"
CURVE = "curve.json"
_HELD_OUT_BATCH = 16
_APPEARS_SECONDS, _LOOK_SECONDS = 90.0, 1.0


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """A training that can be stopped and continued at any time.

    Args:
        recipe: Identity of the trained weights.
        lesson: Network, data and loss.
        settings: How weights move.
        checkpoint_every: Iterations from one checkpoint, and validation, to the next.
        patience: Validations without a better score until training ends; None: never.
    """

    recipe: Recipe
    lesson: Lesson
    settings: OptimiserSettings
    checkpoint_every: int
    patience: int | None = None


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a training is.

    Args:
        iteration: Iterations done.
        total: Iterations in all.
        loss: Of the last iteration.
        norm: Of its gradient, before clipping.
        rate: Share of the peak learning rate.
        samples_per_second: Over the last iteration.
        scores: Of a validation, if there was one.
    """

    iteration: int
    total: int
    loss: float
    norm: float
    rate: float
    samples_per_second: float
    scores: Mapping[str, float]


Observer = Callable[[Progress], object]


def run_training(
    store: ArtifactStore,
    job: TrainingJob,
    *,
    run: RunSettings | None = None,
    processes: Processes | None = None,
    observe: Observer | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Artifact | None:
    """Train, from the last whole checkpoint if there is one.

    Args:
        store: Where checkpoints and the result are kept; old checkpoints are removed.
        job: What to train.
        run: What to train on.
        processes: This process among those that train together; all call this function.
        observe: Told of every iteration.
        should_stop: Asked after every iteration; if any process says so, a checkpoint is written.

    Returns:
        An artifact with the averaged weights and their validation scores; None if stopped.

    Raises:
        InputError: The batch cannot be shared out.
        NumericalError: The loss is not finite; the last checkpoint stays.
        ResourceError: Memory did not suffice.
    """
    found = store.find(job.recipe)
    if found is not None:
        return found
    training = _Training(store, job, run or RunSettings(), processes or Processes())
    try:
        if not training.advance(observe or _watch_nothing, should_stop or _go_on):
            return None
        return training.finish()
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error).lower():
            raise
        raise ResourceError(
            f"memory did not suffice for {training.micro} samples at once in this process: lower "
            "--micro-batch first, then --recompute, then more processes with --sharding fsdp; the "
            f"last checkpoint stays ({error})"
        ) from error


def await_artifact(store: ArtifactStore, recipe: Recipe) -> Artifact:
    """An artifact that another process has committed; network file systems show it late.

    Raises:
        ResourceError: It does not appear.
    """
    end = monotonic() + _APPEARS_SECONDS
    while (found := store.find(recipe)) is None:
        if monotonic() >= end:
            raise ResourceError(
                f"{store.url} does not show {recipe.step} {recipe.key}, which was written: all "
                "nodes must see one store; look at its file system and run the command again"
            )
        sleep(_LOOK_SECONDS)
    return found


def _watch_nothing(_: Progress) -> None:
    return None


def _go_on() -> bool:
    return False


class _Training:
    def __init__(
        self, store: ArtifactStore, job: TrainingJob, run: RunSettings, processes: Processes
    ) -> None:
        self._store, self._job, self._run, self._processes = store, job, run, processes
        self._share, self.micro = _split(job.lesson.batch_size, run, processes)
        self._trainer = Trainer(
            job.lesson.network(),
            job.settings,
            seed=job.recipe.seed or 0,
            processes=processes,
            run=run,
        )
        self._history = History()
        self._checkpoints = Checkpoints(store, job.recipe, self._run.keep)
        self._resume()

    def advance(self, observe: Observer, should_stop: Callable[[], bool]) -> bool:
        """Train to the end; False if stopped before."""
        iterations = range(self._trainer.iteration, self._job.settings.iterations)
        with closing(self._batches(iterations)) as batches:
            return self._advance(batches, observe, should_stop)

    def _advance(
        self, batches: Iterator[Batch], observe: Observer, should_stop: Callable[[], bool]
    ) -> bool:
        job, trainer = self._job, self._trainer
        total, every = job.settings.iterations, job.checkpoint_every
        while trainer.iteration < total and not self._history.is_stale(job.patience):
            begun = perf_counter()
            loss, norm = self._step(batches)
            self._history.losses.append(loss)
            scores: Mapping[str, float] = {}
            is_due = trainer.iteration % every == 0 or trainer.iteration == total
            if is_due:
                scores = self._validate()
            (stop,) = self._processes.total([float(should_stop())])
            if is_due or stop:
                self._save_checkpoint()
            speed = job.lesson.batch_size / (perf_counter() - begun)
            share = job.settings.rate(trainer.iteration - 1)
            observe(Progress(trainer.iteration, total, loss, norm, share, speed, scores))
            if stop and trainer.iteration < total:
                return False
        return True

    def finish(self) -> Artifact:
        """Commit the averaged weights, or the best ones if training ends early."""
        weights = self._trainer.whole_average()
        best = self._history.best_weights
        if self._job.patience is not None and best is not None:
            weights = best

        def build(folder: Path) -> Mapping[str, Any]:
            save_tensors(folder / WEIGHTS, weights)
            (folder / CURVE).write_text(json.dumps(self._history.curve()), "utf-8")
            return {"iterations": self._trainer.iteration, "validation": self._history.scores}

        if self._processes.is_first:
            run_step(self._store, self._job.recipe, build)
        self._processes.total([0.0])
        return await_artifact(self._store, self._job.recipe)

    def _batches(self, iterations: range) -> Generator[Batch, None, None]:
        return micro_batches(
            self._job.lesson,
            iterations,
            self._share,
            self.micro,
            self._run.loader_workers,
            has_idle_cores=self._processes.device.type != "cpu",
        )

    def _step(self, batches: Iterator[Batch]) -> tuple[float, float]:
        parts = [next(batches) for _ in range(len(self._share) // self.micro)]
        try:
            return self._trainer.step(parts, self._job.lesson.loss)
        except NotFiniteError as error:
            which = self._job.lesson.describe(self._trainer.iteration, self._positions(error))
            raise NumericalError(
                f"{error}, with {which}; the last checkpoint stays: look at these data, or lower "
                "learning_rate in the preset and train again"
            ) from error

    def _positions(self, error: NotFiniteError) -> list[int]:
        """Those of the micro-batches to blame, in whichever process; all if none is."""
        every = range(self._job.lesson.batch_size)
        blamed = [every[i * self.micro : (i + 1) * self.micro] for i in error.parts]
        return [p for part in blamed or [every] for p in part]

    def _validate(self) -> Mapping[str, float]:
        lesson = self._job.lesson
        starts = range(0, lesson.held_out, _HELD_OUT_BATCH)
        sums: Tensor | None = None
        with self._trainer.averaged() as network:
            for low in range(0, len(starts), self._processes.world):
                # processes that have run out go along, for the sake of shared weights
                own = low + self._processes.rank
                start = starts[own] if own < len(starts) else starts[-1]
                positions = range(start, min(start + _HELD_OUT_BATCH, lesson.held_out))
                batch = lesson.held_out_batch(positions)
                here = {k: v.to(self._processes.device) for k, v in batch.items()}
                errors = lesson.errors(network, here).double().sum(dim=0).cpu()
                errors = errors * (own < len(starts))
                sums = errors if sums is None else sums + errors
        assert sums is not None
        totals = self._processes.total(sums.tolist())
        scores = lesson.scores([x / lesson.held_out for x in totals])
        better = self._history.add(self._trainer.iteration, scores, scores[lesson.objective])
        if better and self._job.patience is not None:
            self._history.best_weights = self._trainer.whole_average()
        return scores

    def _save_checkpoint(self) -> None:
        # all processes must ask for the state
        state = self._trainer.state_dict() | self._history.state_dict()
        if self._processes.is_first:
            self._checkpoints.save(self._trainer.iteration, state, self._history.summary())

    def _resume(self) -> None:
        iteration, state, summary = self._checkpoints.last_whole()
        self._require_agreement(iteration)
        if state:
            self._trainer.load_state_dict(state, iteration)
            self._history = History.of(summary, state)

    def _require_agreement(self, iteration: int) -> None:
        """Raise InputError unless all processes continue after the same iteration."""
        own = [0.0] * self._processes.world
        own[self._processes.rank] = float(iteration)
        found = [int(x) for x in self._processes.total(own)]
        if len(set(found)) > 1:
            raise InputError(
                f"the processes of this training found checkpoints after different iterations: "
                f"{found}, by rank; all must see the same store ({self._store.url}) and the same "
                "files in it: give one that the nodes share with --store, and run it again"
            )


def _split(batch: int, run: RunSettings, processes: Processes) -> tuple[range, int]:
    """The share of this process in a batch, and the samples that it handles at once.

    Raises:
        InputError: They do not divide the batch.
    """
    share = processes.share(batch)
    micro = run.micro_batch or len(share)
    if not share or batch % processes.world or len(share) % micro:
        raise InputError(
            f"a batch of {batch} cannot be shared by {processes.world} processes in micro-batches "
            f"of {micro}: choose --nproc, --nodes and --micro-batch whose product divides it"
        )
    return share, micro
