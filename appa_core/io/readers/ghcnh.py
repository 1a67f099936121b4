"""NOAA's Global Historical Climatology Network hourly: text with `|` between columns.

Each element NAME has columns NAME, NAME_Measurement_Code, NAME_Quality_Code and others; values are
in degrees Celsius, hPa, m/s and mm (documentation of GHCNh, NCEI). Version 1 names the place in
capitals and has a DATE; before, there were Year to Minute.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from appa_core.errors import DataError
from appa_core.io.readers.batch import Batch, Reader, first_line
from appa_core.io.readers.files import RawFile
from appa_core.io.readers.reports import add_station_pressure, report_ids, surface_rows

_ZERO_CELSIUS = 273.15
#: Column, factor and offset to SI units.
_ELEMENTS = {
    "temperature": ("temperature", 1.0, _ZERO_CELSIUS),
    "dew_point": ("dew_point_temperature", 1.0, _ZERO_CELSIUS),
    "relative_humidity": ("relative_humidity", 0.01, 0.0),
    "wind_direction": ("wind_direction", 1.0, 0.0),
    "wind_speed": ("wind_speed", 1.0, 0.0),
    "sea_level_pressure": ("sea_level_pressure", 100.0, 0.0),
    "station_pressure": ("station_level_pressure", 100.0, 0.0),
    "altimeter": ("altimeter", 100.0, 0.0),
    "rain_6h": ("precipitation_6_hour", 1e-3, 0.0),
}
#: Quality codes that speak for a value or say nothing: none, and those of ISD for values that
#: passed or were not checked. Letters and other numbers name checks that failed.
_PASSED = frozenset({"", "0", "1", "4", "5", "9"})
_SUSPECT, _ERRONEOUS = frozenset("26"), frozenset("37")
#: Measurement codes of precipitation that was not measured over the period itself.
_OTHER_PERIODS = frozenset("1345678IJ")
_METAR = ("FM15", "FM-15", "FM16", "FM-16", "METAR", "SPECI")
_MISSING = (-9999.0, -999.9, -999.0, 9999.0, 99999.0)


def recognises(head: bytes) -> bool:
    """Whether a file's first line is a header of GHCNh."""
    columns = first_line(head).lower().split("|")
    return len(columns) > 5 and "temperature_quality_code" in columns


def read(file: RawFile) -> Batch:
    """Rows of a file.

    Raises:
        DataError: It lacks columns, or ends within a line.
    """
    unreadable: Counter[str] = Counter()
    table = _table(file, unreadable)
    reports = _reports(table, file.url)
    for element, (column, factor, offset) in _ELEMENTS.items():
        if column in table:
            reports[element] = _numbers(table[column]) * factor + offset
            reports[f"{element}_flag"] = _flags(table, column)
    unreadable["value that is no number"] += _no_numbers(table)
    add_station_pressure(reports)
    rows = surface_rows(reports.assign(report_id=report_ids(reports)), unreadable)
    return Batch(rows, unreadable)


READER = Reader("NOAA GHCN-hourly", recognises, read)


def _table(file: RawFile, unreadable: Counter[str]) -> pd.DataFrame:
    """Its lines as texts, with the names of columns in small letters."""
    header, *lines = file.lines
    names = header.lower().split("|")
    fields = [line.split("|") for line in lines]
    if fields and file.ends_early and len(fields[-1]) < len(names):
        raise DataError(f"{file.url} ends within its last line: it is truncated; fetch it again")
    whole = [values for values in fields if len(values) == len(names)]
    unreadable["line with other columns than the header"] += len(fields) - len(whole)
    return pd.DataFrame(whole, columns=names, dtype=object)


def _reports(table: pd.DataFrame, url: str) -> pd.DataFrame:
    """Where and when reports were made."""
    station = next((n for n in ("station", "station_id") if n in table), "")
    missing = [n for n in ("latitude", "longitude", "elevation") if n not in table]
    if not station or missing:
        raise DataError(f"{url} lacks the columns {', '.join(missing) or 'STATION'} of GHCNh")
    kind = table.get("temperature_report_type", pd.Series("", index=table.index))
    is_metar = kind.str.contains("|".join(_METAR), regex=True)
    return pd.DataFrame(
        {
            "valid_time": _times(table, url),
            "latitude": _numbers(table["latitude"]),
            "longitude": _numbers(table["longitude"]),
            "elevation_m": _numbers(table["elevation"]),
            "platform": np.where(is_metar, "metar", "synop").astype(object),
            "station_id": table[station].astype(object),
        }
    )


def _times(table: pd.DataFrame, url: str) -> pd.Series:
    if "date" in table:
        dates = pd.to_datetime(table["date"], format="ISO8601", errors="coerce", utc=True)
        return dates.dt.tz_localize(None)
    parts = ["year", "month", "day", "hour", "minute"]
    if missing := [name for name in parts if name not in table]:
        raise DataError(f"{url} lacks the columns {', '.join(missing)} of GHCNh, and DATE too")
    numbers = table[parts].apply(pd.to_numeric, errors="coerce")
    times: pd.Series = pd.to_datetime(numbers, errors="coerce")
    return times


def _numbers(column: pd.Series) -> np.ndarray:
    """Values, NaN where there is none."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    return np.where(np.isin(values, _MISSING), np.nan, values)


def _no_numbers(table: pd.DataFrame) -> int:
    """How many values of elements are neither numbers nor empty."""
    columns = [table[c] for c, _, _ in _ELEMENTS.values() if c in table]
    return sum(
        int((pd.to_numeric(c, errors="coerce").isna() & (c.str.strip() != "")).sum())
        for c in columns
    )


def _flags(table: pd.DataFrame, column: str) -> np.ndarray:
    """Why the file says not to use values, (N,) object."""
    name = f"{column}_quality_code"
    if name not in table:
        return np.full(len(table), "", object)
    codes = table[name].str.strip()
    measured = table.get(f"{column}_measurement_code", pd.Series("", index=table.index))
    reasons = np.where(codes.isin(_PASSED), "", "file: failed a check").astype(object)
    reasons[codes.isin(_SUSPECT)] = "file: suspect"
    reasons[codes.isin(_ERRONEOUS)] = "file: erroneous"
    if column.startswith("precipitation"):
        reasons[measured.str.strip().isin(_OTHER_PERIODS)] = "file: amount of another period"
    return reasons
