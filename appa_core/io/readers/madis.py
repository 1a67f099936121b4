"""NetCDF files of NOAA's MADIS: METAR, marine and aircraft reports; soundings are in `raob`.

Names and units of variables are those in the files themselves; see https://madis.ncep.noaa.gov.
"""

from __future__ import annotations

import io
import warnings
from collections import Counter

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.errors import DataError
from appa_core.io.readers.batch import Batch, Reader
from appa_core.io.readers.files import RawFile
from appa_core.io.readers.madis_variables import first_flag, flags, numbers, texts, times
from appa_core.io.readers.raob import sounding_rows
from appa_core.io.readers.reports import (
    add_station_pressure,
    report_ids,
    surface_rows,
    upper_air_rows,
)
from appa_core.observe.instruments import standard_pressure

_ROLLS = "file: roll angle above 5 degrees"
# tenths of a degree in the remarks and whole ones in the body are of one reading
_TENTHS_AGREE_K = 1.0


def recognises(head: bytes) -> bool:
    """Whether a file is NetCDF; that it is one of MADIS shows when it is open."""
    return head.startswith((b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF"))


def read(file: RawFile) -> Batch:
    """Rows of a file.

    Raises:
        DataError: It is of no kind that is read.
    """
    unreadable: Counter[str] = Counter()
    with _opened(file.data) as dataset:
        if "prMan" in dataset:
            return Batch(sounding_rows(dataset, unreadable), unreadable)
        for marker, make in (
            ("rawMETAR", _metar),
            ("dataPlatformType", _marine),
            ("en_tailNumber", _aircraft),
        ):
            if marker in dataset:
                return Batch(make(dataset, unreadable), unreadable)
        raise DataError(
            f"{file.url} is NetCDF, but none of MADIS that is read (METAR, marine, aircraft, "
            f"radiosonde); it holds {', '.join(list(map(str, dataset))[:8])}"
        )


READER = Reader("MADIS NetCDF", recognises, read)


def _opened(data: bytes) -> xr.Dataset:
    engine = "h5netcdf" if data.startswith(b"\x89HDF") else "scipy"
    with warnings.catch_warnings():
        # on variables with two fill values, none of which is read
        warnings.simplefilter("ignore", xr.SerializationWarning)
        return xr.open_dataset(io.BytesIO(data), engine=engine, decode_times=False)


def _reports(dataset: xr.Dataset, platform: str | np.ndarray, station: str) -> pd.DataFrame:
    """Where and when reports were made."""
    return pd.DataFrame(
        {
            "valid_time": times(dataset, "timeObs"),
            "latitude": numbers(dataset, "latitude"),
            "longitude": numbers(dataset, "longitude"),
            "elevation_m": np.nan,
            "platform": platform,
            "station_id": texts(dataset, station),
        }
    )


def _with(reports: pd.DataFrame, dataset: xr.Dataset, names: dict[str, str]) -> pd.DataFrame:
    """Reports with elements and their flags, by the names of the file's variables."""
    columns = {}
    for element, name in names.items():
        columns[element] = numbers(dataset, name)
        columns[f"{element}_flag"] = flags(dataset, name)
    return reports.assign(**columns, report_id=report_ids(reports))


_SURFACE = {
    "temperature": "temperature",
    "dew_point": "dewpoint",
    "wind_speed": "windSpeed",
    "wind_direction": "windDir",
    "sea_level_pressure": "seaLevelPress",
    "rain_6h": "precip6Hour",
}


def _metar(dataset: xr.Dataset, unreadable: Counter[str]) -> pd.DataFrame:
    names = _SURFACE | {"altimeter": "altimeter"}
    reports = _with(_reports(dataset, "metar", "stationName"), dataset, names)
    reports["elevation_m"] = numbers(dataset, "elevation")
    for element, tenths in (("temperature", "tempFromTenths"), ("dew_point", "dpFromTenths")):
        exact = numbers(dataset, tenths)
        agree = np.abs(exact - reports[element].to_numpy()) <= _TENTHS_AGREE_K
        reports[element] = np.where(agree, exact, reports[element])
    add_station_pressure(reports)
    return surface_rows(reports, unreadable)


def _marine(dataset: xr.Dataset, unreadable: Counter[str]) -> pd.DataFrame:
    """Ships, and buoys: what is fixed (C-MAN too), and what drifts with a WMO number."""
    station = pd.Series(texts(dataset, "stationName"))
    is_buoy = (dataset["dataPlatformType"].values == 0) | station.str.fullmatch(r"\d{5,7}")
    platform = np.where(is_buoy, "buoy", "ship").astype(object)
    names = _SURFACE | {"station_pressure": "stationPress", "sea_temperature": "seaSurfaceTemp"}
    reports = _with(_reports(dataset, platform, "stationName"), dataset, names)
    reports["elevation_m"] = numbers(dataset, "elevation")
    return surface_rows(reports, unreadable)


def _aircraft(dataset: xr.Dataset, unreadable: Counter[str]) -> pd.DataFrame:
    """Reports at a pressure altitude, which the standard atmosphere makes a pressure."""
    names = {k: v for k, v in _SURFACE.items() if v in ("temperature", "dewpoint")}
    names |= {"wind_speed": "windSpeed", "wind_direction": "windDir"}
    reports = _with(_reports(dataset, "aircraft", "en_tailNumber"), dataset, names)
    reports["pressure"] = standard_pressure(numbers(dataset, "altitude"))
    reports["pressure_flag"] = flags(dataset, "altitude")
    reports["report_flag"] = first_flag(
        *(flags(dataset, name) for name in ("latitude", "longitude", "timeObs"))
    )
    rolls = texts(dataset, "rollFlag") == "B"
    own = np.where(rolls, _ROLLS, "").astype(object)
    reports["wind_speed_flag"] = first_flag(reports["wind_speed_flag"].to_numpy(object), own)
    return upper_air_rows(reports, unreadable)
