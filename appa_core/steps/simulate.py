"""Simulating the nature run, chunk by chunk, each continuing from the last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from appa_core.config.presets import NatureConfig
from appa_core.io.datasets import write_zarr
from appa_core.io.sources import SourceSpec
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.nature.speedy import STEP_HOURS, NatureModel
from appa_core.schema import StateSchema
from appa_core.steps.step import run_step

_STATE = "model-state.msgpack"
STATES = "states.zarr"
#: Name of the nature run among the sources.
NATURE = "nature"


class _Simulation:
    """The model, made on first use and moved to where the next chunk begins."""

    def __init__(self, config: NatureConfig, schema: StateSchema) -> None:
        self._config, self._schema = config, schema
        self._model: NatureModel | None = None

    def at(self, time: pd.Timestamp, previous: Artifact | None) -> NatureModel:
        if self._model is None:
            origin = pd.Timestamp(self._config.start) - pd.Timedelta(
                days=self._config.spin_up_days
            )
            self._model = NatureModel(origin, self._schema)
        if previous is None:
            # states are 6-hourly and a chunk's first one falls on its first midnight
            self._model.spin_up(self._config.spin_up_days - STEP_HOURS / 24)
        elif self._model.time != time:
            with previous.verify().local() as folder:
                self._model.load(folder / _STATE, time)
        return self._model


def chunk_recipe(
    config: NatureConfig, schema: StateSchema, time: pd.Timestamp, previous: Artifact | None
) -> Recipe:
    """Identity of the chunk that begins at a time and continues from another."""
    return Recipe(
        step="simulate",
        version=1,
        config={
            "start": f"{time:%Y-%m-%d}",
            "days": config.chunk_days,
            "spin_up_days": config.spin_up_days if previous is None else 0,
            "schema": schema.fingerprint,
            "jcm": config.jcm_version,
        },
        parents={} if previous is None else {"previous": previous.key},
    )


def nature_source(chunks: Sequence[Artifact]) -> SourceSpec:
    """The nature run as a source of states; longer runs continue shorter ones."""
    return SourceSpec(
        name=NATURE,
        format="zarr",
        urls=tuple(chunk.locate(STATES) for chunk in chunks),
        fingerprint=chunks[0].key,
    )


def simulate_nature_run(
    store: ArtifactStore, config: NatureConfig, schema: StateSchema, end: pd.Timestamp
) -> Iterator[Artifact]:
    """Simulate from the configured start until a time, one artifact a chunk.

    Args:
        store: Where chunks are kept; those that exist are not simulated again.
        config: Start, spin-up and chunk length.
        schema: Fields, levels and grid of the states.
        end: The last chunk holds the state just before this time.

    Yields:
        Chunks in order of time, each with `states.zarr` and the model's own state.
    """
    simulation = _Simulation(config, schema)
    span = pd.Timedelta(days=config.chunk_days)
    time, previous = pd.Timestamp(config.start), None
    while time < end:
        recipe = chunk_recipe(config, schema, time, previous)
        previous = run_step(store, recipe, _chunk_builder(simulation, time, previous, config))
        yield previous
        time += span


def _chunk_builder(
    simulation: _Simulation, time: pd.Timestamp, previous: Artifact | None, config: NatureConfig
) -> Any:
    def build(folder: Path) -> Mapping[str, Any]:
        clock = time - pd.Timedelta(hours=STEP_HOURS)
        model = simulation.at(clock, previous)
        states = model.run(config.chunk_days)
        if states["time"].values[0] != time.to_datetime64():
            raise RuntimeError(f"the chunk of {time} begins at {states['time'].values[0]}")
        write_zarr(_with_static_fields(states, model), folder / STATES, consolidated=False)
        model.save(folder / _STATE)
        return {"start": str(time), "days": config.chunk_days, "jcm_installed": version("jcm")}

    return build


def _with_static_fields(states: xr.Dataset, model: NatureModel) -> xr.Dataset:
    dims = ("latitude", "longitude")
    return states.assign(
        geopotential_at_surface=(dims, model.orography.astype("f4"), {"units": "m2 s-2"}),
        land_sea_mask=(dims, model.land_sea_mask.astype("f4"), {"units": "1"}),
    )
