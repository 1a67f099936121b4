"""Real places of instruments: the archives' lists of stations, and elements of satellites."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import fsspec
import pandas as pd

from appa_core.errors import DataError, InputError
from appa_core.io.retry import is_of_reading
from appa_core.observations.satellites import TwoLineSatellite, read_elements

#: Columns of a list of stations.
COLUMNS = ("station_id", "latitude", "longitude", "elevation_m")
#: A station is active if it reported so shortly before the end of its list.
_ACTIVE_DAYS = 31
_RECORD_YEARS = 10
_LOWEST_M = -450.0
_IGRA_COLUMNS = {
    "station_id": (0, 11),
    "latitude": (12, 20),
    "longitude": (21, 30),
    "elevation_m": (31, 37),
    "last": (77, 81),
}


def fetch_text(location: str, option: str) -> str:
    """The text of a file or URL; decompressed if its name ends in .gz.

    Args:
        location: Path or URL.
        option: Of a simulated network, which names the location.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with fsspec.open(location, "rt", encoding="utf-8", compression="infer") as handle:
            return str(handle.read())
    except Exception as error:
        if not is_of_reading(error):
            raise
        raise InputError(
            f"cannot read {location}: {str(error) or type(error).__name__}; check that it is "
            f"there and can be reached, or give a local copy as {option}=PATH"
        ) from error


def surface_stations(text: str, source: str) -> pd.DataFrame:
    """Stations of the Integrated Surface Database that serve as a network.

    Those with a number of the WMO, a place and an elevation, which reported in the last month of
    the list and have done so for ten years.

    Args:
        text: `isd-history.csv` of NOAA.
        source: Named in errors.

    Returns:
        Columns `COLUMNS`, ordered by number.

    Raises:
        DataError: The text has another form.
    """
    try:
        raw = pd.read_csv(io.StringIO(text), dtype=str)
        columns = {"USAF": "station_id", "LAT": "latitude", "LON": "longitude"}
        frame = raw.rename(columns={**columns, "ELEV(M)": "elevation_m"})
        for name in COLUMNS[1:]:
            frame[name] = pd.to_numeric(frame[name])
        begin, end = (pd.to_datetime(frame[n], format="%Y%m%d") for n in ("BEGIN", "END"))
        number = frame["station_id"].str.fullmatch(r"\d{5}0") & (frame["station_id"] != "999990")
        is_real = ~frame["STATION NAME"].str.contains("BOGUS", na=False)
    except (KeyError, ValueError) as error:
        raise DataError(f"{source} is no isd-history.csv of NOAA: {error}") from error
    last = end.max()
    chosen = (
        number
        & is_real
        & (end > last - pd.Timedelta(days=_ACTIVE_DAYS))
        & (begin <= last - pd.DateOffset(years=_RECORD_YEARS))
    )
    return _placed(frame[chosen.to_numpy(bool)])


def sounding_stations(text: str, source: str) -> pd.DataFrame:
    """Radiosonde stations of IGRA 2 that reported in one of the last two years of its list.

    Args:
        text: `igra2-station-list.txt` of NOAA.
        source: Named in errors.

    Returns:
        Columns `COLUMNS`, ordered by number; ships have no place and are left out.

    Raises:
        DataError: The text has another form.
    """
    cut = [
        {name: line[low:high].strip() for name, (low, high) in _IGRA_COLUMNS.items()}
        for line in text.splitlines()
    ]
    try:
        frame = pd.DataFrame(cut, columns=list(_IGRA_COLUMNS))
        for name in ("latitude", "longitude", "elevation_m", "last"):
            frame[name] = pd.to_numeric(frame[name])
    except ValueError as error:
        raise DataError(f"{source} is no igra2-station-list.txt of NOAA: {error}") from error
    return _placed(frame[frame["last"] >= frame["last"].max() - 1])


def _placed(frame: pd.DataFrame) -> pd.DataFrame:
    latitude, longitude = frame["latitude"], frame["longitude"]
    somewhere = (latitude != 0) | (longitude != 0)
    on_earth = (latitude.abs() <= 90) & (longitude.abs() <= 360) & somewhere
    kept = frame.loc[on_earth & (frame["elevation_m"] > _LOWEST_M), list(COLUMNS)]
    unique = kept.drop_duplicates("station_id").sort_values("station_id", ignore_index=True)
    return unique.round({"latitude": 3, "longitude": 3, "elevation_m": 1})


#: What reads each list.
_PARSERS: Mapping[str, Callable[[str, str], pd.DataFrame]] = {
    "isd": surface_stations,
    "igra": sounding_stations,
}


def station_list(name: str, location: str) -> pd.DataFrame:
    """A list of real stations.

    Args:
        name: `isd` (surface) or `igra` (radiosondes).
        location: Path or URL of the archive's own list, may end in .gz.

    Returns:
        Columns `COLUMNS`, ordered by number.

    Raises:
        InputError: It cannot be read.
        DataError: It has another form.
    """
    return _PARSERS[name](fetch_text(location, f"{name}_list"), location)


def satellites(location: str) -> dict[str, TwoLineSatellite]:
    """Satellites by name from the two-line elements of a file or URL.

    Raises:
        InputError: It cannot be read, or has another form.
    """
    return dict(read_elements(fetch_text(location, "elements"), location))
