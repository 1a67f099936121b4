"""What benchmarks of the data plane share: a source to read, and its ingestion."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import zarr

from appa_core.io.cube import Cube
from appa_core.io.sources import SourceSpec
from appa_core.schema import StateSchema
from appa_core.steps.ingest import IngestJob, ingest_unit, plan_ingest

START = pd.Timestamp("2020-01-01")
_MEANS = {"temperature": 260.0, "2m_temperature": 285.0, "mean_sea_level_pressure": 101_000.0}
_SPREAD = {"geopotential": 100.0, "mean_sea_level_pressure": 500.0, "specific_humidity": 1e-4}


def write_source(path: Path, schema: StateSchema, states: int) -> SourceSpec:
    """Noise about plausible means, one state a chunk."""
    root = zarr.open_group(path, mode="w")
    rng = np.random.default_rng(0)
    axes = {
        "time": np.arange(states) * schema.step_hours,
        "latitude": np.asarray(schema.grid.latitudes),
        "longitude": np.asarray(schema.grid.longitudes),
        "level": np.asarray(schema.levels),
    }
    for name, values in axes.items():
        root.create_array(name, data=values, dimension_names=[name])
    root["time"].attrs["units"] = f"hours since {START:%Y-%m-%d}"
    root["level"].attrs["units"] = "hPa"
    levels = np.asarray(schema.levels)[:, None, None]
    heights = 9.80665 * 44_331 * (1 - (levels / 1013.25) ** 0.19026)
    for name in schema.variables:
        upper = any(c.variable == name and c.level is not None for c in schema.channels)
        shape = ((len(schema.levels),) if upper else ()) + schema.grid.shape
        dims = ["time", *(["level"] if upper else []), "latitude", "longitude"]
        array = root.create_array(
            name, shape=(states, *shape), chunks=(1, *shape), dtype="f4", dimension_names=dims
        )
        array.attrs["units"] = next(c.units for c in schema.channels if c.variable == name)
        base = heights if name == "geopotential" else _MEANS.get(name, 0.0)
        for i in range(states):
            noise = np.abs(rng.standard_normal(shape, np.float32))
            array[i] = (base + _SPREAD.get(name, 1e-3) * noise).astype(np.float32)
    return SourceSpec(name="benchmark", format="zarr", urls=(str(path),), fingerprint="benchmark")


def ingest_all(job: IngestJob, states: int) -> Cube:
    """Ingest all states of a source, in this process."""
    end = START + states * pd.Timedelta(hours=job.schema.step_hours)
    for unit in plan_ingest(job, START, end):
        ingest_unit(unit)
    return job.cube()


def seconds(call: Callable[[], object]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
