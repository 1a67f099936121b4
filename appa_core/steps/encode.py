"""Encoding states into standardised latents for the training of the denoiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from appa_core.config.presets import Preset
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import save_tensors
from appa_core.steps.statistics import period
from appa_core.steps.step import run_step
from appa_core.steps.train_autoencoder import load_autoencoder, load_standardised

LATENTS = "latents.npy"
TIMES = "times.npy"
LATENT_STATISTICS = "latent_statistics.safetensors"
_BATCH = 100


@torch.no_grad()
def encode_states(
    store: ArtifactStore,
    preset: Preset,
    chunks: Sequence[Artifact],
    statistics: Artifact,
    autoencoder: Artifact,
) -> Artifact:
    """Encode the training and validation periods; fit latent statistics on training alone.

    Returns:
        An artifact with latents (T, c, h, w) float16, standardised by channel, their times, and
        the mean and standard deviation that were taken out.
    """
    recipe = Recipe(
        step="encode",
        version=1,
        config={"split": preset.split.hashed()},
        parents={"statistics": statistics.key, "autoencoder": autoencoder.key},
    )

    def build(folder: Path) -> Mapping[str, Any]:
        model = load_autoencoder(preset, autoencoder)
        split = preset.split
        states, times = load_standardised(
            preset, chunks, statistics, split.train_start, split.test_start
        )
        latents = torch.cat([model.encode(x.float()) for x in torch.split(states, _BATCH)])
        mean, std = _latent_statistics(preset, latents, times)
        standard = (latents - mean[:, None, None]) / std[:, None, None]
        np.save(folder / LATENTS, standard.half().numpy())
        np.save(folder / TIMES, times.astype("datetime64[s]").astype(np.int64))
        save_tensors(folder / LATENT_STATISTICS, {"mean": mean, "std": std})
        return {"states": len(times), "latent_shape": list(latents.shape[1:])}

    return run_step(store, recipe, build)


def _latent_statistics(
    preset: Preset, latents: Tensor, times: np.ndarray
) -> tuple[Tensor, Tensor]:
    split = preset.split
    picks = period(pd.DatetimeIndex(times), split.train_start, split.validation_start)
    training = latents[torch.from_numpy(picks)].double()
    mean = training.mean(dim=(0, 2, 3))
    std = training.var(dim=(0, 2, 3), correction=0).sqrt()
    return mean.float(), std.float()
