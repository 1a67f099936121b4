"""What instruments on satellites see of the Earth around the states of a period."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from appa_core.observations.satellites import Satellite
from appa_core.observe.interpolation import EARTH_RADIUS_KM, unit_vectors
from appa_core.observe.networks import seen_cells
from appa_core.schema import Grid


@dataclass(frozen=True)
class Swath:
    """Scans across the track.

    Args:
        width_km: From the first to the last centre of a field of view.
        fields_of_view: Of a scan, evenly spaced.
        scan_seconds: From scan to scan.
        footprint_km: Radius of a field of view; points if 0.
    """

    width_km: float = 1112.0
    fields_of_view: int = 5
    scan_seconds: float = 60.0
    footprint_km: float = 0.0

    def fields(self, satellite: Satellite, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Latitude and longitude of centres in degrees, (N, fields of view) each."""
        half = np.timedelta64(500, "ms")
        below = unit_vectors(*satellite.track(times))
        along = unit_vectors(*satellite.track(times + half)) - unit_vectors(
            *satellite.track(times - half)
        )
        across = np.cross(below, along)
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        angle = self._offsets() / EARTH_RADIUS_KM
        place = np.cos(angle)[:, None] * below[:, None] + np.sin(angle)[:, None] * across[:, None]
        latitude = np.rad2deg(np.arcsin(np.clip(place[..., 2], -1, 1)))
        longitude = np.rad2deg(np.arctan2(place[..., 1], place[..., 0])) % 360.0
        return latitude, longitude

    def _offsets(self) -> np.ndarray:
        if self.fields_of_view == 1:
            return np.zeros(1)
        return np.linspace(-0.5, 0.5, self.fields_of_view) * self.width_km


@dataclass(frozen=True)
class Disc:
    """All cells within a radius of where a satellite was around a state, at that state.

    Args:
        grid: Cells.
        radius_deg: Of the area seen from each fix, one a minute.
        minutes: Of fixes around each state.
    """

    grid: Grid
    radius_deg: float
    minutes: int

    def places(self, satellite: Satellite, times: pd.DatetimeIndex) -> pd.DataFrame:
        """Columns valid_time, latitude, longitude, fix: a row each for what is seen."""
        columns = self.grid.shape[1]
        parts = []
        for time in times:
            offset = np.arange(self.minutes) - self.minutes // 2
            fixes = time.to_datetime64() + offset * np.timedelta64(1, "m")
            cells, nearest = seen_cells(self.grid, satellite.track(fixes), self.radius_deg)
            parts.append(
                pd.DataFrame(
                    {
                        "valid_time": time,
                        "latitude": np.asarray(self.grid.latitudes)[cells // columns],
                        "longitude": np.asarray(self.grid.longitudes)[cells % columns],
                        "fix": fixes[nearest],
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class Scans:
    """Scans across the track around every state, each at its own time.

    Args:
        swath: Geometry.
        minutes: Of scanning around each state; the states' step or more: without a break.
    """

    swath: Swath
    minutes: float

    def places(self, satellite: Satellite, times: pd.DatetimeIndex) -> pd.DataFrame:
        """Columns valid_time, latitude, longitude, fix, footprint_km."""
        fixes = self._fixes(times)
        latitude, longitude = self.swath.fields(satellite, fixes)
        count = self.swath.fields_of_view
        return pd.DataFrame(
            {
                "valid_time": np.repeat(fixes, count),
                "latitude": latitude.ravel(),
                "longitude": longitude.ravel(),
                "fix": np.repeat(fixes, count),
                "footprint_km": self.swath.footprint_km or np.nan,
            }
        )

    def _fixes(self, times: pd.DatetimeIndex) -> np.ndarray:
        """Times of scans, at whole multiples of the interval since 1970."""
        step = self.swath.scan_seconds
        seconds = ((times - pd.Timestamp(0)) / pd.Timedelta(seconds=1)).to_numpy(float)
        low, high = seconds[0], seconds[-1]
        number = np.arange(np.ceil(low / step), np.floor(high / step) + 1)
        nearest = np.abs(number[:, None] * step - _neighbours(seconds, number * step)).min(axis=1)
        kept = number[nearest <= 30.0 * self.minutes] * step
        return np.asarray(np.datetime64(0, "ns") + np.rint(1e9 * kept).astype("timedelta64[ns]"))


def _neighbours(seconds: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The states before and after points, (N, 2)."""
    after = np.clip(np.searchsorted(seconds, points), 0, len(seconds) - 1)
    return np.stack([seconds[np.maximum(after - 1, 0)], seconds[after]], axis=1)
