"""Soundings of the Integrated Global Radiosonde Archive, version 2: text in fixed columns.

Layout: "Format Description of IGRA 2 Sounding Data Files" (igra2-data-format.txt, NCEI), with
columns counted from 1. A header (#, station, time, number of levels, place) goes before the levels
of a sounding; pressures are in Pa, heights in geopotential m, temperatures and depressions of the
dew point in tenths of a degree, winds in tenths of m/s. -9999 is missing, -8888 was removed by the
archive's quality control.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pandas as pd

from appa_core.errors import DataError
from appa_core.io.readers.batch import Batch, Reader, first_line
from appa_core.io.readers.files import RawFile
from appa_core.io.readers.reports import (
    launch_times,
    report_ids,
    surface_rows,
    upper_air_rows,
)
from appa_core.observe.instruments import pressure_at_heights

_HEADER = re.compile(r"#[A-Z]{2}[A-Z0-9]\w{8} \d{4} \d{2} \d{2} \d{2} ")
#: First and last column of each value of a level, and the factor to SI units.
_COLUMNS = {
    "elapsed": (4, 8, 1.0),
    "pressure": (10, 15, 1.0),
    "height": (17, 21, 1.0),
    "temperature": (23, 27, 0.1),
    "relative_humidity": (29, 33, 1e-3),
    "depression": (35, 39, 0.1),
    "wind_direction": (41, 45, 1.0),
    "wind_speed": (47, 51, 0.1),
}
_MISSING, _REMOVED = (-9999, -99999), (-8888,)
_NO_HOUR = 99
_WIDTH = 51
_ZERO_CELSIUS = 273.15


def recognises(head: bytes) -> bool:
    """Whether a file's first line is a header of a sounding."""
    return bool(_HEADER.match(first_line(head)))


def read(file: RawFile) -> Batch:
    """Rows of all soundings of a file.

    Raises:
        DataError: A sounding has fewer levels than its header says, as in a truncated file.
    """
    unreadable: Counter[str] = Counter()
    lines = file.lines
    soundings: list[dict[str, object]] = []
    texts: list[str] = []
    of_sounding: list[int] = []
    position = 0
    while position < len(lines):
        if not _HEADER.match(lines[position]):
            raise DataError(
                f"{file.url}: expected the header of a sounding in line {position + 1}, found "
                f"{lines[position][:40]!r}; is the file truncated? Fetch it again"
            )
        count = int(lines[position][32:36])
        own = lines[position + 1 : position + 1 + count]
        if len(own) < count or any(len(text) < _WIDTH or text[0] == "#" for text in own):
            raise DataError(
                f"{file.url}: the sounding of line {position + 1} has fewer levels than the "
                f"{count} of its header: the file is truncated; fetch it again"
            )
        of_sounding += [len(soundings)] * count
        soundings.append(_place(lines[position]))
        texts += own
        position += 1 + count
    levels = _levels(texts, unreadable)
    places = pd.DataFrame(soundings)
    nominal, released = (pd.to_datetime(places[name]) for name in ("nominal", "released"))
    places["valid_time"] = launch_times(released, nominal)
    places["report_id"] = report_ids(places)
    return Batch(_rows(levels, places, np.array(of_sounding, int), unreadable), unreadable)


READER = Reader("NOAA IGRA 2 soundings", recognises, read)


def _place(header: str) -> dict[str, object]:
    """Where a sounding was launched, its nominal hour and its release; None where unknown."""
    year, month, day, hour = (
        int(header[a:b]) for a, b in ((13, 17), (18, 20), (21, 23), (24, 26))
    )
    date = pd.Timestamp(year, month, day)
    released = header[27:31].strip()
    is_known_release = (
        released.isdigit() and int(released[:-2] or 0) < 24 and int(released[-2:]) < 60
    )
    launch: pd.Timestamp | None = None
    if is_known_release:
        launch = date + pd.Timedelta(hours=int(released[:-2] or 0), minutes=int(released[-2:]))
    latitude, longitude = int(header[55:62]) / 1e4, int(header[63:71]) / 1e4
    is_on_earth = abs(latitude) <= 90 and abs(longitude) <= 360
    return {
        "nominal": None if hour == _NO_HOUR else date + pd.Timedelta(hours=hour),
        "released": launch,
        "latitude": latitude if is_on_earth else np.nan,
        "longitude": longitude if is_on_earth else np.nan,
        "platform": "radiosonde",
        "station_id": header[1:12],
    }


def _levels(texts: list[str], unreadable: Counter[str]) -> pd.DataFrame:
    """Values of levels in SI units, NaN where there is none."""
    columns: dict[str, np.ndarray] = {}
    for name, (first, last, factor) in _COLUMNS.items():
        whole = pd.to_numeric(
            pd.Series([text[first - 1 : last] for text in texts], dtype=object), errors="coerce"
        ).to_numpy(np.float64)
        is_removed = np.isin(whole, _REMOVED)
        if name != "elapsed":
            unreadable["value removed by the archive"] += int(is_removed.sum())
        columns[name] = np.where(np.isin(whole, _MISSING) | is_removed, np.nan, whole * factor)
    levels = pd.DataFrame(columns)
    levels["temperature"] += _ZERO_CELSIUS
    levels["dew_point"] = levels["temperature"] - levels["depression"]
    # minutes and seconds: MMMSS
    minutes, seconds = levels["elapsed"] // 100, levels["elapsed"] % 100
    levels["elapsed"] = 60 * minutes + seconds
    levels["is_surface"] = [text[1] == "1" for text in texts]
    return levels


def _rows(
    levels: pd.DataFrame, places: pd.DataFrame, sounding: np.ndarray, unreadable: Counter[str]
) -> pd.DataFrame:
    elevation = np.full(len(places), np.nan)
    surface = np.flatnonzero(levels["is_surface"])
    elevation[sounding[surface]] = levels["height"].to_numpy()[surface]
    levels = pd.concat([levels, places.iloc[sounding].reset_index(drop=True)], axis=1).assign(
        sounding=sounding, elevation_m=elevation[sounding]
    )
    # winds of levels that are known by height alone
    lacks = levels["pressure"].isna() & levels["height"].notna()
    concerned = levels[levels["sounding"].isin(sounding[lacks])]
    for _, own in concerned.groupby("sounding"):
        picks = own.index[lacks[own.index]]
        levels.loc[picks, "pressure"] = pressure_at_heights(
            own.loc[picks, "height"].to_numpy(),
            own["height"].to_numpy(),
            own["pressure"].to_numpy(),
        )
    levels.loc[lacks, "height"] = np.nan
    levels["valid_time"] += pd.to_timedelta(levels["elapsed"].fillna(0), unit="s")
    ground = levels[levels["is_surface"]].assign(station_pressure=lambda t: t["pressure"])
    return pd.concat(
        [
            surface_rows(ground, unreadable),
            upper_air_rows(levels[~levels["is_surface"]], unreadable),
        ],
        ignore_index=True,
    )
