"""Training the autoencoder on standardised states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from appa_core.autoencoder import Autoencoder
from appa_core.config.build import autoencoder_shape, optimiser_settings
from appa_core.config.presets import Preset
from appa_core.diffusion.noise import generator_for
from appa_core.io.cube import Cube
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import load_into, load_tensors
from appa_core.objectives import ReconstructionObjective
from appa_core.steps.statistics import NORMALISATION, load_normalisation, require_states
from appa_core.steps.training import WEIGHTS, TrainingJob, run_training
from appa_core.training import initialised

_BLOCK = 400
_HELD_OUT_EVERY = 20
_INITIAL_DRAW = 1 << 20  # stream of random numbers that no iteration uses


def load_standardised(
    preset: Preset, states: Cube, statistics: Artifact, start: Any, end: Any
) -> Tensor:
    """Standardised states of [start, end) in memory, (T, C, H, W) float16.

    Raises:
        InputError: A state of the period is absent.
    """
    start, end = pd.Timestamp(start), pd.Timestamp(end)
    require_states(states, start, end)
    schema = preset.state.build()
    with statistics.local() as folder:
        normalisation = load_normalisation(folder / NORMALISATION)
    times = pd.date_range(start, end, freq=f"{schema.step_hours}h", inclusive="left")
    out = torch.empty((len(times), len(schema.channels), *schema.grid.shape), dtype=torch.float16)
    for low in tqdm(range(0, len(times), _BLOCK), desc="loading states", mininterval=5):
        part = times[low : low + _BLOCK]
        values = normalisation.standardise(schema.stack(states.read(part)), part.values)
        out[low : low + len(part)] = torch.from_numpy(values)
    return out


def loss_weights(preset: Preset) -> tuple[Tensor, Tensor]:
    """Weights of channels (C,), and of channels and area (C, H, 1); both with mean 1."""
    schema = preset.state.build()
    given = preset.autoencoder.channel_weights
    channels = torch.tensor([given.get(name, 1.0) for name in schema.names])
    channels = channels / channels.mean()
    area = torch.from_numpy(schema.grid.area_weights).float()
    return channels, channels[:, None, None] * area[:, None]


@dataclass(frozen=True)
class _Lesson:
    """What the autoencoder of a preset is trained on; data are read when first needed."""

    preset: Preset
    states: Cube
    statistics: Artifact
    seed: int

    @cached_property
    def training(self) -> Tensor:
        split = self.preset.split
        return self._states(split.train_start, split.validation_start)

    @cached_property
    def held_out(self) -> Tensor:
        split = self.preset.split
        return self._states(split.validation_start, split.test_start)[::_HELD_OUT_EVERY].float()

    @cached_property
    def objective(self) -> ReconstructionObjective:
        config = self.preset.autoencoder
        return ReconstructionObjective(
            load=lambda index: self.training[index].float(),
            count=len(self.training),
            batch=config.training.batch,
            weights=loss_weights(self.preset)[1],
            latent_noise=config.latent_noise,
            seed=self.seed,
        )

    def network(self) -> nn.Module:
        """The autoencoder before its first iteration: principal components, nothing else."""
        generator = generator_for(self.seed, _INITIAL_DRAW)
        shape = autoencoder_shape(self.preset)
        model = initialised(lambda: Autoencoder(shape), generator)
        order = torch.randperm(len(self.training), generator=generator)
        picks = order[: self.preset.autoencoder.initial_states]
        model.initialise_from(self.training[picks].float(), loss_weights(self.preset)[0])
        return model

    def loss(self, model: nn.Module, iteration: int) -> Tensor:
        return self.objective.loss(model, iteration)

    def validate(self, model: nn.Module) -> Mapping[str, float]:
        """Area-weighted RMSE over channels, in standard deviations."""
        squares = torch.cat([(model(x) - x).square() for x in torch.split(self.held_out, 50)])
        area = torch.from_numpy(self.preset.state.build().grid.area_weights).float()
        rmse = (squares.mean(dim=(0, 3)) * area).mean(dim=1).sqrt()
        return {"mean_rmse": rmse.mean().item(), "worst_rmse": rmse.max().item()}

    def _states(self, start: Any, end: Any) -> Tensor:
        return load_standardised(self.preset, self.states, self.statistics, start, end)


def train_autoencoder(
    store: ArtifactStore,
    preset: Preset,
    states: Cube,
    statistics: Artifact,
    seed: int = 0,
) -> Artifact:
    """Train the autoencoder of a preset.

    Args:
        store: Where checkpoints and weights are kept.
        preset: Sizes, periods, optimiser.
        states: Ingested states.
        statistics: What `merge_statistics` gave.
        seed: Seed of initial weights and batches.

    Returns:
        An artifact with `weights.safetensors`.
    """
    config, split = preset.autoencoder, preset.split
    start, end = pd.Timestamp(split.train_start), pd.Timestamp(split.test_start)
    recipe = Recipe(
        step="train-autoencoder",
        version=2,
        config={"autoencoder": config.hashed(), "split": split.hashed()},
        parents={"states": states.digest(start, end), "statistics": statistics.key},
        seed=seed,
    )
    lesson = _Lesson(preset, states, statistics, seed)
    job = TrainingJob(
        recipe,
        lesson.network,
        lesson.loss,
        optimiser_settings(config.training),
        config.training.checkpoint_every,
        lesson.validate,
    )
    return run_training(store, job)


def load_autoencoder(preset: Preset, trained: Artifact) -> Autoencoder:
    """The trained autoencoder, ready for use."""
    model = Autoencoder(autoencoder_shape(preset))
    with trained.verify().local() as folder:
        load_into(model, load_tensors(folder / WEIGHTS), trained.url)
    return model.eval()
