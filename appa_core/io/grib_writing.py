"""Results as GRIB 2, a message for each field, level, time and member."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from appa_core.errors import DataError, InputError
from appa_core.io.ensembles import EnsembleFields
from appa_core.schema import Channel, Grid

#: Bits of a packed value. Steps are powers of 2, so that a value is off by 2 ** -16 of the range
#: of its field at most.
BITS = 16
_SHORT_NAMES = {
    "temperature": "t",
    "u_component_of_wind": "u",
    "v_component_of_wind": "v",
    "geopotential": "z",
    "specific_humidity": "q",
    "2m_temperature": "2t",
    "10m_u_component_of_wind": "10u",
    "10m_v_component_of_wind": "10v",
    "mean_sea_level_pressure": "msl",
    "sea_surface_temperature": "sst",
    "total_precipitation": "tp",
    "total_precipitation_6hr": "tp",
}
#: Hours over which an accumulated field is a sum.
_SUMMED_HOURS = {"total_precipitation": 1, "total_precipitation_6hr": 6}
#: Water of a metre's depth, kg m-2: what GRIB 2 measures precipitation in.
_KG_PER_M2 = 1000.0
_MISSING = 9999.0
#: Code table C-11: no centre.
_NO_CENTRE = 255
#: Code tables 1.4 and 4.3: perturbed forecasts, ensemble forecast.
_PERTURBED, _ENSEMBLE = 4, 4


def write_grib(fields: EnsembleFields, path: Path) -> int:
    """Write an ensemble as GRIB 2, a field in memory at a time.

    Levels are isobaric, members perturbation numbers, steps hours from the start; analyses have
    step 0 at their own times, and their accumulations end then. Rows go from north to south,
    precipitation is in kg m-2.

    Args:
        fields: The ensemble.
        path: A file that does not exist yet.

    Returns:
        How many messages were written.

    Raises:
        InputError: ecCodes is not installed, or the grid is not one that GRIB names.
    """
    eccodes = _library()
    grid = grid_keys(fields.grid)
    count = 0
    with path.open("wb") as file:
        for channel in fields.channels:
            for t in range(len(fields.hours)):
                values = fields.read(channel, [t])[:, 0]
                for message in _messages(fields, channel, t, values):
                    _write(eccodes, file, grid | message.keys, message.values)
                    count += 1
    return count


@dataclass(frozen=True)
class _Message:
    keys: dict[str, Any]
    values: np.ndarray


def _messages(
    fields: EnsembleFields, channel: Channel, time: int, values: np.ndarray
) -> Iterator[_Message]:
    keys = _time_keys(fields, channel, time) | {
        "shortName": _SHORT_NAMES[channel.variable],
        "numberOfForecastsInEnsemble": fields.members,
    }
    if channel.level is not None:
        keys |= {"typeOfLevel": "isobaricInhPa", "level": channel.level}
    eastwards = np.argsort(fields.grid.longitudes)
    for member, field in enumerate(values):
        rows = field[::-1][:, eastwards].astype(np.float64)
        if channel.variable in _SUMMED_HOURS:
            rows *= _KG_PER_M2
        if np.isinf(rows).any():
            raise DataError(f"{channel.name} holds values that are not finite")
        yield _Message(keys | {"perturbationNumber": member}, rows)


def _time_keys(fields: EnsembleFields, channel: Channel, time: int) -> dict[str, Any]:
    hours = fields.hours[time] if fields.is_forecast else 0
    start = fields.start if fields.is_forecast else fields.valid_times[time]
    keys: dict[str, Any] = {
        "centre": _NO_CENTRE,
        "typeOfProcessedData": _PERTURBED,
        "typeOfGeneratingProcess": _ENSEMBLE,
    }
    summed = _SUMMED_HOURS.get(channel.variable)
    if summed is None:
        keys |= {"productDefinitionTemplateNumber": 1} | _date_keys(start) | {"step": hours}
        return keys
    if not fields.is_forecast:  # what a forecast of so many hours would have summed
        start, hours = start - pd.Timedelta(hours=summed), summed
    keys |= {"productDefinitionTemplateNumber": 11, **_date_keys(start)}
    return keys | {"stepType": "accum", "stepRange": f"{hours - summed}-{hours}"}


def _date_keys(time: pd.Timestamp) -> dict[str, Any]:
    return {"dataDate": int(f"{time:%Y%m%d}"), "dataTime": int(f"{time:%H%M}")}


def grid_keys(grid: Grid) -> dict[str, Any]:
    """Keys of a regular or Gaussian grid, from north to south.

    Raises:
        InputError: Rows are neither evenly spaced nor Gaussian, or columns are not even.
    """
    lat, lon = np.asarray(grid.latitudes), np.asarray(grid.longitudes)
    spacing = np.diff(lon)
    if not np.allclose(spacing, spacing[0], atol=1e-4):
        raise InputError(
            "longitudes are not evenly spaced from 0 eastwards (a region across the Greenwich "
            "meridian is not): GRIB cannot hold this grid; export to NetCDF"
        )
    rows, columns = grid.shape
    common = {
        "Ni": columns,
        "Nj": rows,
        "latitudeOfFirstGridPointInDegrees": float(lat[-1]),
        "longitudeOfFirstGridPointInDegrees": float(lon[0]),
        "latitudeOfLastGridPointInDegrees": float(lat[0]),
        "longitudeOfLastGridPointInDegrees": float(lon[-1]),
        "iDirectionIncrementInDegrees": float(spacing[0]),
        "jScansPositively": 0,
    }
    step = np.diff(lat)
    if np.allclose(step, step[0], atol=1e-4):
        return {"gridType": "regular_ll", **common, "jDirectionIncrementInDegrees": float(step[0])}
    if rows % 2 == 0 and np.allclose(lat, _gaussian(rows), atol=1e-3):
        return {"gridType": "regular_gg", **common, "N": rows // 2}
    raise InputError(
        "latitudes are neither evenly spaced nor those of a whole Gaussian grid: GRIB cannot "
        "hold this grid; export to NetCDF"
    )


def _gaussian(rows: int) -> np.ndarray:
    """Latitudes of a Gaussian grid, ascending: arc sines of the zeros of a Legendre polynomial."""
    return np.asarray(np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(rows)[0])))


def _write(eccodes: Any, file: BinaryIO, keys: dict[str, Any], values: np.ndarray) -> None:
    message = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
    try:
        for name, value in keys.items():
            eccodes.codes_set(message, name, value)
        eccodes.codes_set(message, "bitsPerValue", BITS)
        missing = np.isnan(values)
        if missing.any():
            eccodes.codes_set(message, "bitmapPresent", 1)
            eccodes.codes_set(message, "missingValue", _MISSING)
        eccodes.codes_set_values(message, np.where(missing, _MISSING, values).ravel())
        eccodes.codes_write(message, file)
    finally:
        eccodes.codes_release(message)


def _library() -> Any:
    try:
        return importlib.import_module("eccodes")
    except (ImportError, RuntimeError) as error:  # the latter without the library of ecCodes
        raise InputError(
            "GRIB needs ecCodes, which is not installed: pip install -c constraints.txt -e "
            "'.[grib]', or export with --format netcdf"
        ) from error
