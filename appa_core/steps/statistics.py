"""Statistics of the training period: the climatology and the spread about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from appa_core.climatology import Normalisation, SeasonalClimatology
from appa_core.config.build import climatology_fit
from appa_core.config.presets import Preset
from appa_core.io.datasets import StateArchive, Times
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors, save_tensors
from appa_core.steps.simulate import STATES
from appa_core.steps.step import run_step

NORMALISATION = "normalisation.safetensors"
_BLOCK = 400


def period(times: Times, start: Any, end: Any) -> np.ndarray:
    """Positions of times in [start, end)."""
    return np.flatnonzero((times >= pd.Timestamp(start)) & (times < pd.Timestamp(end)))


def open_states(chunks: Sequence[Artifact]) -> StateArchive:
    """The states of consecutive chunks as one archive."""
    return StateArchive([chunk.locate(STATES) for chunk in chunks])


def fit_statistics(store: ArtifactStore, preset: Preset, chunks: Sequence[Artifact]) -> Artifact:
    """Fit the normalisation on the training period alone.

    Args:
        store: Where the result is kept.
        preset: States, periods and kind of normalisation.
        chunks: Nature-run chunks that cover the training period.

    Returns:
        An artifact with the climatology's coefficients and the standard deviations.
    """
    schema = preset.state.build()
    recipe = Recipe(
        step="statistics",
        version=1,
        config={
            "normalisation": preset.normalisation.hashed(),
            "period": [str(preset.split.train_start), str(preset.split.validation_start)],
            "schema": schema.fingerprint,
        },
        parents={"states": chunks[-1].key},
    )

    def build(folder: Path) -> Mapping[str, Any]:
        archive = open_states(chunks)
        fit = climatology_fit(preset)
        picks = period(archive.times, preset.split.train_start, preset.split.validation_start)
        for low in range(0, len(picks), _BLOCK):
            times = archive.times[picks[low : low + _BLOCK]]
            fit.add(schema.stack(archive.read(times)), times.values)
        climatology, std = fit.solve()
        save_tensors(
            folder / NORMALISATION,
            {
                "coefficients": torch.from_numpy(climatology.coefficients),
                "std": torch.from_numpy(std),
            },
        )
        spread = dict(zip(schema.names, std.tolist(), strict=True))
        return {"states": len(picks), "std": spread}

    return run_step(store, recipe, build)


def load_normalisation(path: Path) -> Normalisation:
    """Read what `fit_statistics` or `write_compact_normalisation` wrote."""
    tensors = load_tensors(path)
    std = tensors["std"].numpy()
    if "coefficients" in tensors:
        return Normalisation(SeasonalClimatology(tensors["coefficients"].numpy()), std)
    harmonics = tensors["harmonics"].float().numpy() * std[:, None, None]
    coefficients = np.concatenate([tensors["mean"].numpy()[:, None], harmonics], axis=1)
    return Normalisation(SeasonalClimatology(coefficients), std)


def write_compact_normalisation(path: Path, normalisation: Normalisation) -> None:
    """Write a normalisation with its harmonics, in units of the spread, in half precision."""
    coefficients, std = normalisation.base.coefficients, normalisation.std
    harmonics = torch.from_numpy(coefficients[:, 1:] / std[:, None, None])
    save_tensors(
        path,
        {
            "mean": torch.from_numpy(coefficients[:, 0].copy()),
            "harmonics": harmonics.half(),
            "std": torch.from_numpy(std),
        },
    )
