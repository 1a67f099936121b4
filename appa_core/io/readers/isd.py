"""NOAA's Integrated Surface Database: records of fixed positions, then groups of additional data.

Layout: "Federal Climate Complex Data Documentation for Integrated Surface Data", NCEI (2018), with
positions counted from 1: control data (1-60), mandatory data (61-105), then `ADD` and groups that
begin with their name. Of those, MA1 has the pressure at the station and AA1-AA4 precipitation.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pandas as pd

from appa_core.errors import DataError
from appa_core.io.readers.batch import Batch, Reader, first_line
from appa_core.io.readers.files import RawFile
from appa_core.io.readers.reports import add_station_pressure, report_ids, surface_rows

_FIXED = 105
_RECORD = re.compile(r"\d{4}[0-9A-Z]{6}[0-9]{5}\d{12}.[+-]\d{5}[+-]\d{6}")
_PRESSURE = re.compile(r"MA1(\d{5})(\w)(\d{5})(\w)")
_RAIN = re.compile(r"AA[1-4](\d{2})(\d{4})(\w)(\w)")
_SIX_HOURS = "06"
#: Conditions of an amount that was measured over its period: a trace, estimated, nothing said.
_MEASURED = "2E9"
#: What follows the additional data: remarks and element quality data.
_AFTER = re.compile(r"REM|EQD")
#: First position, length, value that means missing, scale.
_ELEMENTS = {
    "latitude": (29, 6, "+99999", 1000),
    "longitude": (35, 7, "+999999", 1000),
    "elevation_m": (47, 5, "+9999", 1),
    "wind_direction": (61, 3, "999", 1),
    "wind_speed": (66, 4, "9999", 10),
    "temperature": (88, 5, "+9999", 10),
    "dew_point": (94, 5, "+9999", 10),
    "sea_level_pressure": (100, 5, "99999", 0.1),
}
#: Position of the quality code of an element.
_QUALITY = {
    "wind_direction": 64,
    "wind_speed": 70,
    "temperature": 93,
    "dew_point": 99,
    "sea_level_pressure": 105,
}
_FAILED = dict.fromkeys("26", "file: suspect") | dict.fromkeys("37", "file: erroneous")
_CALM = "C"
_ZERO_CELSIUS = 273.15
#: Report types (position 42) by platform; all others are of land stations.
_PLATFORMS = {
    "FM-15": "metar",
    "FM-16": "metar",
    "SAO": "metar",
    "SAOSP": "metar",
    "FM-13": "ship",
    "FM-18": "buoy",
}


def recognises(head: bytes) -> bool:
    """Whether a file's first line is a record of ISD."""
    return bool(_RECORD.match(first_line(head)))


def read(file: RawFile) -> Batch:
    """Rows of a file.

    Raises:
        DataError: It ends within a record.
    """
    unreadable: Counter[str] = Counter()
    reports = []
    for number, line in enumerate(file.lines, 1):
        if not line.strip():
            continue
        if not _is_whole(line):
            if file.ends_early and number == len(file.lines):
                raise DataError(
                    f"{file.url} ends within the record of line {number}: it is truncated; fetch "
                    "it again"
                )
            unreadable["record that is not of the documented length or layout"] += 1
            continue
        reports.append(_report(line))
    frame = pd.DataFrame(reports)
    if frame.empty:
        return Batch(pd.DataFrame(), unreadable)
    frame["valid_time"] = pd.to_datetime(frame["valid_time"], format="%Y%m%d%H%M", errors="coerce")
    add_station_pressure(frame)
    return Batch(surface_rows(frame.assign(report_id=report_ids(frame)), unreadable), unreadable)


READER = Reader("NOAA ISD, fixed positions", recognises, read)


def _is_whole(line: str) -> bool:
    """Whether a record has as many variable characters as it says (positions 1-4)."""
    return bool(_RECORD.match(line)) and len(line) == _FIXED + int(line[:4])


def _report(line: str) -> dict[str, object]:
    report: dict[str, object] = {
        "valid_time": line[15:27],
        "platform": _PLATFORMS.get(line[41:46].strip(), "synop"),
        "station_id": f"{line[4:10]}-{line[10:15]}",
    }
    for name, (position, length, missing, scale) in _ELEMENTS.items():
        text = line[position - 1 : position - 1 + length]
        report[name] = np.nan if text == missing else _number(text) / scale
    for name, position in _QUALITY.items():
        report[f"{name}_flag"] = _FAILED.get(line[position - 1], "")
    for name in ("temperature", "dew_point"):
        report[name] = float(str(report[name])) + _ZERO_CELSIUS
    if line[64] == _CALM:  # type of wind, position 65
        report["wind_direction"] = 0.0
    report |= _additional(_AFTER.split(line[_FIXED:], maxsplit=1)[0])
    return report


def _additional(text: str) -> dict[str, object]:
    """Pressures and rain of six hours, of the additional data."""
    found: dict[str, object] = {"altimeter": np.nan, "station_pressure": np.nan, "rain_6h": np.nan}
    if match := _PRESSURE.search(text):
        for name, value, quality in (
            ("altimeter", match[1], match[2]),
            ("station_pressure", match[3], match[4]),
        ):
            found[name] = np.nan if value == "99999" else 10.0 * float(value)
            found[f"{name}_flag"] = _FAILED.get(quality, "")
    for match in _RAIN.finditer(text):
        hours, depth, condition, quality = match.groups()
        if hours == _SIX_HOURS and depth != "9999" and condition in _MEASURED:
            found["rain_6h"] = 1e-4 * float(depth)
            found["rain_6h_flag"] = _FAILED.get(quality, "")
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
