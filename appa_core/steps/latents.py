"""Statistics of latents over the training period: by channel, and the background covariance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from appa_core.calendar import date_encoding
from appa_core.config.build import latent_longitudes, latent_shape
from appa_core.config.presets import Preset
from appa_core.errors import DataError
from appa_core.io.cube import Cube
from appa_core.io.datasets import Times
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors, save_tensors
from appa_core.posterior.background import Background
from appa_core.steps.inputs import require_states
from appa_core.steps.step import run_step

#: The variable of a cube of latents.
LATENT = "latent"
LATENT_STATISTICS = "latent_statistics.safetensors"
_BACKGROUND = "background.safetensors"


def training_period(preset: Preset) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Start and end of the training period."""
    split = preset.split
    return pd.Timestamp(split.train_start), pd.Timestamp(split.validation_start)


def latent_context(preset: Preset, times: np.ndarray) -> Tensor:
    """Date encoding on the latent grid, (T, 4, h, w) float32."""
    _, rows, _ = latent_shape(preset)
    waves = torch.from_numpy(date_encoding(times, latent_longitudes(preset)))
    return waves[:, :, None, :].expand(-1, -1, rows, -1)


def fit_latent_statistics(store: ArtifactStore, preset: Preset, latents: Cube) -> Artifact:
    """Mean and standard deviation by channel over the training period alone.

    Returns:
        An artifact with `mean` and `std`, (c,) float32 each.
    """
    start, end = training_period(preset)
    recipe = Recipe(
        step="latent-statistics",
        version=1,
        config={"period": [str(start), str(end)]},
        parents={"latents": latents.digest(start, end)},
    )

    def build(folder: Path) -> Mapping[str, Any]:
        require_states(latents, start, end)
        count, total, square = 0, torch.zeros(0), torch.zeros(0)
        for values in _blocks(latents, start, end):
            x = values.double().flatten(2)  # (T, c, h w)
            count += x.shape[0] * x.shape[2]
            total = total + x.sum(dim=(0, 2)) if total.numel() else x.sum(dim=(0, 2))
            squares = x.square().sum(dim=(0, 2))
            square = square + squares if square.numel() else squares
        mean = total / count
        std = (square / count - mean.square()).clamp(min=0).sqrt()
        if not (std > 0).all():
            dead = (std == 0).nonzero().flatten().tolist()
            raise DataError(f"latent channels {dead} never vary; train the autoencoder longer")
        save_tensors(folder / LATENT_STATISTICS, {"mean": mean.float(), "std": std.float()})
        return {"values_by_channel": count}

    return run_step(store, recipe, build)


def _blocks(latents: Cube, start: pd.Timestamp, end: pd.Timestamp) -> Iterator[Tensor]:
    """Latents (T, c, h, w) float16 of [start, end), block by block."""
    for block in latents.blocks(start, end):
        times = latents.times_of(block)
        times = times[(times >= start) & (times < end)]
        yield torch.from_numpy(latents.read(times)[LATENT].values)


def standardised_latents(latents: Cube, statistics: Artifact, times: Times) -> Tensor:
    """Standardised latents at times (T,), (T, c, h, w) float16.

    Raises:
        InputError: A state is absent.
    """
    with statistics.verify().local() as folder:
        tensors = load_tensors(folder / LATENT_STATISTICS)
    mean, std = tensors["mean"][:, None, None], tensors["std"][:, None, None]
    values = torch.from_numpy(latents.read(times)[LATENT].values)
    return ((values.float() - mean) / std).half()


def fit_background(
    store: ArtifactStore,
    preset: Preset,
    latents: Cube,
    statistics: Artifact,
    *,
    states: int,
    rank: int = 32,
    trajectories: int = 200,
) -> Artifact:
    """Background covariance of trajectories of standardised latents, from the training period.

    Args:
        store: Where the result is kept.
        preset: The training period.
        latents: Encoded states.
        statistics: What `fit_latent_statistics` gave.
        states: States of a trajectory.
        rank: Patterns to keep.
        trajectories: Size of the sample, spread evenly over the period.
    """
    start, end = training_period(preset)
    recipe = Recipe(
        step="background",
        version=1,
        config={"states": states, "rank": rank, "trajectories": trajectories},
        parents={"statistics": statistics.key},
    )

    def build(folder: Path) -> Mapping[str, Any]:
        require_states(latents, start, end)
        times = latents.spec.states_between(start, end)
        last = len(times) - states
        picks = torch.linspace(0, max(last, 0), min(trajectories, last + 1)).long()
        # no more than the sample is read: the period may be decades long
        places = (picks[:, None] + torch.arange(states)).flatten().numpy()
        sample = standardised_latents(latents, statistics, times[places])
        sample = sample.reshape(len(picks), states, *sample.shape[1:]).float()
        background = Background.estimate(sample, min(rank, len(sample) - 1))
        save_tensors(folder / _BACKGROUND, vars(background))
        return {"trajectories": len(sample), "patterns": len(background.patterns)}

    return run_step(store, recipe, build)


def load_background(artifact: Artifact) -> Background:
    """What `fit_background` kept."""
    with artifact.verify().local() as folder:
        return Background(**load_tensors(folder / _BACKGROUND))
