"""Training the denoiser on blankets of standardised latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from appa_core.calendar import date_encoding
from appa_core.config.build import mask_shares, optimiser_settings, transformer_shape
from appa_core.config.presets import Preset
from appa_core.diffusion.denoiser import Condition, Denoiser
from appa_core.diffusion.noise import generator_for
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors
from appa_core.nn.transformer import SpaceTimeTransformer
from appa_core.objectives import DenoisingObjective
from appa_core.steps.encode import LATENT_STATISTICS, LATENTS, TIMES
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


def train_denoiser(
    store: ArtifactStore, preset: Preset, encoded: Artifact, seed: int = 0
) -> Artifact:
    """Train the denoiser of a preset.

    Args:
        store: Where checkpoints and weights are kept.
        preset: Sizes, masks, optimiser.
        encoded: What `encode_states` gave.
        seed: Seed of initial weights, batches and noise.

    Returns:
        An artifact with `weights.safetensors`.
    """
    config = preset.denoiser
    recipe = Recipe(
        step="train-denoiser",
        version=1,
        config={"denoiser": config.hashed()},
        parents={"latents": encoded.key},
        seed=seed,
    )
    with encoded.local() as folder:
        latents = torch.from_numpy(np.load(folder / LATENTS, mmap_mode="c"))
        times = np.load(folder / TIMES).astype("datetime64[s]")
        std = load_tensors(folder / LATENT_STATISTICS)["std"]
    context = latent_context(preset, times)
    border = int(np.searchsorted(times, np.datetime64(preset.split.validation_start)))
    training = _Blankets(latents[:border], context[:border], config.states)
    held_out = _Blankets(latents[border:], context[border:], config.states)
    objective = DenoisingObjective(
        load=training.load,
        load_context=training.load_context,
        count=training.count,
        batch=config.training.batch,
        states=config.states,
        weights=latent_weights(preset, std),
        masks=mask_shares(preset),
        noise_mean=config.noise_mean,
        noise_scale=config.noise_scale,
        seed=seed,
    )

    def network() -> nn.Module:
        shape = transformer_shape(preset)
        return initialised(lambda: SpaceTimeTransformer(shape), generator_for(seed, _INITIAL_DRAW))

    job = TrainingJob(
        recipe,
        network,
        objective.loss,
        optimiser_settings(config.training),
        config.training.checkpoint_every,
        lambda model: forecast_skill(preset, model, held_out, objective.weights),
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
