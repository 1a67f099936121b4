"""From reports with a column for each element to rows of an observation table.

A reader gives one row for each report (or each level of a sounding): where and when it was made
(`PLACE`), elements in SI units, NaN where there is none, and for any element NAME a column
`NAME_flag` with the reason why the file says not to use it, empty if it does not. `report_flag`
goes for all elements.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from appa_core.constants import STANDARD_GRAVITY
from appa_core.observations.table import HIGHEST_PRESSURE_HPA, REQUIRED
from appa_core.observe import instruments

#: What is said of where a report comes from; `elevation_m` may be NaN.
PLACE = (
    "valid_time",
    "latitude",
    "longitude",
    "elevation_m",
    "platform",
    "station_id",
    "report_id",
)
_COLUMNS = (*REQUIRED, "elevation_m", "report_id", "rejected")


def surface_rows(reports: pd.DataFrame, unreadable: Counter[str]) -> pd.DataFrame:
    """Rows of reports from the surface.

    Elements: `temperature`, `dew_point`, `sea_temperature` in K; `relative_humidity` as a share;
    `wind_speed` in m/s and `wind_direction` in degrees; `sea_level_pressure` and
    `station_pressure` in Pa; `rain_6h` in m. Winds become components, or a speed where there is no
    direction; humidity becomes specific humidity at the station's pressure, which follows from
    that at sea level if need be.

    Args:
        reports: One row each.
        unreadable: Counts what no row can be made of, by reason; added to.
    """
    made = _Rows(reports, unreadable)
    made.add("2m_temperature", made.element("temperature"), ["temperature"])
    made.add_wind(
        ("10m_u_component_of_wind", "10m_v_component_of_wind"), "10m_wind_speed", level=None
    )
    made.add("mean_sea_level_pressure", made.element("sea_level_pressure"), ["sea_level_pressure"])
    pressure = made.element("station_pressure")
    is_high = made.is_nowhere_known("elevation_m") & np.isfinite(pressure)
    unreadable["station pressure without an elevation"] += int(is_high.sum())
    made.add("surface_pressure", np.where(is_high, np.nan, pressure), ["station_pressure"])
    made.add_humidity(*made.pressure_at_station(pressure))
    made.add("total_precipitation_6hr", made.element("rain_6h"), ["rain_6h"])
    made.add("sea_surface_temperature", made.element("sea_temperature"), ["sea_temperature"])
    return made.frame()


def upper_air_rows(levels: pd.DataFrame, unreadable: Counter[str]) -> pd.DataFrame:
    """Rows of levels of soundings, and of reports from aircraft.

    Elements: `pressure` in Pa, without which nothing is of use; `temperature`, `dew_point` in K;
    `relative_humidity` as a share; `wind_speed`, `wind_direction`; `height` in geopotential m.

    Args:
        levels: One row each.
        unreadable: Counts what no row can be made of, by reason; added to.
    """
    made = _Rows(levels, unreadable)
    pressure = made.possible(made.element("pressure"))
    hectopascal = pressure / 100.0
    made.require(np.isfinite(pressure), "level without a pressure")
    made.add("temperature", made.element("temperature"), ["temperature", "pressure"], hectopascal)
    made.add_wind(("u_component_of_wind", "v_component_of_wind"), "wind_speed", level=hectopascal)
    geopotential = STANDARD_GRAVITY * made.element("height")
    made.add("geopotential", geopotential, ["height", "pressure"], hectopascal)
    made.add_humidity(pressure, made.flags(["pressure"]))
    return made.frame()


def add_station_pressure(reports: pd.DataFrame) -> None:
    """Pressure at the station from its `altimeter` setting in Pa, where that is all it reports.

    Args:
        reports: One row each; changed in place.
    """
    derived = instruments.station_pressure(
        reports["altimeter"].to_numpy(np.float64), reports["elevation_m"].to_numpy(np.float64)
    )
    nothing = pd.Series(np.nan, index=reports.index)
    no_flags = pd.Series("", index=reports.index, dtype=object)
    reported = reports.get("station_pressure", nothing).to_numpy(np.float64)
    lacks = np.isnan(reported)
    reports["station_pressure"] = np.where(lacks, derived, reported)
    if "altimeter_flag" in reports:
        flags = reports.get("station_pressure_flag", no_flags).fillna("").to_numpy(object)
        of_altimeter = reports["altimeter_flag"].fillna("").to_numpy(object)
        reports["station_pressure_flag"] = np.where(lacks, of_altimeter, flags)


def launch_times(released: pd.Series, nominal: pd.Series) -> pd.Series:
    """When sondes left: as reported, else at the nominal hour.

    Sondes of 00 UTC leave on the day before, which some archives give the date of the sounding.
    """
    is_a_day_late = released - nominal > pd.Timedelta(hours=12)
    return released.where(~is_a_day_late, released - pd.Timedelta(days=1)).fillna(nominal)


def report_ids(reports: pd.DataFrame) -> pd.Series:
    """A name for each report: its platform, station, time and place."""
    place = [f"{a:.2f},{b:.2f}" for a, b in zip(reports.latitude, reports.longitude, strict=True)]
    stamp = pd.to_datetime(reports["valid_time"]).dt.strftime("%Y%m%dT%H%M%S").astype(str)
    who = reports["platform"].astype(str) + ":" + reports["station_id"].astype(str)
    return who + "@" + stamp + "@" + pd.Series(place, index=reports.index, dtype=object)


class _Rows:
    """Rows in the making, of reports that have a place and a time."""

    def __init__(self, reports: pd.DataFrame, unreadable: Counter[str]) -> None:
        self._unreadable = unreadable
        self._elements: dict[str, np.ndarray] = {}
        self._parts: list[pd.DataFrame] = []
        self._reports = reports.reset_index(drop=True)
        place = self._reports[["latitude", "longitude"]].to_numpy(np.float64)
        is_known = np.isfinite(place).all(axis=1) & self._reports["valid_time"].notna().to_numpy()
        with np.errstate(invalid="ignore"):
            # a pole may be off by what decimals leave of it
            is_on_earth = (np.abs(place[:, 0]) <= 90 + 1e-6) & (np.abs(place[:, 1]) <= 360)
        unreadable["report without a place or a time"] += int((~is_known).sum())
        unreadable["report off the planet"] += int((is_known & ~is_on_earth).sum())
        self._reports = self._reports[is_known & is_on_earth].reset_index(drop=True)
        self._reports["latitude"] = self._reports["latitude"].clip(-90, 90)

    def element(self, name: str) -> np.ndarray:
        """Values of an element, (N,) float64; NaN where there is none."""
        if name not in self._reports:
            return np.full(len(self._reports), np.nan)
        if name not in self._elements:
            values = self._reports[name].to_numpy(np.float64)
            is_infinite = np.isinf(values)
            self._unreadable[f"infinite {name.replace('_', ' ')}"] += int(is_infinite.sum())
            self._elements[name] = np.where(is_infinite, np.nan, values)
        return self._elements[name]

    def is_nowhere_known(self, column: str) -> np.ndarray:
        """Where a column of numbers has none, (N,) bool."""
        return np.asarray(self._reports[column].isna())

    def require(self, is_good: np.ndarray, problem: str) -> None:
        """Count reports with elements that are of no use."""
        has_some = np.zeros(len(is_good), bool)
        for name in ("temperature", "dew_point", "wind_speed", "height", "relative_humidity"):
            has_some |= self._reports[name].notna().to_numpy() if name in self._reports else False
        self._unreadable[problem] += int((~is_good & has_some).sum())

    def add(
        self,
        quantity: str,
        values: np.ndarray,
        elements: Sequence[str],
        level: np.ndarray | None = None,
    ) -> None:
        """Rows of a quantity, where it has a value and, in the free air, a level in hPa.

        Args:
            quantity: Its name.
            values: (N,), NaN where there is none.
            elements: What it follows from, whose flags go for it.
            level: (N,) hPa, or None at the surface.
        """
        is_there = np.isfinite(values)
        if level is not None:
            is_there &= np.isfinite(level)
        picks = np.flatnonzero(is_there)
        part = self._reports.iloc[picks][list(PLACE)].assign(
            quantity=quantity,
            value=values[picks],
            level=np.nan if level is None else level[picks],
            error_std=np.nan,
            rejected=self.flags(elements)[picks],
        )
        self._parts.append(part[list(_COLUMNS)])

    def add_wind(self, names: tuple[str, str], speed_name: str, level: np.ndarray | None) -> None:
        """Components where direction and speed are known, else the speed."""
        speed, direction = self.element("wind_speed"), self.element("wind_direction")
        is_wrong = (speed < 0) | (direction < 0) | (direction > 360)
        self._unreadable["wind speed below 0 or direction beyond 0 to 360"] += int(is_wrong.sum())
        speed, direction = (np.where(is_wrong, np.nan, x) for x in (speed, direction))
        is_lone = np.isfinite(direction) & ~np.isfinite(speed)
        self._unreadable["wind direction without a speed"] += int(is_lone.sum())
        # a calm has no direction
        direction = np.where(speed == 0, 0.0, direction)
        flags = ["wind_speed", "wind_direction"]
        if level is not None:
            flags.append("pressure")
        for name, values in zip(names, instruments.wind_components(speed, direction), strict=True):
            # no negative zeros
            self.add(name, values + 0.0, flags, level)
        only_speed = np.where(np.isfinite(direction), np.nan, speed)
        self.add(speed_name, only_speed, [f for f in flags if f != "wind_direction"], level)

    def possible(self, pressure: np.ndarray) -> np.ndarray:
        """Pressures in Pa, (N,), without those that no level can have."""
        is_level = (pressure > 0) & (pressure <= 100 * HIGHEST_PRESSURE_HPA)
        self._unreadable["pressure that cannot be"] += int(
            (np.isfinite(pressure) & ~is_level).sum()
        )
        return np.where(is_level, pressure, np.nan)

    def pressure_at_station(self, reported: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pressure in Pa, (N,), as reported or from that at sea level; and reasons against it."""
        reduced = instruments.pressure_above_sea_level(
            self.element("sea_level_pressure"),
            self.element("temperature"),
            self._reports["elevation_m"].to_numpy(np.float64),
        )
        is_reported = np.isfinite(reported)
        flags = np.where(
            is_reported,
            self.flags(["station_pressure"]),
            self.flags(["sea_level_pressure", "temperature"]),
        )
        return self.possible(np.where(is_reported, reported, reduced)), flags

    def add_humidity(self, pressure: np.ndarray, pressure_flags: np.ndarray) -> None:
        """Specific humidity from the dew point, else from the relative humidity.

        Args:
            pressure: Where it is measured, (N,) Pa.
            pressure_flags: Reasons against it, (N,) object.
        """
        dew_point, relative = self.element("dew_point"), self.element("relative_humidity")
        is_odd = (dew_point < 100) | (dew_point > 350)
        self._unreadable["dew point beyond 100 to 350 K"] += int(is_odd.sum())
        dew_point = np.where(is_odd, np.nan, dew_point)
        temperature = self.element("temperature")
        of_relative = np.isfinite(relative) & np.isfinite(temperature) & ~np.isfinite(dew_point)
        lacks = (np.isfinite(dew_point) | of_relative) & ~np.isfinite(pressure)
        self._unreadable["humidity without a pressure"] += int(lacks.sum())
        level = pressure / 100.0
        self._reports["level_flag"] = pressure_flags
        humidity = instruments.humidity_of_dew_point(dew_point, pressure)
        self.add("specific_humidity", humidity, ["dew_point", "level"], level)
        humidity = instruments.humidity_of_relative(relative, temperature, pressure)
        self.add(
            "specific_humidity",
            np.where(of_relative, humidity, np.nan),
            ["relative_humidity", "temperature", "level"],
            level,
        )

    def frame(self) -> pd.DataFrame:
        """All rows, those of one report side by side."""
        rows = pd.concat(self._parts)
        return rows.sort_index(kind="stable").reset_index(drop=True)

    def flags(self, elements: Sequence[str]) -> np.ndarray:
        """The first reason that the file has against any of some elements, (N,) object."""
        flags = np.full(len(self._reports), "", object)
        for name in ("report", *elements):
            column = f"{name}_flag"
            if column in self._reports:
                found = self._reports[column].fillna("").to_numpy(object)
                flags = np.where(flags == "", found, flags)
        return flags
