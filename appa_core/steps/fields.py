"""Drawn trajectories as fields in physical units, a few states at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from appa_core.config.requests import EnsembleRequest
from appa_core.io.datasets import write_zarr_blocks
from appa_core.io.forecasts import FieldSelection, trajectory_dataset
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.steps.drawing import Drawing
from appa_core.steps.drawn import DrawnEnsemble
from appa_core.steps.forecast import StateSource
from appa_core.steps.step import run_step

#: States that are decoded, compared and written at once: what bounds memory.
BLOCK_STATES = 24


@dataclass(frozen=True)
class Product:
    """What is published of drawn trajectories, and what they are compared with.

    Args:
        kind: Such as `reanalysis`: names of steps and files.
        request: What was asked.
        drawing: How trajectories were drawn.
        observations: A kept table.
        truth: Known states; None where there are none.
        command: The command line that makes it; that of the flow of its kind if empty.
    """

    kind: str
    request: EnsembleRequest
    drawing: Drawing
    observations: Artifact
    truth: StateSource | None = None
    command: str = ""

    @property
    def file(self) -> str:
        """Name of the fields."""
        return f"{self.kind}.zarr"

    @cached_property
    def selection(self) -> FieldSelection:
        """Fields and cells to write."""
        return FieldSelection.of(self.drawing.preset.state.build(), self.request)

    def physical(self, values: Tensor, times: np.ndarray) -> np.ndarray:
        """Drawn states of a member (L, ...) as states (L, C, H, W) in physical units."""
        drawing = self.drawing
        standard = (
            values if drawing.draws_states else drawing.model.decode(values.to(drawing.device))
        )
        restored = drawing.model.normalisation.restore(standard.cpu().numpy(), times)
        return self.selection.schema.bound(restored.astype(np.float32))


def write_fields(
    store: ArtifactStore,
    product: Product,
    ensemble: DrawnEnsemble,
    name: str = "",
    *,
    recompute: bool = False,
) -> Artifact:
    """Decode all members into `<kind>.zarr`.

    Args:
        store: Where artifacts live.
        product: What is written.
        ensemble: Trajectories.
        name: Of the file's trunk; that of the product if empty.
        recompute: Write again what is there.
    """
    trunk = name or product.kind
    recipe = Recipe(
        f"{trunk}-fields",
        1,
        {
            "selection": product.selection.hashed(),
            "times": [str(ensemble.times[0]), len(ensemble.times)],
        },
        ensemble.parents,
    )

    def build(folder: Path) -> Mapping[str, Any]:
        blocks = (_dataset(product, ensemble, states) for states in ensemble.blocks(BLOCK_STATES))
        count = write_zarr_blocks(blocks, folder / f"{trunk}.zarr")
        return {"members": ensemble.members, "states": count}

    return run_step(store, recipe, build, recompute=recompute)


def _dataset(product: Product, ensemble: DrawnEnsemble, states: range) -> xr.Dataset:
    times = ensemble.times[states.start : states.stop]
    members = [
        product.selection.of_states(product.physical(z, times.values))
        for z in ensemble.each(states)
    ]
    dataset = trajectory_dataset(np.stack(members), product.selection, times)
    about = {"source": "unknown"}
    if product.truth is not None:
        about = {"source": str(product.truth.open().attributes.get("source", "unknown"))}
    return dataset.assign_attrs(
        title=f"Appa ensemble {product.kind}",
        model=f"{product.request.model} {product.drawing.model_key}",
        Conventions="CF-1.11",
        **about,
    )


def read_blocks(product: Product, path: Path) -> Iterator[tuple[range, np.ndarray]]:
    """Written fields, some states at a time, (member, time, channel, latitude, longitude)."""
    dataset = xr.open_zarr(path, chunks=None, consolidated=False)
    for low in range(0, dataset.sizes["time"], BLOCK_STATES):
        part = dataset.isel(time=slice(low, low + BLOCK_STATES)).load()
        fields = []
        for channel in product.selection.channels:
            field = part[channel.variable]
            if channel.level is not None:
                field = field.sel(level=channel.level)
            fields.append(field.values)
        yield range(low, low + part.sizes["time"]), np.stack(fields, axis=2)
