"""Datasets of the world in the project's terms: one part of a source, whatever it calls things.

Names become ERA5's, units SI, pressure hPa, times UTC; latitudes ascend and longitudes ascend in
[0, 360). Only coordinates are read until `Part.blocks` is asked for fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.errors import DataError
from appa_core.io.axes import ordered, pressures, time_dims, valid_span, valid_times
from appa_core.io.checked_store import Guard
from appa_core.io.grids import oriented
from appa_core.io.units import NAMES, UPPER_AIR, Conversion, conversion

_LATITUDES = ("latitude", "lat")
_LONGITUDES = ("longitude", "lon")
_LEVELS = ("level", "isobaricInhPa", "isobaricInPa", "pressure_level", "plev", "pressure", "lev")
# of a block as it is decoded, before levels are picked
_BLOCK_BYTES = 1 << 29


@dataclass(frozen=True)
class Field:
    """A variable of a dataset.

    Args:
        name: Its name there.
        level_dim: Its dimension of pressure; None at the surface, or where there is one level.
        levels: Pressure in hPa, in the dataset's order; None at the surface.
        to_si: Conversion of its values.
    """

    name: str
    level_dim: str | None
    levels: tuple[float, ...] | None
    to_si: Conversion


class Part:
    """A lazily opened dataset: its times, its grid, and its fields by their ERA5 names.

    Args:
        dataset: Opened without decoding times.
        where: File or store, for messages.
        guard: Reads its fields.
        time_units: Units of times that have no attribute, such as "hours since 1940-01-01".

    Raises:
        DataError: Coordinates are missing, out of order, twice there or not global. What is
            wrong with a field is an entry of `problems` instead: it may never be asked for.
    """

    def __init__(
        self, dataset: xr.Dataset, where: str, guard: Guard, time_units: str = ""
    ) -> None:
        self.where = where
        self._guard = guard
        self.attributes: dict[str, Any] = dict(dataset.attrs)
        self._dataset = dataset
        self._time_dims = time_dims(dataset)
        times = valid_times(dataset, self._time_dims, where, time_units)
        start, end = valid_span(self.attributes)
        self._positions = np.flatnonzero((times >= start) & (times <= end))
        self.times = ordered(pd.DatetimeIndex(times[self._positions]), where)
        self._lat = _axis_name(dataset, _LATITUDES, where)
        self._lon = _axis_name(dataset, _LONGITUDES, where)
        lat, lon = (np.asarray(dataset[n].values, float) for n in (self._lat, self._lon))
        self.grid, self._rows, self._columns = oriented(lat, lon, where)
        self.problems: dict[str, str] = {}
        self.fields: dict[str, Field] = dict(self._find_fields())

    def blocks(
        self, variable: str, picks: np.ndarray, levels: tuple[int, ...] | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Fields at some times, in blocks of whole chunks, so that each chunk is read once.

        Args:
            variable: A key of `fields`.
            picks: Positions in `times`, ascending (T,).
            levels: Pressure in hPa (L,), all of them the field's; None at the surface.

        Yields:
            Positions in `picks` (t,), and values (t, L, H, W) in SI units on `grid`; L is 1 at
            the surface.
        """
        field = self.fields[variable]
        array = self._dataset[field.name]
        raw = self._positions[picks]
        for low, high in _spans(raw, array, self._time_dims):
            yield np.arange(low, high), self._read(array, field, raw[low:high], levels)

    def _read(
        self, array: xr.DataArray, field: Field, raw: np.ndarray, levels: tuple[int, ...] | None
    ) -> np.ndarray:
        places = [0]
        if levels is not None and field.levels is not None:
            places = [field.levels.index(level) for level in levels]
        chosen: dict[str, Any] = {}
        if field.level_dim is not None:
            chosen[field.level_dim] = _compact(np.sort(places))
        pieces = [
            self._load(array, field, {**chosen, **at})
            for at in _time_indexers(raw, array, self._time_dims)
        ]
        values = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        values = values[:, _compact(np.argsort(np.argsort(places)))]
        return field.to_si(values[:, :, _compact(self._rows)][..., _compact(self._columns)])

    def _load(self, array: xr.DataArray, field: Field, chosen: Mapping[str, Any]) -> np.ndarray:
        """Values (t, L, H, W) in the dataset's order of rows and columns."""
        part = self._guard.read(f"{field.name} of {self.where}", lambda: array.isel(chosen).load())
        level = [field.level_dim] if field.level_dim is not None else []
        dims = [*(d for d in self._time_dims if d in part.dims), *level, self._lat, self._lon]
        values = np.transpose(np.asarray(part.values), [part.dims.index(d) for d in dims])
        return values.reshape(-1, values.shape[-3] if level else 1, *values.shape[-2:])

    def _find_fields(self) -> Iterator[tuple[str, Field]]:
        """Fields by ERA5 name; what is in the way of others goes to `problems`."""
        exact = {str(name): str(name) for name in self._dataset.data_vars}
        found = {name.lower(): name for name in exact} | exact
        for variable, names in NAMES.items():
            for name in (found[n] for n in names if n in found):
                if variable in UPPER_AIR and _level_name(self._dataset[name]) is None:
                    continue  # such as the orography, which is also called z
                try:
                    yield variable, self._field(variable, name)
                except DataError as error:
                    self.problems[variable] = str(error)
                break

    def _field(self, variable: str, name: str) -> Field:
        array = self._dataset[name]
        level_name = _level_name(array) if variable in UPPER_AIR else None
        level_dim = level_name if level_name in array.dims else None
        expected = {*self._time_dims, self._lat, self._lon} | ({level_dim} - {None})
        if set(array.dims) != expected:
            extra = ", ".join(str(d) for d in array.dims if d not in expected)
            raise DataError(
                f"{self.where}: {name} has dimensions {dict(array.sizes)}, expected "
                f"{', '.join(sorted(map(str, expected)))}"
                + (f"; choose one value of {extra} with the source's 'select'" if extra else "")
            )
        try:
            levels = None if level_name is None else pressures(array[level_name])
            units = array.attrs.get("units")
            to_si = conversion(variable, name, None if units is None else str(units))
        except DataError as error:
            raise DataError(f"{self.where}: {error}") from error
        return Field(name, level_dim, levels, to_si)


def _axis_name(dataset: xr.Dataset, names: tuple[str, ...], where: str) -> str:
    for name in names:
        if name in dataset.variables and dataset[name].dims == (name,):
            return name
    raise DataError(
        f"{where} has no dimension {names[0]} with values, it has {dict(dataset.sizes)}; only "
        "grids of latitudes and longitudes can be read"
    )


def _level_name(array: xr.DataArray) -> str | None:
    return next((n for n in _LEVELS if n in array.coords), None)


def _compact(picks: Any) -> Any:
    """Positions as a slice where they are evenly spaced, so that nothing is copied."""
    picks = np.asarray(picks)
    steps = set(np.diff(picks).tolist()) or {1}
    if len(steps) > 1 or 0 in steps:
        return picks
    step, stop = steps.pop(), 0
    stop = int(picks[-1]) + step
    return slice(int(picks[0]), stop if stop >= 0 else None, step)


def _time_indexers(
    raw: np.ndarray, array: xr.DataArray, dims: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """How to index states, at positions in the flattened times."""
    if len(dims) < 2:
        yield {dims[0]: _compact(raw)} if dims else {}
        return
    starts, steps = np.divmod(raw, array.sizes[dims[1]])
    for start in np.unique(starts):
        yield {dims[0]: int(start), dims[1]: _compact(steps[starts == start])}


def _spans(raw: np.ndarray, array: xr.DataArray, dims: tuple[str, ...]) -> list[tuple[int, int]]:
    """Bounds in `raw` of blocks that hold whole chunks and no more bytes than they must."""
    chunk = array.encoding.get("preferred_chunks", {}).get(dims[0], 1) if len(dims) == 1 else 1
    states = int(np.prod([array.sizes[d] for d in dims])) or 1
    per_state = array.size // states * array.dtype.itemsize
    bounds = [*(np.flatnonzero(np.diff(raw // chunk)) + 1).tolist(), len(raw)]
    spans, low = [], 0
    for bound, following in zip(bounds, [*bounds[1:], None], strict=True):
        if following is None or (following - low) * per_state > _BLOCK_BYTES:
            spans.append((low, bound))
            low = bound
    return spans
