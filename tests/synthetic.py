"""Weather-like states for tests: smooth waves that drift, so that nothing needs a simulator."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.config.presets import Preset, load_preset
from appa_core.io.datasets import write_zarr
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.schema import VARIABLES, StateSchema
from appa_core.steps.simulate import chunk_recipe
from appa_core.steps.step import run_step

SIZES = {
    "geopotential": 500.0,
    "mean_sea_level_pressure": 500.0,
    "specific_humidity": 1e-3,
    "total_precipitation_6hr": 1e-3,
}
NOTICE = "Simulated: synthetic waves for tests"


def tiny_preset() -> Preset:
    """The preset `tiny` in the first months of 2012."""
    preset = load_preset("tiny")
    dates = {
        "nature": {"start": date(2012, 1, 1), "end": date(2012, 3, 1)},
        "split": {
            "train_start": date(2012, 1, 1),
            "validation_start": date(2012, 2, 10),
            "test_start": date(2012, 2, 20),
        },
    }
    moved = {name: getattr(preset, name).model_copy(update=d) for name, d in dates.items()}
    return preset.model_copy(update=moved)


def _base(variable: str, levels: np.ndarray | float = 1000.0) -> np.ndarray | float:
    """Values of a standard atmosphere, about which the waves go."""
    if variable == "geopotential":
        return 9.80665 * 44_331 * (1 - (levels / 1013.25) ** 0.19026)
    means = {
        "temperature": 215.0 + 0.07 * np.asarray(levels),
        "2m_temperature": 285.0,
        "mean_sea_level_pressure": 101_000.0,
        "specific_humidity": 6e-3,
        "total_precipitation_6hr": 6e-3,
    }
    return means.get(variable, 0.0)


def synthetic_states(schema: StateSchema, start: str, days: int) -> xr.Dataset:
    """Drifting zonal waves with a seasonal and a daily cycle, in plausible units."""
    times = pd.date_range(start, periods=days * 24 // schema.step_hours, freq="6h")
    hours = (times - pd.Timestamp("2012-01-01")) / pd.Timedelta(hours=1)
    hours = np.asarray(hours)[:, None, None]
    lat = np.deg2rad(np.asarray(schema.grid.latitudes))[:, None]
    lon = np.deg2rad(np.asarray(schema.grid.longitudes))[None]
    data = {}
    for i, variable in enumerate(schema.variables):
        size = SIZES.get(variable, 1.0)
        wave = sum(
            np.cos(lat) ** 2 * np.sin(m * lon - hours * (0.02 + 0.003 * (m + i)) + 1.7 * m + i)
            for m in (1, 2, 3)
        )
        wave = wave + 0.3 * np.cos(2 * np.pi * hours / 24 + lon)
        has_levels = any(c.variable == variable and c.level is not None for c in schema.channels)
        attrs = {"units": VARIABLES[variable][0]}
        if has_levels:
            levels = np.asarray(schema.levels, float)[None, :, None, None]
            values = size * wave[:, None] * (0.5 + levels / 1000) + _base(variable, levels)
            dims = ("time", "level", "latitude", "longitude")
        else:
            values, dims = size * wave + _base(variable), ("time", "latitude", "longitude")
        data[variable] = (dims, values.astype(np.float32), attrs)
    coords = {
        "time": times,
        "level": list(schema.levels),
        "latitude": list(schema.grid.latitudes),
        "longitude": list(schema.grid.longitudes),
    }
    return xr.Dataset(data, coords=coords, attrs={"source": NOTICE})


def synthetic_chunks(store: ArtifactStore, preset: Preset) -> list[Artifact]:
    """Chunks with the identity of the nature run's, so that flows take them for simulated."""
    config, schema = preset.simulated(), preset.state.build()
    chunks: list[Artifact] = []
    for start in pd.date_range(config.start, config.end, freq=f"{config.chunk_days}D"):
        if start >= pd.Timestamp(config.end):
            break
        recipe = chunk_recipe(config, schema, start, chunks[-1] if chunks else None)

        def build(folder, start=start):
            states = synthetic_states(schema, str(start), config.chunk_days)
            write_zarr(states, folder / "states.zarr")
            return {"start": str(start)}

        chunks.append(run_step(store, recipe, build))
    return chunks
