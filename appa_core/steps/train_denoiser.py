"""Training the denoiser on blankets of standardised latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from appa_core.config.build import (
    build_backbone,
    latent_row_weights,
    mask_shares,
    noise_levels,
    optimiser_settings,
)
from appa_core.config.presets import Preset
from appa_core.diffusion.denoiser import Condition, Denoiser
from appa_core.diffusion.noise import generator_for
from appa_core.io.cube import Cube
from appa_core.io.store import Artifact, Recipe
from appa_core.io.tensors import load_tensors
from appa_core.nn.bases import BlanketBackbone
from appa_core.objectives import denoising_loss
from appa_core.steps.inputs import require_latents, require_states
from appa_core.steps.latents import (
    LATENT,
    LATENT_STATISTICS,
    latent_context,
    training_period,
)
from appa_core.steps.training import TrainingJob
from appa_core.training.lesson import Batch, sample_generator, shuffled
from appa_core.training.trainer import initialised

STEP = "train-denoiser"
_INITIAL_DRAW = 1 << 20  # stream of random numbers that no iteration uses
_HELD_OUT_BLANKETS = 48


def latent_weights(preset: Preset, std: Tensor) -> Tensor:
    """Weights of latent channels and rows, (c, h, 1), mean 1.

    Channels count by their variance to the power `variance_weighting` (their share of the
    state's variance at 1), rows by their area.
    """
    area = torch.from_numpy(latent_row_weights(preset)).float()
    channels = std ** (2 * preset.denoiser.variance_weighting)
    return (channels / channels.mean())[:, None, None] * area[:, None]


@dataclass(frozen=True)
class _Lesson:
    """What the denoiser of a preset learns from a cube of latents, read as they are needed."""

    preset: Preset
    latents: Cube
    statistics: Artifact
    seed: int

    @property
    def batch_size(self) -> int:
        return self.preset.denoiser.training.batch

    @property
    def held_out(self) -> int:
        return len(self._held_out_starts)

    @property
    def objective(self) -> str:
        return self._lead_names[-1]

    @cached_property
    def _lead_names(self) -> list[str]:
        leads = range(1, self.preset.denoiser.states - self.preset.sampling.known_states + 1)
        return [f"h{lead * self.preset.state.step_hours}" for lead in leads]

    @cached_property
    def _statistics(self) -> dict[str, Tensor]:
        with self.statistics.verify().local() as folder:
            return load_tensors(folder / LATENT_STATISTICS)

    @cached_property
    def _weights(self) -> Tensor:
        return latent_weights(self.preset, self._statistics["std"])

    @cached_property
    def _training_starts(self) -> pd.DatetimeIndex:
        split = self.preset.split
        return self._starts(split.train_start, split.validation_start)

    @cached_property
    def _held_out_starts(self) -> pd.DatetimeIndex:
        split = self.preset.split
        starts = self._starts(split.validation_start, split.test_start)
        picks = np.linspace(0, len(starts) - 1, min(_HELD_OUT_BLANKETS, len(starts)))
        return starts[picks.astype(int)]

    @cached_property
    def _step(self) -> pd.Timedelta:
        return pd.Timedelta(hours=self.preset.state.step_hours)

    def _starts(self, start: object, end: object) -> pd.DatetimeIndex:
        last = pd.Timestamp(end) - self.preset.denoiser.states * self._step  # type: ignore[arg-type]
        return pd.date_range(start, last, freq=self._step)  # type: ignore[call-overload,no-any-return]

    def network(self) -> BlanketBackbone:
        """The network before its first iteration."""
        generator = generator_for(self.seed, _INITIAL_DRAW)
        return initialised(lambda: build_backbone(self.preset), generator)

    def batch(self, iteration: int, positions: Sequence[int]) -> Batch:
        blankets = self._read(self._starts_of(iteration, positions))
        masks, levels = mask_shares(self.preset), noise_levels(self.preset)
        given, sigmas, doubts = [], [], []
        noise = np.empty(tuple(blankets["x"].shape), np.float32)
        wrong = np.zeros_like(noise) if masks.noise else None  # what is wrong with known states
        for i, position in enumerate(positions):
            generator = sample_generator(self.seed, iteration, position)
            given.append(masks.draw(self.preset.denoiser.states, generator))
            sigmas.append(levels.draw(generator))
            generator.standard_normal(dtype=np.float32, out=noise[i])
            if wrong is not None:
                doubts.append(masks.draw_doubt(generator))
                if doubts[-1]:
                    generator.standard_normal(dtype=np.float32, out=wrong[i])
        if wrong is not None:
            doubt = torch.tensor(doubts)[:, None, None, None, None]
            blankets["known"] = torch.from_numpy(wrong).mul_(doubt).add_(blankets["x"])
            blankets["doubt"] = doubt
        return {
            **blankets,
            "mask": torch.from_numpy(np.stack(given)).float(),
            "sigma": torch.tensor(sigmas),
            "noise": torch.from_numpy(noise),
        }

    def describe(self, iteration: int, positions: Sequence[int]) -> str:
        times = ", ".join(f"{t:%Y-%m-%dT%H}" for t in self._starts_of(iteration, positions))
        return f"the blankets from {times}"

    def _starts_of(self, iteration: int, positions: Sequence[int]) -> pd.DatetimeIndex:
        count, first = len(self._training_starts), iteration * self.batch_size
        picks = [shuffled(count, self.seed, first + p) for p in positions]
        return self._training_starts[picks]

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        x = batch["x"]
        mask = batch["mask"][:, :, None, None, None]
        known, doubt = batch.get("known", x), batch.get("doubt")
        condition = Condition(known, mask, batch["context"], doubt)
        weights = self._weights.to(x.device)
        return denoising_loss(network, x, condition, batch["noise"], batch["sigma"], weights)

    def held_out_batch(self, positions: Sequence[int]) -> Batch:
        blankets = self._read(self._held_out_starts[list(positions)])
        draws = [
            sample_generator(0, p).standard_normal(blankets["x"].shape[1:], np.float32)
            for p in positions
        ]
        return {**blankets, "noise": torch.from_numpy(np.stack(draws))}

    def errors(self, network: nn.Module, batch: Batch) -> Tensor:
        """Squared error of the first estimate from known states by lead, then the mean square.

        A network that is told of no known states is asked what it makes of blankets with noise
        of unit size.
        """
        x, known = batch["x"], self.preset.sampling.known_states
        tells = bool(self.preset.denoiser.masks.leading or self.preset.denoiser.masks.scattered)
        mask = torch.zeros(*x.shape[:2], 1, 1, 1, device=x.device)
        mask[:, :known] = float(tells)
        level = self.preset.sampling.sigma_max if tells else 1.0
        sigma = torch.full((len(x),), level, device=x.device)
        condition = Condition(x, mask, batch["context"])
        mean = Denoiser(network)(x + level * batch["noise"], sigma, condition)
        weights = self._weights.to(x.device)
        error = ((mean - x).square() * weights).mean(dim=(2, 3, 4))[:, known:]
        scale = (x.square() * weights).mean(dim=(1, 2, 3, 4))
        return torch.cat([error, scale[:, None]], dim=1)

    def scores(self, errors: Sequence[float]) -> Mapping[str, float]:
        """RMSE by lead, relative to the spread of the data."""
        relative = np.sqrt(np.asarray(errors[:-1]) / errors[-1])
        return dict(zip(self._lead_names, relative.tolist(), strict=True))

    def _read(self, starts: pd.DatetimeIndex) -> dict[str, Tensor]:
        """Standardised blankets x (N, K, c, h, w) and their context (N, K, 4, h, w)."""
        states = self.preset.denoiser.states
        times = pd.DatetimeIndex(
            [start + k * self._step for start in starts for k in range(states)]
        )
        values = torch.from_numpy(self.latents.read(times)[LATENT].values).float()
        mean, std = (self._statistics[k][:, None, None] for k in ("mean", "std"))
        x = values.sub_(mean).div_(std)
        context = latent_context(self.preset, times.values)
        return {
            "x": x.reshape(len(starts), states, *x.shape[1:]),
            "context": context.reshape(len(starts), states, *context.shape[1:]),
        }


def denoiser_job(
    preset: Preset, latents: Cube, statistics: Artifact, seed: int = 0, coder: str | None = None
) -> TrainingJob:
    """The training of the denoiser of a preset.

    Args:
        preset: Sizes, masks, optimiser.
        latents: Encoded states of the training and validation periods.
        statistics: What `fit_latent_statistics` gave.
        seed: Seed of initial weights, batches and noise.
        coder: Key of the autoencoder that the latents must be of; None: any.

    Raises:
        InputError: A latent of the training or validation period is absent, or the latents are
            of another autoencoder than asked for, the preset's or the statistics'.
    """
    config, split = preset.denoiser, preset.split
    start, end = pd.Timestamp(split.train_start), pd.Timestamp(split.test_start)
    require_states(latents, start, end)
    require_latents(latents, statistics, preset, training_period(preset), coder)
    recipe = Recipe(
        step=STEP,
        version=3,
        config={"denoiser": config.hashed(), "split": split.hashed()},
        parents={"latents": latents.digest(start, end), "statistics": statistics.key},
        seed=seed,
    )
    return TrainingJob(
        recipe,
        _Lesson(preset, latents, statistics, seed),
        optimiser_settings(config.training),
        config.training.checkpoint_every,
        config.training.patience,
    )
