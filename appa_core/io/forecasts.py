"""The layout of forecasts: which fields and cells, under which names and coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.config.requests import EnsembleRequest, Region
from appa_core.errors import InputError
from appa_core.schema import VARIABLES, Channel, StateSchema


@dataclass(frozen=True)
class FieldSelection:
    """Channels and cells of a schema.

    Args:
        schema: What states hold.
        channels: Channels that are kept.
        rows: Latitudes that are kept.
        columns: Longitudes that are kept, in order from west to east.
    """

    schema: StateSchema
    channels: tuple[Channel, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @classmethod
    def of(cls, schema: StateSchema, request: EnsembleRequest) -> FieldSelection:
        """The selection of a request.

        Raises:
            InputError: Nothing is left, or a name does not exist.
        """
        channels = schema.select(request.variables, request.levels)
        rows, columns = _cells(schema, request.region)
        if not channels:
            raise InputError("the choice of variables and levels leaves no field")
        if min(len(rows), len(columns)) < 2:
            raise InputError(
                f"the region holds {len(rows)} x {len(columns)} cells of the grid; it needs 2 x 2"
            )
        return cls(schema, tuple(channels), tuple(rows), tuple(columns))

    def hashed(self) -> dict[str, Any]:
        """JSON-compatible content, as it enters artifact keys."""
        return {
            "channels": [c.name for c in self.channels],
            "rows": list(self.rows),
            "columns": list(self.columns),
            "schema": self.schema.fingerprint,
        }

    @property
    def latitudes(self) -> np.ndarray:
        """Degrees north, ascending."""
        return np.asarray(self.schema.grid.latitudes)[list(self.rows)]

    @property
    def longitudes(self) -> np.ndarray:
        """Degrees east in [0, 360)."""
        return np.asarray(self.schema.grid.longitudes)[list(self.columns)]

    @property
    def latitude_weights(self) -> np.ndarray:
        """Area weights of the kept rows, mean 1."""
        weights = self.schema.grid.area_weights[list(self.rows)]
        return np.asarray(weights / weights.mean())

    def of_states(self, states: np.ndarray) -> np.ndarray:
        """States (..., C, H, W) cut to the selection."""
        picks = [self.schema.names.index(c.name) for c in self.channels]
        cut = states[..., picks, :, :][..., list(self.rows), :]
        return np.asarray(cut[..., list(self.columns)])


def _cells(schema: StateSchema, region: Region | None) -> tuple[list[int], list[int]]:
    lat, lon = np.asarray(schema.grid.latitudes), np.asarray(schema.grid.longitudes)
    if region is None:
        return list(range(lat.size)), list(range(lon.size))
    rows = np.flatnonzero((lat >= region.south) & (lat <= region.north))
    width = (region.east - region.west) % 360 or 360.0
    offset = (lon - region.west) % 360
    columns = np.flatnonzero(offset <= width)
    return rows.tolist(), sorted(columns.tolist())


def forecast_dataset(
    values: np.ndarray, selection: FieldSelection, init_time: pd.Timestamp, step_hours: int
) -> xr.Dataset:
    """A forecast as a CF dataset.

    Args:
        values: (member, lead, channel, latitude, longitude), physical units.
        selection: What the last three axes hold.
        init_time: Start of the forecast.
        step_hours: Hours between leads; the first lead is one step.

    Returns:
        Dims (init_time, member, lead_time, [level,] latitude, longitude) with `valid_time`.
    """
    data = {
        variable: (["init_time", *dims], array[None], attrs)
        for variable, (dims, array, attrs) in _variables(values, selection, "lead_time").items()
    }
    hours = np.arange(1, values.shape[1] + 1) * step_hours
    dataset = xr.Dataset(data, coords=_coordinates(selection, values.shape[0]))
    leads = hours.astype("timedelta64[h]").astype("timedelta64[ns]")
    start = np.array([init_time.to_datetime64()], "datetime64[ns]")
    return dataset.assign_coords(
        init_time=("init_time", start, {"standard_name": "forecast_reference_time"}),
        lead_time=("lead_time", leads, {"standard_name": "forecast_period"}),
        valid_time=(
            ("init_time", "lead_time"),
            start[:, None] + leads[None],
            {"standard_name": "time"},
        ),
    )


def trajectory_dataset(
    values: np.ndarray, selection: FieldSelection, times: pd.DatetimeIndex
) -> xr.Dataset:
    """Trajectories as a CF dataset.

    Args:
        values: (member, time, channel, latitude, longitude), physical units.
        selection: What the last three axes hold.
        times: Valid times.

    Returns:
        Dims (member, time, [level,] latitude, longitude).
    """
    dataset = xr.Dataset(
        _variables(values, selection, "time"), coords=_coordinates(selection, values.shape[0])
    )
    return dataset.assign_coords(time=("time", times.values, {"standard_name": "time"}))


def _variables(values: np.ndarray, selection: FieldSelection, time_name: str) -> dict[str, Any]:
    """Dims, float32 array and attributes of every variable."""
    data: dict[str, Any] = {}
    for variable, array in selection.schema.unstack(values, selection.channels).items():
        units, standard_name = VARIABLES[variable]
        dims = ["member", time_name, "latitude", "longitude"]
        if array.ndim == len(dims) + 1:
            dims.insert(2, "level")
        attrs = {"units": units, "standard_name": standard_name}
        data[variable] = (dims, array.astype(np.float32), attrs)
    return data


def _coordinates(selection: FieldSelection, members: int) -> dict[str, Any]:
    levels = sorted({c.level for c in selection.channels if c.level is not None})
    coords: dict[str, Any] = {
        "member": ("member", np.arange(members), {"standard_name": "realization"}),
        "latitude": (
            "latitude",
            selection.latitudes,
            {"units": "degrees_north", "standard_name": "latitude"},
        ),
        "longitude": (
            "longitude",
            selection.longitudes,
            {"units": "degrees_east", "standard_name": "longitude"},
        ),
    }
    if levels:
        attrs = {"units": "hPa", "standard_name": "air_pressure", "positive": "down"}
        coords["level"] = ("level", np.asarray(levels), attrs)
    return coords
