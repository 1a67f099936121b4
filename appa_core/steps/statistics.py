"""Statistics of the training period: the climatology and the spread about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from appa_core.climatology import Normalisation, SeasonalClimatology
from appa_core.config.build import climatology_fit
from appa_core.config.presets import Preset
from appa_core.errors import IntegrityError
from appa_core.io.cube import Cube
from appa_core.io.datasets import Times
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors, save_tensors
from appa_core.steps.inputs import require_states
from appa_core.steps.step import run_step

NORMALISATION = "normalisation.safetensors"
_SUMS = "sums.safetensors"


def period(times: Times, start: Any, end: Any) -> np.ndarray:
    """Positions of times in [start, end)."""
    return np.flatnonzero((times >= pd.Timestamp(start)) & (times < pd.Timestamp(end)))


@dataclass(frozen=True)
class StatisticsPart:
    """The sums of one calendar year, as a unit of work.

    Args:
        store: URL of the artifact store.
        preset: States, periods and kind of normalisation.
        states: URL of the cube of states.
        start: First time.
        end: Time before which the part ends.
    """

    store: str
    preset: Preset
    states: str
    start: pd.Timestamp
    end: pd.Timestamp

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d} to {self.end:%Y-%m-%d}"

    def recipe(self, cube: Cube) -> Recipe:
        """Identity of the sums: the states that they are of, and what is summed."""
        return Recipe(
            step="statistics-part",
            version=1,
            config={
                "normalisation": self.preset.normalisation.hashed(),
                "period": [str(self.start), str(self.end)],
                "schema": self.preset.state.build().fingerprint,
            },
            parents={"states": cube.digest(self.start, self.end)},
        )


def statistics_parts(store: str, preset: Preset, states: str) -> list[StatisticsPart]:
    """The training period by calendar year."""
    start, end = (
        pd.Timestamp(t) for t in (preset.split.train_start, preset.split.validation_start)
    )
    bounds = [pd.Timestamp(year, 1, 1) for year in range(start.year + 1, end.year + 1)]
    edges = [start, *(b for b in bounds if b < end), end]
    return [StatisticsPart(store, preset, states, a, b) for a, b in pairwise(edges)]


def sum_part(part: StatisticsPart) -> str:
    """Sum one part, block by block; returns the key of its artifact."""
    cube = Cube.load(part.states)
    schema = part.preset.state.build()

    def build(folder: Path) -> Mapping[str, Any]:
        require_states(cube, part.start, part.end)
        fit, count = climatology_fit(part.preset), 0
        for block in cube.blocks(part.start, part.end):
            times = cube.times_of(block)
            times = times[(times >= part.start) & (times < part.end)]
            fit.add(schema.stack(cube.read(times)), times.values)
            count += len(times)
        tensors = {name: torch.from_numpy(values) for name, values in fit.sums.items()}
        save_tensors(folder / _SUMS, tensors)
        return {"states": count}

    return run_step(ArtifactStore(part.store), part.recipe(cube), build).key


def missing_parts(parts: Sequence[StatisticsPart]) -> list[StatisticsPart]:
    """Parts whose sums are not in the store."""
    return [
        part
        for part in parts
        if ArtifactStore(part.store).find(part.recipe(Cube.load(part.states))) is None
    ]


def merge_statistics(parts: Sequence[StatisticsPart]) -> Artifact:
    """Fit the normalisation to the sums of the training period, merged in order of time.

    Args:
        parts: All of `statistics_parts`, each summed by `sum_part`.

    Returns:
        An artifact with the climatology's coefficients and the standard deviations.
    """
    first = parts[0]
    store, cube, schema = (
        ArtifactStore(first.store),
        Cube.load(first.states),
        first.preset.state.build(),
    )
    recipes = [part.recipe(cube) for part in parts]
    recipe = Recipe(
        step="statistics",
        version=2,
        config={"normalisation": first.preset.normalisation.hashed()},
        parents={f"part {i}": r.key for i, r in enumerate(recipes)},
    )

    def build(folder: Path) -> Mapping[str, Any]:
        fit, count = climatology_fit(first.preset), 0
        for part_recipe in recipes:
            found = store.find(part_recipe)
            if found is None:
                raise IntegrityError(
                    f"{store.url} lost the sums {part_recipe.key}; run the command again"
                )
            with found.verify().local() as data:
                sums = load_tensors(data / _SUMS)
            fit.merge({name: values.numpy() for name, values in sums.items()})
            count += int(found.summary["states"])
        normalisation = fit.solve()
        write_normalisation(folder / NORMALISATION, normalisation)
        spread = dict(zip(schema.names, normalisation.std.tolist(), strict=True))
        return {"states": count, "std": spread}

    return run_step(store, recipe, build)


def _tensors(normalisation: Normalisation) -> dict[str, Tensor]:
    tensors = {
        "coefficients": torch.from_numpy(normalisation.base.coefficients),
        "std": torch.from_numpy(normalisation.std),
    }
    if normalisation.missing is not None:
        tensors["missing"] = torch.from_numpy(normalisation.missing)
    return tensors


def load_normalisation(path: Path) -> Normalisation:
    """Read what `merge_statistics` or `write_compact_normalisation` wrote."""
    tensors = load_tensors(path)
    std = tensors["std"].numpy()
    missing = tensors["missing"].numpy() if "missing" in tensors else None
    if "coefficients" in tensors:
        return Normalisation(SeasonalClimatology(tensors["coefficients"].numpy()), std, missing)
    harmonics = tensors["harmonics"].float().numpy() * std[:, None, None]
    coefficients = np.concatenate([tensors["mean"].numpy()[:, None], harmonics], axis=1)
    return Normalisation(SeasonalClimatology(coefficients), std, missing)


def write_normalisation(path: Path, normalisation: Normalisation) -> None:
    """Write a normalisation in full precision."""
    save_tensors(path, _tensors(normalisation))


def write_compact_normalisation(path: Path, normalisation: Normalisation) -> None:
    """Write a normalisation with its harmonics, in units of the spread, in half precision."""
    coefficients, std = normalisation.base.coefficients, normalisation.std
    harmonics = torch.from_numpy(coefficients[:, 1:] / std[:, None, None])
    compact = _tensors(normalisation) | {
        "mean": torch.from_numpy(coefficients[:, 0].copy()),
        "harmonics": harmonics.half(),
    }
    compact.pop("coefficients")
    save_tensors(path, compact)
