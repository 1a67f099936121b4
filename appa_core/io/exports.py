"""Results in the formats and layouts of other tools: NetCDF, zarr, WeatherBench 2."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from appa_core.io.ensembles import EnsembleFields

LAYOUTS = ("appa", "weatherbench2")
#: Heights of surface variables, which their standard names leave open.
_HEIGHTS_M = {
    "2m_temperature": 2.0,
    "10m_u_component_of_wind": 10.0,
    "10m_v_component_of_wind": 10.0,
}
_ACCUMULATED = {
    "total_precipitation_6hr": "sum (interval: 6 hours)",
    "total_precipitation": "sum (interval: 1 hour)",
}
_TIME_UNITS = "hours since 1970-01-01 00:00:00"


def laid_out(dataset: xr.Dataset, layout: str) -> xr.Dataset:
    """A result under the names of a layout.

    `appa` is what results have, which WeatherBench-X reads without renaming dimensions.
    `weatherbench2` is that of WeatherBench 2's forecasts: dims (time, prediction_timedelta,
    number, [level,] latitude, longitude), where `time` is the start; analyses keep `time`.

    Args:
        dataset: A result.
        layout: One of `LAYOUTS`.
    """
    if layout == "appa":
        return dataset
    names = {"init_time": "time", "lead_time": "prediction_timedelta", "member": "number"}
    renamed = dataset.drop_vars("valid_time", errors="ignore")
    renamed = renamed.rename({k: v for k, v in names.items() if k in renamed.dims})
    leading = [d for d in ("time", "prediction_timedelta", "number") if d in renamed.dims]
    ordered = renamed.transpose(*leading, ..., "latitude", "longitude")
    if "level" in ordered:
        level = ordered["level"]
        ordered = ordered.assign_coords(level=level.astype(np.int32).assign_attrs(level.attrs))
    return ordered


def write_zarr_copy(dataset: xr.Dataset, path: Path, layout: str) -> None:
    """Write a result as zarr: a chunk for each start, lead and field of all members.

    WeatherBench 2 recommends whole fields and few times in a chunk; its layout is in zarr's
    format 2, which the libraries of its time read.

    Args:
        dataset: What `laid_out` made.
        path: A folder that does not exist yet.
        layout: Its layout.
    """
    small = {"time", "init_time", "prediction_timedelta", "lead_time", "level"}
    encoding: dict[str, Any] = {
        str(name): {"chunks": tuple(1 if d in small else n for d, n in array.sizes.items())}
        for name, array in dataset.data_vars.items()
    }
    encoding |= _time_encoding(dataset)
    clean = dataset.drop_encoding()
    version = 2 if layout == "weatherbench2" else 3
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        clean.to_zarr(path, mode="w-", zarr_format=version, consolidated=True, encoding=encoding)


def write_netcdf(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as compressed NetCDF 4, a variable in memory at a time.

    Args:
        dataset: Perhaps lazy; floats are written as float32.
        path: A file that does not exist yet.
    """
    coords = dataset.drop_vars(list(dataset.data_vars))
    coords.drop_encoding().to_netcdf(
        path, engine="h5netcdf", encoding=_time_encoding(dataset), mode="w"
    )
    for name, array in dataset.data_vars.items():
        one = array.reset_coords(drop=True).to_dataset(name=str(name)).drop_encoding()
        one = one.drop_vars(list(one.coords))
        dtype = "float32" if array.dtype.kind == "f" else array.dtype
        settings: dict[str, Any] = {
            "zlib": True, "complevel": 4, "shuffle": True, "dtype": dtype, "_FillValue": None,
            "chunksizes": _plane(array),
        }  # fmt: skip
        if np.issubdtype(array.dtype, np.floating):
            settings["_FillValue"] = np.float32(np.nan)
        one.to_netcdf(path, engine="h5netcdf", mode="a", encoding={str(name): settings})


def _plane(array: xr.DataArray) -> tuple[int, ...]:
    return tuple(n if d in {"latitude", "longitude"} else 1 for d, n in array.sizes.items())


def _time_encoding(dataset: xr.Dataset) -> dict[str, Any]:
    encoding: dict[str, Any] = {}
    for name in ("time", "init_time", "valid_time"):
        if name in dataset.coords:
            encoding[name] = {"units": _TIME_UNITS, "calendar": "standard", "dtype": "int64"}
    for name in ("lead_time", "prediction_timedelta"):
        if name in dataset.coords:
            encoding[name] = {"units": "hours", "dtype": "int64"}
    return encoding


def cf_dataset(dataset: xr.Dataset) -> xr.Dataset:
    """A result with what the CF conventions ask for beyond its own attributes.

    Surface variables refer to their height, accumulations to how they were made, forecasts to
    their valid time; axes say which they are.
    """
    out = dataset.copy()
    for name, axis in (("latitude", "Y"), ("longitude", "X"), ("level", "Z"), ("time", "T")):
        if name in out.coords:
            out[name].attrs["axis"] = axis
    if "member" in out.coords:
        out["member"].attrs |= {"units": "1", "axis": "E", "long_name": "ensemble member"}
    heights = {h for v, h in _HEIGHTS_M.items() if v in out}
    for height in sorted(heights):
        attrs = {
            "standard_name": "height", "units": "m", "positive": "up", "long_name": "height",
        }  # fmt: skip
        out = out.assign_coords({_height_name(height): ((), height, attrs)})
    for variable in out.data_vars:
        _describe(out, str(variable))
    return out.assign_attrs(Conventions="CF-1.11")


def _describe(dataset: xr.Dataset, name: str) -> None:
    """Add what CF asks of a variable to its attributes."""
    attrs = dataset[name].attrs
    extra = ["valid_time"] if "valid_time" in dataset.coords else []
    if name in _HEIGHTS_M:
        extra.append(_height_name(_HEIGHTS_M[name]))
    if extra:
        attrs["coordinates"] = " ".join(extra)
    attrs["long_name"] = name.replace("_", " ")
    if name in _ACCUMULATED:
        dim = "time" if "time" in dataset[name].dims else "lead_time"
        attrs["cell_methods"] = f"{dim}: {_ACCUMULATED[name]}"


def _height_name(height: float) -> str:
    return f"height_{height:g}m"


def described_axes(fields: EnsembleFields) -> Mapping[str, Any]:
    """Coordinates of fields without their members and levels, with attributes."""
    names = ["latitude", "longitude", fields.time_dim]
    if fields.is_forecast:
        names += ["init_time", "valid_time"]
    return {name: fields.single[name] for name in names}
