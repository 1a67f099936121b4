"""Training the autoencoder on standardised states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from appa_core.climatology import Normalisation
from appa_core.config.build import build_autoencoder, latent_shape, optimiser_settings
from appa_core.config.networks import PatchAutoencoderConfig
from appa_core.config.presets import Preset
from appa_core.diffusion.noise import generator_for
from appa_core.io.cube import Cube
from appa_core.io.store import Artifact, Recipe
from appa_core.io.tensors import load_into, load_tensors
from appa_core.nn.bases import Autoencoder
from appa_core.nn.patch_autoencoder import PatchAutoencoder
from appa_core.objectives import reconstruction_loss
from appa_core.schema import StateSchema
from appa_core.steps.inputs import require_own_statistics, require_schema, require_states
from appa_core.steps.standardised import standardised_states
from appa_core.steps.statistics import NORMALISATION, load_normalisation
from appa_core.steps.training import WEIGHTS, TrainingJob
from appa_core.training.lesson import Batch, sample_generator, shuffled
from appa_core.training.trainer import initialised

STEP = "train-autoencoder"
_INITIAL_PART = 200
_HELD_OUT_EVERY = 20
_INITIAL_DRAW = 1 << 20  # stream of random numbers that no iteration uses


def loss_weights(preset: Preset) -> tuple[Tensor, Tensor]:
    """Weights of channels (C,), and of channels and area (C, H, 1); both with mean 1."""
    schema, config = preset.state.build(), preset.autoencoder
    channels = torch.tensor([config.channel_weights.get(name, 1.0) for name in schema.names])
    if config.level_weighting == "pressure":
        mean = float(np.mean(preset.state.levels_hpa))
        heights = [1.0 if c.level is None else c.level / mean for c in schema.channels]
        channels = channels * torch.tensor(heights)
    channels = channels / channels.mean()
    area = torch.from_numpy(schema.grid.area_weights).float()
    return channels, channels[:, None, None] * area[:, None]


@dataclass(frozen=True)
class _Lesson:
    """What the autoencoder of a preset learns from a cube of states, read as they are needed."""

    preset: Preset
    states: Cube
    statistics: Artifact
    seed: int
    objective: str = "mean_rmse"

    @property
    def batch_size(self) -> int:
        return self.preset.autoencoder.training.batch

    @property
    def held_out(self) -> int:
        return len(self._held_out_times)

    @cached_property
    def _schema(self) -> StateSchema:
        return self.preset.state.build()

    @cached_property
    def _normalisation(self) -> Normalisation:
        with self.statistics.verify().local() as folder:
            return load_normalisation(folder / NORMALISATION)

    @cached_property
    def _weights(self) -> Tensor:
        return loss_weights(self.preset)[1]

    @cached_property
    def _training_times(self) -> pd.DatetimeIndex:
        split = self.preset.split
        return self._period(split.train_start, split.validation_start)

    @cached_property
    def _held_out_times(self) -> pd.DatetimeIndex:
        split = self.preset.split
        return self._period(split.validation_start, split.test_start)[::_HELD_OUT_EVERY]

    def _period(self, start: object, end: object) -> pd.DatetimeIndex:
        freq = f"{self._schema.step_hours}h"
        return pd.date_range(start, end, freq=freq, inclusive="left")  # type: ignore[call-overload,no-any-return]

    def network(self) -> Autoencoder:
        """The autoencoder before its first iteration; a linear one holds principal components."""
        generator = generator_for(self.seed, _INITIAL_DRAW)
        model = initialised(lambda: build_autoencoder(self.preset), generator)
        config = self.preset.autoencoder
        if isinstance(model, PatchAutoencoder) and isinstance(config, PatchAutoencoderConfig):
            order = torch.randperm(len(self._training_times), generator=generator)
            picks = order[: config.initial_states].sort().values.numpy()
            parts = self._parts(self._training_times[picks])
            model.initialise_from(parts, loss_weights(self.preset)[0])
        return model

    def batch(self, iteration: int, positions: Sequence[int]) -> Batch:
        values = {"x": self._read(self._times_of(iteration, positions))}
        level = self.preset.autoencoder.latent_noise
        if level:
            shape = latent_shape(self.preset)
            draws = [
                sample_generator(self.seed, iteration, p).standard_normal(shape, np.float32)
                for p in positions
            ]
            values["noise"] = torch.from_numpy(level * np.stack(draws))
        return values

    def describe(self, iteration: int, positions: Sequence[int]) -> str:
        times = ", ".join(f"{t:%Y-%m-%dT%H}" for t in self._times_of(iteration, positions))
        return f"the states of {times}"

    def _times_of(self, iteration: int, positions: Sequence[int]) -> pd.DatetimeIndex:
        count, first = len(self._training_times), iteration * self.batch_size
        picks = [shuffled(count, self.seed, first + p) for p in positions]
        return self._training_times[picks]

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        x = batch["x"]
        return reconstruction_loss(network, x, self._weights.to(x.device), batch.get("noise"))

    def held_out_batch(self, positions: Sequence[int]) -> Batch:
        return {"x": self._read(self._held_out_times[list(positions)])}

    def errors(self, network: nn.Module, batch: Batch) -> Tensor:
        """Area-weighted squared error of every channel."""
        x = batch["x"]
        area = torch.from_numpy(self._schema.grid.area_weights).to(x)
        return ((network(x) - x).square().mean(dim=3) * area).mean(dim=2)  # type: ignore[no-any-return]

    def scores(self, errors: Sequence[float]) -> Mapping[str, float]:
        """RMSE over channels, in standard deviations."""
        rmse = np.sqrt(errors)
        return {"mean_rmse": float(rmse.mean()), "worst_rmse": float(rmse.max())}

    def _read(self, times: pd.DatetimeIndex) -> Tensor:
        """Standardised states (T, C, H, W) float32."""
        return standardised_states(self.states, times, self._schema, self._normalisation)

    def _parts(self, times: pd.DatetimeIndex) -> Iterator[Tensor]:
        for low in range(0, len(times), _INITIAL_PART):
            yield self._read(times[low : low + _INITIAL_PART])


def autoencoder_job(
    preset: Preset, states: Cube, statistics: Artifact, seed: int = 0
) -> TrainingJob:
    """The training of the autoencoder of a preset.

    Args:
        preset: Sizes, periods, optimiser.
        states: Ingested states.
        statistics: What `merge_statistics` gave.
        seed: Seed of initial weights, batches and noise.

    Raises:
        InputError: A state of the training or validation period is absent, or states or
            normalisation do not fit the preset.
    """
    config, split = preset.autoencoder, preset.split
    start, end = pd.Timestamp(split.train_start), pd.Timestamp(split.test_start)
    require_schema(states, preset)
    require_own_statistics(statistics, preset)
    require_states(states, start, end)
    recipe = Recipe(
        step=STEP,
        version=3,
        config={"autoencoder": config.hashed(), "split": split.hashed()},
        parents={"states": states.digest(start, end), "statistics": statistics.key},
        seed=seed,
    )
    return TrainingJob(
        recipe,
        _Lesson(preset, states, statistics, seed),
        optimiser_settings(config.training),
        config.training.checkpoint_every,
        config.training.patience,
    )


def load_autoencoder(preset: Preset, trained: Artifact) -> Autoencoder:
    """The trained autoencoder, ready for use."""
    model = build_autoencoder(preset)
    with trained.verify().local() as folder:
        load_into(model, load_tensors(folder / WEIGHTS), trained.url)
    return model.eval()
