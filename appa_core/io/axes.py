"""Times and levels of datasets, decoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.errors import DataError

_TIMES = ("time", "valid_time", "time_index", "date")
_STEP = "step"
_HPA = {"pa": 0.01, "hpa": 1.0, "mbar": 1.0, "mb": 1.0, "millibar": 1.0, "millibars": 1.0}
_HIGHEST_HPA = 1100.0


def valid_span(attributes: Mapping[str, Any]) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First and last time at which a store says that it has data; ARCO-ERA5's axis ends in 2050.

    Raises:
        DataError: An attribute is not a time.
    """
    start = _stamp(attributes, "valid_time_start") or pd.Timestamp.min
    stops = [_stamp(attributes, f"valid_time_stop{kind}", last=True) for kind in ("_era5t", "")]
    return start, max((s for s in stops if s is not None), default=pd.Timestamp.max)


def final_until(attributes: Mapping[str, Any]) -> pd.Timestamp | None:
    """Last time of states that will not change any more; None if the attributes do not say."""
    return _stamp(attributes, "valid_time_stop", last=True)


def _stamp(attributes: Mapping[str, Any], name: str, *, last: bool = False) -> pd.Timestamp | None:
    """A time among attributes; a date alone includes its last hour if `last`."""
    if name not in attributes:
        return None
    text = str(attributes[name]).strip()
    try:
        stamp = pd.Timestamp(text)
    except ValueError as error:
        raise DataError(f"attribute {name} is {text!r}, expected a date") from error
    stamp = stamp if stamp.tz is None else stamp.tz_convert("UTC").tz_localize(None)
    return stamp + pd.Timedelta(hours=23) if last and len(text) <= len("2020-01-01") else stamp


def time_dims(dataset: xr.Dataset) -> tuple[str, ...]:
    """Dimensions of time: none, one, or those of initial times and steps."""
    dims = [d for d in _TIMES if d in dataset.dims][:1]
    return (*dims, _STEP) if dims and _STEP in dataset.dims else tuple(dims)


def valid_times(
    dataset: xr.Dataset, dims: tuple[str, ...], where: str, units: str
) -> pd.DatetimeIndex:
    """Times of all states, flattened over initial times and steps."""
    variables = dataset.variables
    if "valid_time" in variables and set(variables["valid_time"].dims) <= set(dims):
        times = _decoded(variables["valid_time"], where, units)
    else:
        name = next((n for n in (*dims, *_TIMES) if n in variables), None)
        if name is None:
            found = ", ".join(map(str, variables))
            raise DataError(f"{where} has no coordinate of time; it has: {found}")
        times = _decoded(variables[name], where, units)
        if _STEP in variables:
            times = times + _decoded_step(variables[_STEP], where)
    shape = {dim: dataset.sizes[dim] for dim in dims}
    template = xr.Variable(dims, np.zeros(list(shape.values()), "timedelta64[s]"))
    values = np.ravel((times + template).transpose(*dims).values)
    return pd.DatetimeIndex(values.astype("datetime64[ns]")).round("s")


def _decoded(times: xr.Variable, where: str, units: str) -> xr.Variable:
    """Times as datetime64, by their attributes or else by `units`."""
    times = times.to_base_variable()
    if times.dtype.kind == "M":
        return times
    attrs = {"units": units, **times.attrs}
    if " since " not in str(attrs["units"]):
        raise DataError(
            f"times of {where} have units {attrs['units']!r}, expected such as 'hours since "
            "1900-01-01'; set the source's 'time_units'"
        )
    try:
        numbers = xr.Dataset({"t": (times.dims, times.values, attrs)})
        decoded = xr.decode_cf(numbers, decode_timedelta=False)["t"].variable
    except (ValueError, OverflowError) as error:
        raise DataError(f"times of {where} cannot be decoded: {error}") from error
    if decoded.dtype.kind != "M" or bool(np.isnat(decoded.values).any()):
        raise DataError(f"times of {where} ({attrs}) are not all of the usual calendar")
    return decoded


def _decoded_step(steps: xr.Variable, where: str) -> xr.Variable:
    """Time since the start of a forecast as timedelta64."""
    if steps.dtype.kind == "m":
        return steps.to_base_variable()
    if str(steps.attrs.get("units")) not in {"hours", "hour", "h"}:
        raise DataError(f"steps of {where} have attributes {steps.attrs}, expected units 'hours'")
    seconds = np.round(np.asarray(steps.values, float) * 3600.0)
    return xr.Variable(steps.dims, seconds.astype("timedelta64[s]"))


def ordered(times: pd.DatetimeIndex, where: str) -> pd.DatetimeIndex:
    """Times, if there are any and they ascend.

    Raises:
        DataError: They do not, or one is there twice.
    """
    if not len(times):
        raise DataError(f"{where} has no times, or none that its attributes call valid")
    if not times.is_unique:
        twice = times[times.duplicated()][0]
        raise DataError(f"{where} has the time {twice:%Y-%m-%dT%H:%M} UTC more than once")
    if not times.is_monotonic_increasing:
        i = int(np.argmax(np.diff(times.values) < np.timedelta64(0)))
        raise DataError(
            f"times of {where} are not in order: {times[i]:%Y-%m-%dT%H:%M} comes before "
            f"{times[i + 1]:%Y-%m-%dT%H:%M}; sort them"
        )
    return times


def pressures(levels: xr.DataArray) -> tuple[float, ...]:
    """Pressure in hPa."""
    values = np.atleast_1d(np.asarray(levels.values, float))
    units = levels.attrs.get("units")
    if units is None:
        factor = 1.0 if values.max() <= _HIGHEST_HPA else _HPA["pa"]
    elif str(units).strip().lower() in _HPA:
        factor = _HPA[str(units).strip().lower()]
    else:
        raise DataError(f"{levels.name} has units {units!r}, expected Pa or hPa")
    pressures = tuple(round(v, 4) for v in (values * factor).tolist())
    if len(set(pressures)) != len(pressures):
        raise DataError(f"{levels.name} has a level more than once: {values}")
    return pressures
