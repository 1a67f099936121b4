"""WMO BUFR: surface reports from land and sea (SYNOP, SHIP, BUOY) and soundings (TEMP).

Templates of WMO (307080, 307096, 308009, 309052 and the like) and of ECMWF's archive (307005,
307007). Amounts of precipitation are taken where the element itself says that they are of six
hours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from appa_core.constants import STANDARD_GRAVITY
from appa_core.errors import DataError
from appa_core.io.readers.batch import Batch, Reader
from appa_core.io.readers.bufr_messages import Message, split_messages
from appa_core.io.readers.files import RawFile
from appa_core.io.readers.reports import report_ids, surface_rows, upper_air_rows

_LAND, _SEA, _SOUNDING = 0, 1, 2
#: Names of elements of a surface report, the preferred first, and the factor to SI units.
_SURFACE: Mapping[str, tuple[tuple[str, ...], float]] = {
    "temperature": (("airTemperatureAt2M", "airTemperature"), 1.0),
    "dew_point": (("dewpointTemperatureAt2M", "dewpointTemperature"), 1.0),
    "relative_humidity": (("relativeHumidity",), 0.01),
    "wind_direction": (("windDirectionAt10M", "windDirection"), 1.0),
    "wind_speed": (("windSpeedAt10M", "windSpeed"), 1.0),
    "sea_level_pressure": (("pressureReducedToMeanSeaLevel",), 1.0),
    "station_pressure": (("nonCoordinatePressure",), 1.0),
    "rain_6h": (("totalPrecipitationPast6Hours",), 1e-3),
    "sea_temperature": (("oceanographicWaterTemperature",), 1.0),
}
#: Of a sounding, a value for each level.
_LEVELS: Mapping[str, tuple[str, float]] = {
    "pressure": ("pressure", 1.0),
    "height": ("nonCoordinateGeopotentialHeight", 1.0),
    "temperature": ("airTemperature", 1.0),
    "dew_point": ("dewpointTemperature", 1.0),
    "wind_direction": ("windDirection", 1.0),
    "wind_speed": ("windSpeed", 1.0),
}
#: Descriptors of temperatures, pressures and winds: without any, there is nothing to read.
_OF_USE = frozenset({7004, 10004, 10051, 11001, 11002, 11011, 11012, 12001, 12004, 12101, 12104})
_SECONDS_SINCE_LAUNCH = 4086
_CONFIDENCE = 33007
_LEAST_CONFIDENCE = 50.0
_DOUBTED = "file: confidence below 50 %"
#: The bit of the surface in the significance of a level (flag tables 008042 and 008001).
_SURFACE_BIT = {
    "extendedVerticalSoundingSignificance": 1 << 17,
    "verticalSoundingSignificance": 1 << 6,
}
_NAMES = (
    "shipOrMobileLandStationIdentifier",
    "wigosLocalIdentifierCharacter",
    "stationOrSiteName",
    "longStationName",
)
_BUOYS = ("marineObservingPlatformIdentifier", "buoyOrPlatformIdentifier")


def recognises(head: bytes) -> bool:
    """Whether a file holds BUFR, perhaps after the heading of a bulletin."""
    return b"BUFR" in head[:256]


def read(file: RawFile) -> Batch:
    """Rows of all messages of a file.

    Raises:
        DataError: It is truncated.
        InputError: ecCodes is not installed.
    """
    unreadable: Counter[str] = Counter()
    surface: list[dict[str, Any]] = []
    soundings: list[pd.DataFrame] = []
    elements: dict[tuple[int, ...], frozenset[int]] = {}
    for data in split_messages(file.data, file.url):
        try:
            with Message(data) as message:
                if message.template not in elements:
                    elements[message.template] = message.elements()
                known = elements[message.template]
                if message.category not in (_LAND, _SEA, _SOUNDING) or not known & _OF_USE:
                    unreadable["BUFR message without an element that is read"] += 1
                    continue
                message.unpack()
                for subset in range(message.subsets):
                    if message.category == _SOUNDING:
                        soundings.append(_sounding(message, subset, known))
                    else:
                        surface.append(
                            _report(message, subset, has_confidence=_CONFIDENCE in known)
                        )
        except DataError:
            unreadable["BUFR message that cannot be decoded"] += 1
    parts = [_surface(surface, unreadable), *_upper_air(soundings, unreadable)]
    return Batch(pd.concat(parts, ignore_index=True), unreadable)


READER = Reader("WMO BUFR", recognises, read)


def _report(message: Message, subset: int, *, has_confidence: bool) -> dict[str, Any]:
    """A surface report."""
    is_land = message.category == _LAND
    report = _place(message, subset, "synop" if is_land else "ship")
    for element, (names, factor) in _SURFACE.items():
        name, value = message.first(names, subset)
        report[element] = factor * value
        is_doubted = bool(name) and has_confidence and message.confidence(name) < _LEAST_CONFIDENCE
        report[f"{element}_flag"] = _DOUBTED if is_doubted else ""
    return report


def _place(message: Message, subset: int, platform: str) -> dict[str, Any]:
    """Where and when a report was made, and by whom."""
    value = {
        name: message.first((name,), subset)[1]
        for name in ("year", "month", "day", "hour", "minute", "second", "latitude", "longitude")
    }
    _, elevation = message.first(
        ("heightOfStationGroundAboveMeanSeaLevel", "heightOfStation"), subset
    )
    station, is_buoy = _station(message, subset)
    return {
        "valid_time": _time(value),
        "latitude": value["latitude"],
        "longitude": value["longitude"],
        # a barometer on a ship is read at sea level
        "elevation_m": 0.0 if np.isnan(elevation) and message.category == _SEA else elevation,
        "platform": "buoy" if is_buoy else platform,
        "station_id": station,
    }


def _time(value: Mapping[str, float]) -> pd.Timestamp | None:
    """A time, or None if a part is missing or cannot be."""
    names = ("year", "month", "day", "hour")
    if not all(np.isfinite(value[name]) for name in names):
        return None
    year, month, day, hour = (int(value[name]) for name in names)
    minute, second = (int(np.nan_to_num(value[name])) for name in ("minute", "second"))
    try:
        return pd.Timestamp(year, month, day, hour, minute, second)
    except ValueError:
        return None


def _station(message: Message, subset: int) -> tuple[str, bool]:
    """Its identifier, and whether it is that of a buoy."""
    _, block = message.first(("blockNumber",), subset)
    _, number = message.first(("stationNumber",), subset)
    if np.isfinite(block) and np.isfinite(number):
        return f"{int(block):02d}{int(number):03d}", False
    for name in _BUOYS:
        _, number = message.first((name,), subset)
        if np.isfinite(number):
            return f"{int(number)}", True
    return next((t for name in _NAMES if (t := message.text(name, subset))), ""), False


def _sounding(message: Message, subset: int, elements: frozenset[int]) -> pd.DataFrame:
    """Levels of a sounding, a row each, where the balloon was when it gets to say so."""
    place = _place(message, subset, "radiosonde")
    place["report_id"] = report_ids(pd.DataFrame([place]))[0]
    found = {
        element: factor * message.series(name, subset)
        for element, (name, factor) in _LEVELS.items()
    }
    if not len(found["height"]):
        found["height"] = message.series("nonCoordinateGeopotential", subset) / STANDARD_GRAVITY
    # pressures of wind shears come after those of the levels
    count = max(len(found["temperature"]), len(found["wind_speed"]))
    levels = pd.DataFrame({k: _column(v, count) for k, v in found.items()})
    for column, of_all in place.items():
        levels[column] = of_all
    levels["valid_time"] = pd.to_datetime(levels["valid_time"])
    levels["is_surface"] = False
    for name, bit in _SURFACE_BIT.items():
        significance = np.nan_to_num(_column(message.series(name, subset), count)).astype(np.int64)
        levels["is_surface"] |= (significance & bit) > 0
    for axis in ("latitude", "longitude"):
        drift = _column(message.series(f"{axis}Displacement", subset), count)
        levels[axis] += np.nan_to_num(drift)
    if _SECONDS_SINCE_LAUNCH in elements:
        seconds = np.nan_to_num(_column(message.series("timePeriod", subset), count))
        levels["valid_time"] += pd.to_timedelta(seconds, unit="s")
    return levels


def _column(values: np.ndarray, count: int) -> np.ndarray:
    """The first values of a series, made up with NaN."""
    column = np.full(count, np.nan)
    column[: min(count, len(values))] = values[:count]
    return column


def _surface(reports: list[dict[str, Any]], unreadable: Counter[str]) -> pd.DataFrame:
    if not reports:
        return pd.DataFrame()
    frame = pd.DataFrame(reports)
    # a trace of rain is coded as a negative amount
    frame["rain_6h"] = frame["rain_6h"].clip(lower=0.0)
    return surface_rows(frame.assign(report_id=report_ids(frame)), unreadable)


def _upper_air(soundings: list[pd.DataFrame], unreadable: Counter[str]) -> list[pd.DataFrame]:
    if not soundings:
        return []
    levels = pd.concat(soundings, ignore_index=True)
    ground = levels[levels["is_surface"]].assign(station_pressure=lambda t: t["pressure"])
    return [
        surface_rows(ground, unreadable),
        upper_air_rows(levels[~levels["is_surface"]], unreadable),
    ]
