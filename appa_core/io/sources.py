"""Sources of states: zarr stores, NetCDF and GRIB files, near or far, read on a schema's terms."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.errors import DataError, InputError
from appa_core.io.axes import final_until
from appa_core.io.datasets import Times
from appa_core.io.grids import regrid_fields, regridder_between, same_grid
from appa_core.io.harmonise import Part
from appa_core.io.hashing import content_key, file_sha256
from appa_core.io.holdings import HOUR, Holdings, Need, Share, intersection, union
from appa_core.io.opening import Opened, SourceSpec, open_parts
from appa_core.io.retry import Retry
from appa_core.io.units import UPPER_AIR, require_plausible
from appa_core.schema import VARIABLES, Grid, StateSchema

__all__ = ["Retry", "SourceReader", "SourceSpec", "open_source"]

_RAIN = "total_precipitation"
_RAIN_6H = "total_precipitation_6hr"
_AXES = {
    "time": {"standard_name": "time"},
    "latitude": {"units": "degrees_north", "standard_name": "latitude"},
    "longitude": {"units": "degrees_east", "standard_name": "longitude"},
    "level": {"units": "hPa", "standard_name": "air_pressure", "positive": "down"},
}


def open_source(spec: SourceSpec, retry: Retry | None = None) -> SourceReader:
    """Open a source; only its metadata and coordinates are read.

    Args:
        spec: What and where it is.
        retry: How often to try what is not on this machine.

    Returns:
        A reader; close it, or use it in a `with` block.

    Raises:
        InputError: It is not there, or a package to read it is not installed.
        DataError: It cannot be read, its times are out of order or twice there, or nothing in it
            is of use.
    """
    with ExitStack() as stack:
        opened = open_parts(spec, retry or Retry(), stack)
        return SourceReader(spec, opened, stack)


class SourceReader:
    """States of a source; made by `open_source`, for one thread at a time.

    Args:
        spec: What it was opened from.
        opened: Its parts.
        stack: Closes them; taken over.

    Raises:
        DataError: Nothing in it is of use, or its parts do not share a grid.
    """

    def __init__(self, spec: SourceSpec, opened: Opened, stack: ExitStack) -> None:
        self.spec = spec
        self.faults: Mapping[str, int] = opened.faults
        self._files = opened.files
        self._identities: dict[str, str] = {}
        self._holdings = Holdings(spec.name, opened.parts)
        self._parts = self._holdings.parts
        for part in self._parts:
            if not same_grid(part.grid, self.grid):
                raise DataError(
                    f"{part.where} has another grid {part.grid.shape} than {self._parts[0].where} "
                    f"{self.grid.shape}; expected one grid in a source: make them two"
                )
        # also if nobody closes it
        self._finalizer = weakref.finalize(self, stack.pop_all().close)

    def close(self) -> None:
        """Close files and connections and remove copies."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def grid(self) -> Grid:
        """Its horizontal grid."""
        return self._parts[0].grid

    @property
    def variables(self) -> tuple[str, ...]:
        """ERA5 names of what can be read."""
        return self._holdings.variables

    @property
    def levels(self) -> tuple[int, ...]:
        """Pressure levels in hPa that are whole numbers, ascending, of any variable."""
        return self._holdings.levels

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of its first file or store."""
        return dict(self._parts[0].attributes)

    @property
    def final_until(self) -> pd.Timestamp | None:
        """Last time of final states; later ones are preliminary. None if it does not say."""
        stamps = [s for p in self._parts if (s := final_until(p.attributes)) is not None]
        return min(stamps, default=None)

    @cached_property
    def times(self) -> pd.DatetimeIndex:
        """Times (T,) UTC at which every one of `variables` is there."""
        parts = (self._holdings.parts_of(v) for v in self.variables)
        return intersection([union([p.times for p in ps]) for ps in parts])

    def fingerprint(self, schema: StateSchema, times: pd.DatetimeIndex) -> str:
        """Identity of what states at times (T,) are read from.

        The specification's, else a hash of the parts that have any of these times (and of the
        hours before, that sums need). Of files, it is one of their bytes; of zarr, of names,
        units, levels, grid and first time: later times do not change it, and changed values do
        not either. Empty if no part has any of these times (any more).
        """
        if self.spec.fingerprint:
            return self.spec.fingerprint
        hours = max(self._need(variable, schema).hours for variable in schema.variables)
        first, last = times[0] - (hours - 1) * HOUR, times[-1]
        used = [p for p in self._parts if ((p.times >= first) & (p.times <= last)).any()]
        return content_key(sorted({self._identity(part) for part in used})) if used else ""

    def _identity(self, part: Part) -> str:
        if part.where not in self._identities:
            path = self._files.get(part.where)
            self._identities[part.where] = _described(part) if path is None else file_sha256(path)
        return self._identities[part.where]

    def available(self, schema: StateSchema) -> pd.DatetimeIndex:
        """Times (T,) UTC at which all that a schema needs is there, sums over hours included.

        Raises:
            DataError: A variable or level is not in the source at all.
        """
        spans = []
        for variable in schema.variables:
            need = self._need(variable, schema)
            times = self._holdings.times_of(need)
            spans += [pd.DatetimeIndex(times + k * HOUR) for k in range(need.hours)]
        return intersection(spans)

    def read(self, schema: StateSchema, times: Times) -> xr.Dataset:
        """States as a schema wants them; only what that takes is read, and once.

        Args:
            schema: Variables, levels, grid and step.
            times: UTC, ascending (T,).

        Returns:
            Loaded: the schema's variables with dims (time, [level,] latitude, longitude),
            float32, SI units. On another grid than the source's, means over cells
            (`ConservativeRegridder`); `total_precipitation_6hr` sums six hours and
            `total_precipitation` the schema's step, each up to its time.

        Raises:
            InputError: Times are not in order, or not in the source.
            DataError: A variable or level is not in the source, a state is there twice, cannot
                be read, has missing values, or values that cannot be what they are called.
        """
        wanted = _in_order(times)
        coords: dict[str, Any] = {
            "time": wanted,
            "latitude": np.asarray(schema.grid.latitudes),
            "longitude": np.asarray(schema.grid.longitudes),
        }
        if schema.levels:
            coords["level"] = np.asarray(schema.levels)
        return xr.Dataset(
            {v: self._variable(v, schema, wanted) for v in schema.variables},
            {k: (k, v, _AXES[k]) for k, v in coords.items()},
            {"source": self.spec.name},
        )

    def _variable(
        self, variable: str, schema: StateSchema, wanted: pd.DatetimeIndex
    ) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
        """Dimensions, values and attributes of a schema's variable."""
        need = self._need(variable, schema)
        values = self._field(need, wanted, schema.grid)
        units, standard_name = VARIABLES[variable]
        attrs = {"units": units, "standard_name": standard_name}
        if need.levels is None:
            return ("time", "latitude", "longitude"), values[:, 0], attrs
        return ("time", "level", "latitude", "longitude"), values, attrs

    def _need(self, variable: str, schema: StateSchema) -> Need:
        levels = schema.levels if variable in UPPER_AIR else None
        is_there = variable == _RAIN_6H and variable in self.variables
        if variable not in {_RAIN, _RAIN_6H} or is_there:
            return Need(variable, 1, levels)
        hours = 6 if variable == _RAIN_6H else schema.step_hours
        if self.spec.accumulation == "hourly":
            return Need(_RAIN, hours, None)
        steps = [
            np.diff(p.times.values).min()
            for p in self._holdings.parts_of(_RAIN)
            if len(p.times) > 1
        ]
        if steps and min(steps) != np.timedelta64(hours, "h"):
            raise DataError(
                f"source {self.spec.name}: {_RAIN} sums over its step of "
                f"{min(steps) / np.timedelta64(1, 'h'):g} h, expected {hours} h; if it sums over "
                "the hour before, set the source's accumulation to 'hourly'"
            )
        return Need(_RAIN, 1, None)

    def _field(self, need: Need, wanted: pd.DatetimeIndex, target: Grid) -> np.ndarray:
        """One variable (T, L, H, W) on a grid, float32; L is 1 at the surface."""
        needed = wanted
        for k in range(1, need.hours):
            needed = needed.union(wanted - k * HOUR)
        shape = (len(wanted), len(need.levels or (0,)), *target.shape)
        out = np.zeros(shape, np.float32 if need.hours == 1 else np.float64)
        for share in self._holdings.shares(need, needed):
            for row, values in self._states(need, share, needed, target):
                if need.hours == 1:
                    out[row, list(share.places)] = values
                    continue
                time = needed[row]
                low, high = wanted.searchsorted([time, time + need.hours * HOUR])
                out[low:high] += values
        return out.astype(np.float32, copy=False)

    def _states(
        self, need: Need, share: Share, needed: pd.DatetimeIndex, target: Grid
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Rows of `needed` and values (L, H, W) on the target grid."""
        part = share.part
        levels = None if need.levels is None else tuple(need.levels[i] for i in share.places)
        regridder = regridder_between(part.grid, target)
        for which, values in part.blocks(need.variable, share.picks, levels):
            rows = share.rows[which]
            require_plausible(
                values, need.variable, levels, needed[rows], part.where, part.grid.area_weights
            )
            for row, state in zip(rows.tolist(), values, strict=True):
                wide = state if need.hours == 1 else state.astype(np.float64)
                yield row, wide if regridder is None else regrid_fields(wide, regridder)


def _described(part: Part) -> str:
    """Hash of a store's names, units, levels, grid and first time."""
    grid = {"latitudes": part.grid.latitudes, "longitudes": part.grid.longitudes}
    fields = {name: vars(field) for name, field in sorted(part.fields.items())}
    return content_key([str(part.times[0]), grid, fields])


def _in_order(times: Times) -> pd.DatetimeIndex:
    """Times as UTC without zone."""
    wanted = pd.DatetimeIndex(times)
    wanted = (wanted if wanted.tz is None else wanted.tz_convert(None)).as_unit("ns")
    if not len(wanted):
        raise InputError("no times were asked for")
    if not wanted.is_unique:
        twice = wanted[wanted.duplicated()][0]
        raise InputError(f"the time {twice:%Y-%m-%dT%H:%M} UTC was asked for more than once")
    if not wanted.is_monotonic_increasing:
        raise InputError(f"times were asked for out of order, from {wanted[0]} to {wanted[-1]}")
    return wanted
