"""Checkpoints of a training: artifacts of its store, of which the last few are kept."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Any

from torch import Tensor

from appa_core.errors import IntegrityError
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors, save_tensors

_STATE = "checkpoint.safetensors"
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """Checkpoints of one training.

    Args:
        store: Where they are.
        recipe: Identity of the trained weights.
        keep: How many are kept.
    """

    store: ArtifactStore
    recipe: Recipe
    keep: int

    def save(
        self, iteration: int, state: Mapping[str, Tensor], history: Mapping[str, Any]
    ) -> None:
        """Commit a checkpoint, then remove those that are too old.

        Args:
            iteration: Iterations done.
            state: All that the next iteration depends on.
            history: What is small of it, JSON-compatible.
        """
        started = perf_counter()
        with self.store.stage() as folder:
            save_tensors(folder / _STATE, state)
            summary = {"iteration": iteration, "history": history}
            self.store.commit(self._of(iteration), folder, summary, perf_counter() - started)
        for old, _ in list(self._present())[self.keep :]:
            self.store.discard(self._of(old))

    def last_whole(self) -> tuple[int, dict[str, Tensor], Mapping[str, Any]]:
        """Iteration, state and history of the last that is not damaged; 0 and nothing if none."""
        for iteration, artifact in self._present():
            try:
                with artifact.verify().local() as folder:
                    state = load_tensors(folder / _STATE)
            except IntegrityError as error:
                _log.warning(
                    "the checkpoint after %d iterations is damaged (%s); going back to the one "
                    "before it, or to the start",
                    iteration,
                    error,
                )
                continue
            return iteration, state, artifact.summary["history"]
        return 0, {}, {}

    def _of(self, iteration: int) -> Recipe:
        return dataclasses.replace(
            self.recipe,
            step=f"{self.recipe.step}-checkpoint",
            config={**self.recipe.config, "iteration": iteration},
        )

    def _present(self) -> Iterator[tuple[int, Artifact]]:
        """Those of this training, last first."""
        mine = {}
        for artifact in self.store.artifacts(f"{self.recipe.step}-checkpoint", lenient=True):
            iteration = int(artifact.manifest["config"]["iteration"])
            if artifact.key == self._of(iteration).key:
                mine[iteration] = artifact
        yield from sorted(mine.items(), reverse=True)
