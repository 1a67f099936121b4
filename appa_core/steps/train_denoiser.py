"""Training the denoiser on blankets of standardised latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from appa_core.calendar import date_encoding
from appa_core.config.build import mask_shares, optimiser_settings, transformer_shape
from appa_core.config.presets import Preset
from appa_core.diffusion.denoiser import Condition, Denoiser
from appa_core.diffusion.noise import generator_for
from appa_core.io.cube import Cube
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors
from appa_core.nn.transformer import SpaceTimeTransformer
from appa_core.objectives import DenoisingObjective
from appa_core.steps.latents import LATENT_STATISTICS, load_latents
from appa_core.steps.training import TrainingJob, run_training
from appa_core.training import initialised

_INITIAL_DRAW = 1 << 20  # stream of random numbers that no iteration uses
_VALIDATION_BLANKETS = 48


def latent_context(preset: Preset, times: np.ndarray) -> Tensor:
    """Date encoding on the latent grid, (T, 4, h, w) float32."""
    _, rows, columns = transformer_shape(preset).latent_shape
    centres = (np.arange(columns) + 0.5) * 360.0 / columns - 180.0 / preset.state.longitudes
    waves = torch.from_numpy(date_encoding(times, centres))
    return waves[:, :, None, :].expand(-1, -1, rows, -1)


def latent_weights(preset: Preset, std: Tensor) -> Tensor:
    """Weights of latent channels and rows, (c, h, 1), mean 1.

    Channels count by their variance to the power `variance_weighting` (their share of the
    state's variance at 1), rows by their area.
    """
    rows = transformer_shape(preset).latent_shape[1]
    area = torch.from_numpy(preset.state.build().grid.area_weights).float()
    area = area.reshape(rows, -1).mean(1)
    channels = std ** (2 * preset.denoiser.variance_weighting)
    return (channels / channels.mean())[:, None, None] * area[:, None]


@dataclass(frozen=True)
class _Blankets:
    """Latents (T, c, h, w) with their dates, read as blankets of consecutive states."""

    latents: Tensor
    context: Tensor
    states: int

    @property
    def count(self) -> int:
        return len(self.latents) - self.states + 1

    def load(self, index: Tensor) -> Tensor:
        return self.latents[index[:, None] + torch.arange(self.states)].float()

    def load_context(self, index: Tensor) -> Tensor:
        return self.context[index[:, None] + torch.arange(self.states)]


@dataclass(frozen=True)
class _Lesson:
    """What the denoiser of a preset is trained on; data are read when first needed."""

    preset: Preset
    latents: Cube
    statistics: Artifact
    seed: int

    @cached_property
    def training(self) -> _Blankets:
        return self._blankets(self.preset.split.train_start, self.preset.split.validation_start)

    @cached_property
    def held_out(self) -> _Blankets:
        return self._blankets(self.preset.split.validation_start, self.preset.split.test_start)

    def _blankets(self, start: date, end: date) -> _Blankets:
        values, times = load_latents(
            self.latents, self.statistics, pd.Timestamp(start), pd.Timestamp(end)
        )
        return _Blankets(values, latent_context(self.preset, times), self.preset.denoiser.states)

    @cached_property
    def objective(self) -> DenoisingObjective:
        config = self.preset.denoiser
        with self.statistics.local() as folder:
            std = load_tensors(folder / LATENT_STATISTICS)["std"]
        return DenoisingObjective(
            load=self.training.load,
            load_context=self.training.load_context,
            count=self.training.count,
            batch=config.training.batch,
            states=config.states,
            weights=latent_weights(self.preset, std),
            masks=mask_shares(self.preset),
            noise_mean=config.noise_mean,
            noise_scale=config.noise_scale,
            seed=self.seed,
        )

    def network(self) -> nn.Module:
        shape = transformer_shape(self.preset)
        generator = generator_for(self.seed, _INITIAL_DRAW)
        return initialised(lambda: SpaceTimeTransformer(shape), generator)

    def loss(self, model: nn.Module, iteration: int) -> Tensor:
        return self.objective.loss(model, iteration)

    def validate(self, model: nn.Module) -> Mapping[str, float]:
        return forecast_skill(self.preset, model, self.held_out, self.objective.weights)


def train_denoiser(
    store: ArtifactStore, preset: Preset, latents: Cube, statistics: Artifact, seed: int = 0
) -> Artifact:
    """Train the denoiser of a preset.

    Args:
        store: Where checkpoints and weights are kept.
        preset: Sizes, masks, optimiser.
        latents: Encoded states of the training and validation periods.
        statistics: What `fit_latent_statistics` gave.
        seed: Seed of initial weights, batches and noise.

    Returns:
        An artifact with `weights.safetensors`.
    """
    config, split = preset.denoiser, preset.split
    start, end = pd.Timestamp(split.train_start), pd.Timestamp(split.test_start)
    recipe = Recipe(
        step="train-denoiser",
        version=2,
        config={"denoiser": config.hashed(), "split": split.hashed()},
        parents={"latents": latents.digest(start, end), "statistics": statistics.key},
        seed=seed,
    )
    lesson = _Lesson(preset, latents, statistics, seed)
    job = TrainingJob(
        recipe,
        lesson.network,
        lesson.loss,
        optimiser_settings(config.training),
        config.training.checkpoint_every,
        lesson.validate,
    )
    return run_training(store, job)


def forecast_skill(
    preset: Preset, model: nn.Module, held_out: _Blankets, weights: Tensor
) -> Mapping[str, float]:
    """Error of the mean forecast from known states, relative to the data's spread, by lead."""
    known, states = preset.sampling.known_states, preset.denoiser.states
    index = torch.linspace(0, held_out.count - 1, min(_VALIDATION_BLANKETS, held_out.count))
    index = index.long()
    x, context = held_out.load(index), held_out.load_context(index)
    mask = torch.zeros(len(x), states, 1, 1, 1)
    mask[:, :known] = 1
    sigma = torch.full((len(x),), preset.sampling.sigma_max)
    noise = torch.randn(x.shape, generator=generator_for(0)) * preset.sampling.sigma_max
    mean = Denoiser(model)(x + noise, sigma, Condition(x, mask, context))
    error = ((mean - x).square() * weights).mean(dim=(0, 2, 3, 4))
    scale = (x.square() * weights).mean()
    relative = (error / scale).sqrt()
    return {
        f"h{(lead + 1) * preset.state.step_hours}": relative[known + lead].item()
        for lead in range(states - known)
    }
