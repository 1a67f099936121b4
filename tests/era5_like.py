"""Datasets with ERA5's names, shapes and plausible values, and ARCO-ERA5's way to store them."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.io.sources import SourceSpec
from appa_core.io.units import UPPER_AIR
from appa_core.schema import VARIABLES

LEVELS = (
    1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100, 125, 150, 175, 200, 225, 250, 300, 350, 400, 450, 500,
    550, 600, 650, 700, 750, 775, 800, 825, 850, 875, 900, 925, 950, 975, 1000,
)  # fmt: skip

ARCO = (
    "temperature", "u_component_of_wind", "geopotential", "specific_humidity", "2m_temperature",
    "10m_u_component_of_wind", "mean_sea_level_pressure", "sea_surface_temperature",
    "total_precipitation",
)  # fmt: skip

# mean and size of the waves
_SIZES = {
    "temperature": (250.0, 20.0),
    "specific_humidity": (5e-3, 2e-3),
    "2m_temperature": (280.0, 20.0),
    "mean_sea_level_pressure": (101_300.0, 1500.0),
    "sea_surface_temperature": (290.0, 8.0),
    "total_precipitation": (2e-3, 1e-3),
    "total_precipitation_6hr": (8e-3, 4e-3),
}


def era5_like(
    times: pd.DatetimeIndex,
    variables: tuple[str, ...] = ARCO,
    levels: tuple[int, ...] = LEVELS,
    shape: tuple[int, int] = (19, 36),
) -> xr.Dataset:
    """Waves on a grid with poles, latitudes descending, float32; land is where SST is NaN."""
    lat, lon = np.linspace(90.0, -90.0, shape[0]), np.arange(shape[1]) * (360.0 / shape[1])
    hours = (times - pd.Timestamp("2020-01-01")) / pd.Timedelta(hours=1)
    t, z, y, x = np.meshgrid(hours, levels, np.deg2rad(lat), np.deg2rad(lon), indexing="ij")
    data = {}
    for i, name in enumerate(variables):
        mean, size = _SIZES.get(name, (0.0, 20.0))
        wave = np.cos(y) * np.sin(2 * x + 0.3 * t + i) + 0.1 * np.cos(5 * y + 0.01 * z + 7 * x)
        values = mean + size * wave
        if name == "geopotential":
            values = 9.80665 * (7000.0 * np.log(1013.25 / z) + 10 * wave)
        if name == "sea_surface_temperature":
            values = np.where(np.sin(x) * np.cos(3 * y) > 0.4, np.nan, values)
        is_upper = name in UPPER_AIR
        dims = ("time", *(("level",) if is_upper else ()), "latitude", "longitude")
        values = values if is_upper else values[:, 0]
        data[name] = (dims, values.astype(np.float32), {"units": VARIABLES[name][0]})
    coords = {"time": times, "level": list(levels), "latitude": lat, "longitude": lon}
    if not set(variables) & UPPER_AIR:
        del coords["level"]
    return xr.Dataset(data, coords)


def write_arco(
    path: Path, zarr_format: int, hours: int = 30, final_hours: int = 24, empty_hours: int = 10
) -> xr.Dataset:
    """Write hourly states from 2020-01-01 as ARCO-ERA5 does, and return them.

    The time axis goes on for `empty_hours` without chunks, as ARCO's does until 2050.
    """
    times = pd.date_range("2020-01-01", periods=hours + empty_hours, freq="h")
    dataset = era5_like(times)
    dataset.attrs = {
        "valid_time_start": "2020-01-01",
        "last_updated": "2020-03-01 02:45:44.987382+00:00",
        "valid_time_stop": f"{times[final_hours - 1]:%Y-%m-%d}",
        "valid_time_stop_era5t": str(times[hours - 1]),
    }
    encoding = {str(name): {"chunks": (1, *v.shape[1:])} for name, v in dataset.data_vars.items()}
    time = {"units": "hours since 1900-01-01", "calendar": "proleptic_gregorian", "dtype": "i8"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        dataset.to_zarr(
            path, zarr_format=zarr_format, encoding=encoding | {"time": time}, consolidated=True
        )
    for name in dataset.data_vars:
        for hour in range(hours, len(times)):
            remove_chunk(path, str(name), hour, zarr_format)
    return dataset.isel(time=slice(hours))


def chunk_path(path: Path, name: str, hour: int, zarr_format: int) -> Path:
    """A chunk of one hour: a file, or a folder that ends in one."""
    zeros = 3 if name in UPPER_AIR else 2
    if zarr_format == 2:
        return path / name / ".".join([str(hour), *["0"] * zeros])
    return path / name / "c" / str(hour)


def remove_chunk(path: Path, name: str, hour: int, zarr_format: int) -> None:
    chunk = chunk_path(path, name, hour, zarr_format)
    shutil.rmtree(chunk) if chunk.is_dir() else chunk.unlink()


def written(dataset: xr.Dataset, path: Path, **options: Any) -> str:
    """A store on this disk, its metadata not consolidated."""
    dataset.to_zarr(path, zarr_format=3, consolidated=False, **options)
    return str(path)


def spec_of(*urls: Any, **options: Any) -> SourceSpec:
    return SourceSpec("era5", options.pop("format", "zarr"), tuple(map(str, urls)), **options)
