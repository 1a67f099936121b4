"""Simulated networks: which instrument measures what, where and when.

An instrument gives rows without values: columns of an observation table, with `error_std` in units
of the spread of what is measured, or NaN where a table of errors is to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from appa_core.observations.keyed import keys_of, uniform
from appa_core.observations.satellites import Satellite
from appa_core.observations.table import COLUMNS, NUMBERS, TEXT, ObservationTable
from appa_core.observations.views import Disc, Scans
from appa_core.observe.networks import SOUNDED, SURFACE
from appa_core.schema import Grid, StateSchema

#: Columns that tell one row from another: what its random numbers follow from.
IDENTITY = (
    "latitude",
    "longitude",
    "level",
    "quantity",
    "platform",
    "station_id",
    "report_id",
    "elevation_m",
    "top_level",
    "weighting_width",
    "footprint_km",
)
#: Whether the error of a row is in units of the spread of what is measured.
IN_SPREADS = "in_spreads"
#: Peaks of a sounder's weighting functions, hPa, and their width in ln p.
RADIANCE_PEAKS = (150.0, 250.0, 350.0, 500.0, 650.0, 800.0)
RADIANCE_WIDTH = 0.35
_MAIN_HOURS, _OTHER_HOURS = (0, 12), (6, 18)


class Instrument(Protocol):
    """Something that makes rows."""

    def rows(self, times: pd.DatetimeIndex) -> pd.DataFrame:
        """Rows of a period, whose states have these valid times."""
        ...


@dataclass(frozen=True)
class Measured:
    """What is measured at every place, an entry each.

    Args:
        quantity: (n,) names.
        level: (n,) hPa, NaN at the surface.
        weighting_width: (n,) in ln p; NaN for what is at one level.
        error_std: In units of the spread; NaN where a table of errors is to say.
    """

    quantity: tuple[str, ...]
    level: tuple[float, ...]
    weighting_width: tuple[float, ...]
    error_std: float

    @classmethod
    def surface(cls, schema: StateSchema, error_std: float) -> Measured:
        """The surface variables that stations measure, as far as a model has them."""
        names = tuple(name for name in SURFACE if name in schema.variables)
        nothing = (np.nan,) * len(names)
        return cls(names, nothing, nothing, error_std)

    @classmethod
    def soundings(cls, schema: StateSchema, error_std: float) -> Measured:
        """Temperature, wind and humidity at all levels, as far as a model has them."""
        pairs = [(name, float(p)) for name in SOUNDED for p in schema.levels]
        pairs = [(name, p) for name, p in pairs if name in schema.variables]
        names, levels = tuple(n for n, _ in pairs), tuple(p for _, p in pairs)
        return cls(names, levels, (np.nan,) * len(pairs), error_std)

    @classmethod
    def radiances(cls, schema: StateSchema, error_std: float) -> Measured:
        """Brightness temperatures whose weighting functions peak within a model's levels."""
        levels = schema.levels or (0,)
        peaks = tuple(p for p in RADIANCE_PEAKS if levels[0] <= p <= levels[-1])
        widths = (RADIANCE_WIDTH,) * len(peaks)
        return cls(("brightness_temperature",) * len(peaks), peaks, widths, error_std)

    def at(self, places: pd.DataFrame) -> pd.DataFrame:
        """All that is measured at every place, place by place."""
        index = np.repeat(np.arange(len(places)), len(self.quantity))
        frame = places.iloc[index].reset_index(drop=True)
        count = len(places)
        return frame.assign(
            quantity=np.tile(np.array(self.quantity, object), count),
            level=np.tile(np.array(self.level, float), count),
            weighting_width=np.tile(np.array(self.weighting_width, float), count),
            error_std=self.error_std,
            # what is declared independent stays so
            correlation_ln_p=0.0 if self.error_std > 0 else np.nan,
            correlation_km=0.0 if self.error_std > 0 else np.nan,
            **{IN_SPREADS: self.error_std > 0},
        )


def cell_stations(grid: Grid, share: float, seed: int, purpose: str) -> pd.DataFrame:
    """A share of cells as stations, drawn by area without replacement.

    Cells race with exponential clocks of rates proportional to their areas (Efraimidis and
    Spirakis 2006), so that a larger share holds the stations of a smaller one.

    Args:
        grid: Cells.
        share: Of all cells.
        seed: Of the network.
        purpose: Tells kinds of stations apart.

    Returns:
        Columns station_id, latitude, longitude, elevation_m (NaN).
    """
    rows, columns = grid.shape
    latitude = np.repeat(grid.latitudes, columns)
    longitude = np.tile(grid.longitudes, rows)
    clock = -np.log(uniform(keys_of(seed, purpose, [latitude, longitude])))
    clock /= np.repeat(grid.area_weights, columns)
    chosen = np.sort(np.argsort(clock)[: round(share * rows * columns)])
    return pd.DataFrame(
        {
            "station_id": [f"{purpose} {i}" for i in chosen],
            "latitude": latitude[chosen],
            "longitude": longitude[chosen],
            "elevation_m": np.nan,
        }
    )


def real_stations(stations: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """A share of a list of stations; a larger share holds the stations of a smaller one."""
    names = stations["station_id"].to_numpy(object)
    return stations[uniform(keys_of(seed, "list", [names])) < share].reset_index(drop=True)


@dataclass(frozen=True)
class Stations:
    """Stations that report at every state.

    Args:
        places: Columns station_id, latitude, longitude, elevation_m.
        measured: What they measure.
    """

    places: pd.DataFrame
    measured: Measured

    def rows(self, times: pd.DatetimeIndex) -> pd.DataFrame:
        """See `Instrument`."""
        at = self.measured.at(self.places).assign(platform="station", report_id="")
        return pd.concat([at.assign(valid_time=time) for time in times], ignore_index=True)


@dataclass(frozen=True)
class Radiosondes:
    """Ascents at 00 and 12 UTC, and of some stations at 06 and 18; a report each.

    Args:
        places: Columns station_id, latitude, longitude, elevation_m.
        measured: What they measure.
        six_hourly: Share of the stations that launch four times a day.
        seed: Of the network.
    """

    places: pd.DataFrame
    measured: Measured
    six_hourly: float
    seed: int

    def rows(self, times: pd.DatetimeIndex) -> pd.DataFrame:
        """See `Instrument`."""
        names = self.places["station_id"].to_numpy(object)
        often = uniform(keys_of(self.seed, "six-hourly", [names])) < self.six_hourly
        hours = pd.date_range(times[0].floor("D"), times[-1], freq="6h")
        parts = [
            self._launched(self.places if time.hour in _MAIN_HOURS else self.places[often], time)
            for time in hours
            if time >= times[0]
        ]
        return pd.concat(parts, ignore_index=True) if parts else _nothing()

    def _launched(self, places: pd.DataFrame, time: pd.Timestamp) -> pd.DataFrame:
        frame = self.measured.at(places)
        reports = frame["station_id"] + f" {time:%Y-%m-%dT%H}"
        return frame.assign(valid_time=time, platform="radiosonde", report_id=reports)


@dataclass(frozen=True)
class Orbiter:
    """An instrument on a satellite; every pass is a report.

    Args:
        satellite: Where it goes.
        view: What of the Earth it sees.
        measured: What it measures there.
    """

    satellite: Satellite
    view: Disc | Scans
    measured: Measured

    def rows(self, times: pd.DatetimeIndex) -> pd.DataFrame:
        """See `Instrument`."""
        places = self.view.places(self.satellite, times)
        numbers = self.satellite.passes(places["fix"].to_numpy("datetime64[ns]"))
        name = self.satellite.name
        reports = [f"{name} pass {n}" for n in numbers]
        frame = self.measured.at(places.drop(columns="fix").assign(report_id=reports))
        return frame.assign(platform="orbiter", station_id=name)


@dataclass(frozen=True)
class LikeReports:
    """Rows of real reports, moved by whole days into a period.

    Args:
        table: Real reports; those that were rejected are left out.
        every_hours: How often they come again; once if 0.
    """

    table: ObservationTable
    every_hours: int = 0

    def rows(self, times: pd.DatetimeIndex) -> pd.DataFrame:
        """See `Instrument`."""
        used = self.table.used.frame
        if used.empty:
            return _nothing()
        typical = pd.Timestamp(used["valid_time"].sort_values().iloc[len(used) // 2])
        first = typical + (times[0].floor("D") - typical.floor("D"))
        if self.every_hours:
            again = pd.Timedelta(hours=self.every_hours)
            first -= (first - times[0]) // again * again
            moments = list(pd.date_range(first, times[-1], freq=again))
        else:
            moments = [first if first >= times[0] else first + pd.Timedelta(days=1)]
        parts = [self._moved(used, moment - typical) for moment in moments]
        return pd.concat(parts, ignore_index=True) if parts else _nothing()

    @staticmethod
    def _moved(frame: pd.DataFrame, shift: pd.Timedelta) -> pd.DataFrame:
        mark = f" {shift / pd.Timedelta(hours=1):+g} h"
        reports = frame["report_id"] + np.where(frame["report_id"] != "", mark, "")
        return frame.assign(valid_time=frame["valid_time"] + shift, report_id=reports)


def network_rows(instruments: Sequence[Instrument], times: pd.DatetimeIndex) -> pd.DataFrame:
    """Rows of all instruments: the columns of a table, values still zero, and `IN_SPREADS`."""
    frames = [instrument.rows(times) for instrument in instruments]
    frames = [frame for frame in frames if len(frame)]
    frame = pd.concat(frames, ignore_index=True) if frames else _nothing()
    in_spreads = frame[IN_SPREADS].eq(True) if IN_SPREADS in frame else False
    frame = frame.reindex(columns=list(COLUMNS)).assign(value=0.0, rejected="")
    kinds = {**dict.fromkeys(NUMBERS, float), **dict.fromkeys(TEXT, object)}
    frame = frame.astype({**kinds, "valid_time": "datetime64[ns]"})
    longitude = frame["longitude"] % 360.0
    # just west of Greenwich it rounds to a whole turn
    frame["longitude"] = longitude.where(longitude < 360.0, 0.0)
    return frame.assign(**{IN_SPREADS: in_spreads})


def row_keys(frame: pd.DataFrame, seed: int, purpose: str) -> np.ndarray:
    """Keys of rows by what they are, whatever else a network has, (N,) uint64."""
    seconds = (frame["valid_time"] - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
    columns = [frame[name].to_numpy() for name in IDENTITY]
    return keys_of(seed, purpose, [seconds.to_numpy(float), *columns])


def _nothing() -> pd.DataFrame:
    return pd.DataFrame(columns=list(COLUMNS)).astype({"valid_time": "datetime64[ns]"})
