"""Running a training as a chain of committed checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors, save_tensors
from appa_core.steps.step import run_step
from appa_core.training import OptimiserSettings, Trainer

WEIGHTS = "weights.safetensors"
_CHECKPOINT = "checkpoint.safetensors"
_KEEP = 2


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """A training that can be stopped and continued at any time.

    Args:
        recipe: Identity of the trained weights.
        network: Makes the network as it is before the first iteration.
        loss: (network, iteration) -> loss.
        settings: How weights move.
        checkpoint_every: Iterations between checkpoints.
        validate: Scores of the averaged weights, for the manifest and the progress bar.
    """

    recipe: Recipe
    network: Callable[[], nn.Module]
    loss: Callable[[nn.Module, int], Tensor]
    settings: OptimiserSettings
    checkpoint_every: int
    validate: Callable[[nn.Module], Mapping[str, float]]

    def checkpoint(self, iteration: int) -> Recipe:
        """Identity of the checkpoint after some iterations."""
        return dataclasses.replace(
            self.recipe,
            step=f"{self.recipe.step}-checkpoint",
            config={**self.recipe.config, "iteration": iteration},
        )


def run_training(store: ArtifactStore, job: TrainingJob) -> Artifact:
    """Train, from the last checkpoint if there is one.

    Args:
        store: Where checkpoints and the result are kept; old checkpoints are removed.
        job: What to train.

    Returns:
        An artifact with the averaged weights and their validation scores.
    """
    return run_step(store, job.recipe, lambda folder: _train(store, job, folder))


def _train(store: ArtifactStore, job: TrainingJob, folder: Path) -> Mapping[str, Any]:
    total, every = job.settings.iterations, job.checkpoint_every
    stops = [*range(every, total, every), total]
    trainer = Trainer(job.network(), job.settings)
    for stop in reversed(stops):
        found = store.find(job.checkpoint(stop))
        if found is not None:
            with found.verify().local() as saved:
                trainer.load_state_dict(load_tensors(saved / _CHECKPOINT), stop)
            break
    curve: list[float] = []
    with tqdm(
        total=total, initial=trainer.iteration, desc=job.recipe.step, unit="it", mininterval=5
    ) as bar:
        for i, stop in enumerate(stops):
            if stop <= trainer.iteration:
                continue
            losses = _advance(trainer, job, stop, bar)
            curve.append(sum(losses) / len(losses))
            _save_checkpoint(store, job, trainer, stop, curve[-1])
            if i >= _KEEP:
                store.discard(job.checkpoint(stops[i - _KEEP]))
            scores = _validate(trainer, job)
            bar.set_postfix({k: f"{v:.4f}" for k, v in {"loss": curve[-1], **scores}.items()})
    scores = _validate(trainer, job)
    save_tensors(folder / WEIGHTS, trainer.average)
    return {"iterations": total, "validation": scores}


def _advance(trainer: Trainer, job: TrainingJob, stop: int, bar: Any) -> list[float]:
    losses = []
    while trainer.iteration < stop:
        losses.append(trainer.step(lambda i: job.loss(trainer.network, i)))
        bar.update()
    return losses


def _save_checkpoint(
    store: ArtifactStore, job: TrainingJob, trainer: Trainer, stop: int, loss: float
) -> None:
    def build(folder: Path) -> Mapping[str, Any]:
        save_tensors(folder / _CHECKPOINT, trainer.state_dict())
        return {"iteration": stop, "mean_loss": loss}

    run_step(store, job.checkpoint(stop), build)


@torch.no_grad()
def _validate(trainer: Trainer, job: TrainingJob) -> Mapping[str, float]:
    """Scores of the averaged weights; the weights in training are put back afterwards."""
    parameters = dict(trainer.network.named_parameters())
    kept = {n: p.clone() for n, p in parameters.items()}
    for name, parameter in parameters.items():
        parameter.copy_(trainer.average[name])
    trainer.network.eval()
    scores = job.validate(trainer.network)
    for name, parameter in parameters.items():
        parameter.copy_(kept[name])
    return scores
