"""A small cube, and states that any writer makes alike."""

from pathlib import Path

import numpy as np
import xarray as xr

from appa_core.io.cube import Block, CubeSpec, CubeVariable

PLANE = ("latitude", "longitude")
TEMPERATURE = CubeVariable("temperature", ("level", *PLANE), {"units": "K"})
SEA = CubeVariable("sea_surface_temperature", PLANE, {"units": "K"}, may_be_missing=True)
LEVELS = np.array([500, 850])
FIRST = Block(2020, 0)


def spec(**changes):
    settings = {
        "step": "states",
        "version": 1,
        "config": {"source": "era5", "sizes": (1, 2)},
        "parents": {"raw": "abc"},
        "step_hours": 6,
        "block_states": 8,
        "coordinates": {
            "level": LEVELS,
            "latitude": np.linspace(-75, 75, 6),
            "longitude": np.arange(0, 360, 30.0),
        },
        "variables": (TEMPERATURE, SEA),
    }
    return CubeSpec(**(settings | changes))


def states(cube, times, seed=0):
    """States that depend on their time alone, so that any writer makes the same."""
    fields = {}
    for i, v in enumerate(cube.spec.variables):
        values = np.empty((len(times), *cube.spec.shape(v)), cube.spec.dtype)
        for row, time in enumerate(times):
            rng = np.random.default_rng([seed, i, time.year, time.day_of_year, time.hour])
            values[row] = rng.normal(280, 10, cube.spec.shape(v))
        if v.may_be_missing:
            values[..., 0] = np.nan
        fields[v.name] = (("time", *v.dims), values, dict(v.attrs))
    axes = {n: (n, x, cube.spec.axis_attrs(n)) for n, x in cube.spec.coordinates.items()}
    return xr.Dataset(fields, {"time": times, **axes})


def fill(cube, *blocks, seed=0):
    for block in blocks:
        cube.commit(block, states(cube, cube.times_of(block), seed), {"source": "era5"})
    return cube


def contents(cube):
    """Everything but records, which say when they were written."""
    files = [p for p in Path(cube.url).rglob("*") if p.is_file() and "ledger" not in p.parts]
    return {p.relative_to(cube.url): p.read_bytes() for p in files}


def is_clean(cube):
    """Whether no file is left in the staging folder of the store."""
    return not [p for p in (Path(cube.url).parents[1] / ".staging").rglob("*") if p.is_file()]
