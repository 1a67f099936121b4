"""What an autoencoder loses: an error of every observation of a state that it decodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from appa_core.io.cube import Cube
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import save_tensors
from appa_core.steps.coder import TrainedCoder
from appa_core.steps.inputs import require_states
from appa_core.steps.models import RECONSTRUCTION
from appa_core.steps.step import run_step

_EVERY = 20
_PIECE = 32


def fit_reconstruction(store: ArtifactStore, coder: TrainedCoder, states: Cube) -> Artifact:
    """Root mean square error of decoded states, over every twentieth of the validation period.

    Args:
        store: Where the result is kept.
        coder: A trained autoencoder.
        states: Ingested states.

    Returns:
        An artifact with `rmse`, (C,) float32, area-weighted, in standard deviations.

    Raises:
        InputError: A state of the validation period is absent.
    """
    preset = coder.preset
    split, schema = preset.split, preset.state.build()
    start, end = pd.Timestamp(split.validation_start), pd.Timestamp(split.test_start)
    require_states(states, start, end)
    recipe = Recipe(
        step="reconstruction",
        version=1,
        config={"period": [str(start), str(end)], "every": _EVERY},
        parents={"states": states.digest(start, end), "coder": coder.key},
    )

    def build(folder: Path) -> Mapping[str, Any]:
        loaded = coder.load("cpu")
        every = f"{_EVERY * schema.step_hours}h"
        times = pd.date_range(start, end, freq=every, inclusive="left")
        total = np.zeros(len(schema.channels))
        for low in range(0, len(times), _PIECE):
            standard = loaded.standardised(states, times[low : low + _PIECE])
            error = loaded.decode(loaded.encode(standard).half().float()) - standard
            rows = error.double().square().mean(dim=3).sum(dim=0).numpy()
            total += (rows * schema.grid.area_weights).mean(axis=1)
        rmse = np.sqrt(total / len(times))
        save_tensors(folder / RECONSTRUCTION, {"rmse": torch.from_numpy(rmse).float()})
        return {"states": len(times), "mean_rmse": float(rmse.mean())}

    return run_step(store, recipe, build)
