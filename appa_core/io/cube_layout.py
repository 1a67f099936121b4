"""Layout of a cube: its identity, its calendar of blocks and the zarr metadata of its years.

All of it follows from the specification alone, so that every writer writes the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from appa_core.errors import InputError, IntegrityError
from appa_core.io.hashing import content_key

FORMAT = 2
KIND = "cube"
_NAME = re.compile(r"\w+")
_DTYPES = ("float16", "float32", "float64")
_AXIS_ATTRS: Mapping[str, Mapping[str, str]] = {
    "time": {
        "standard_name": "time",
        "units": "hours since 1900-01-01",
        "calendar": "proleptic_gregorian",
    },
    "latitude": {"units": "degrees_north", "standard_name": "latitude"},
    "longitude": {"units": "degrees_east", "standard_name": "longitude"},
    "level": {"units": "hPa", "standard_name": "air_pressure", "positive": "down"},
}


@dataclass(frozen=True)
class CubeVariable:
    """A field of every state.

    Args:
        name: Unique in its cube.
        dims: Its dimensions after `time`, names of coordinates.
        attrs: CF attributes (`units`, `standard_name`).
        may_be_missing: Whether NaN is a value, as in sea surface temperature over land.
    """

    name: str
    dims: tuple[str, ...]
    attrs: Mapping[str, str]
    may_be_missing: bool = False


@dataclass(frozen=True, order=True)
class Block:
    """Consecutive states of a calendar year: a unit of work, and one shard of each variable.

    Args:
        year: Calendar year, UTC.
        index: Position among the blocks of the year, from 0 on.
    """

    year: int
    index: int

    @property
    def name(self) -> str:
        """Name in paths and messages, such as `2020/0003`."""
        return f"{self.year:04d}/{self.index:04d}"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class CubeSpec:
    """What a cube holds and what it is made from; specifications with one key are equal.

    Args:
        step: Name of the step that makes it.
        version: Version of the step's code; raise it when its results change.
        config: Scientific settings, JSON-compatible.
        parents: Keys of what it is made from, by role.
        step_hours: Time between states, a divisor of 24.
        block_states: States of a block; the last of a year may have fewer.
        coordinates: Values along each dimension but `time`, numbers of shape (n,).
        variables: Fields of every state.
        dtype: Of all variables: float16, float32 or float64.
        attrs: Attributes of coordinates, over those of latitude, longitude and level.

    Raises:
        InputError: The layout contradicts itself.
    """

    step: str
    version: int
    config: Mapping[str, Any]
    parents: Mapping[str, str]
    step_hours: int
    block_states: int
    coordinates: Mapping[str, np.ndarray]
    variables: tuple[CubeVariable, ...]
    dtype: str = "float32"
    attrs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.step_hours < 1 or 24 % self.step_hours:
            raise InputError(f"expected a step that divides 24 hours, got {self.step_hours}")
        if self.block_states < 1:
            raise InputError(f"expected blocks of at least one state, got {self.block_states}")
        if self.dtype not in _DTYPES:
            raise InputError(f"expected a dtype of {', '.join(_DTYPES)}, got {self.dtype!r}")
        names = ["time", *self.coordinates, *(v.name for v in self.variables)]
        if len(set(names)) != len(names) or not all(_NAME.fullmatch(n) for n in names):
            raise InputError(f"expected different names of letters, digits and '_', got {names}")
        self._require_axes()

    def _require_axes(self) -> None:
        for name, values in self.coordinates.items():
            if values.ndim != 1 or values.dtype.kind not in "iuf":
                raise InputError(f"coordinate {name} must be a list of numbers, got {values}")
        if unknown := set(self.attrs) - set(self.coordinates):
            raise InputError(f"there are attributes of coordinates that do not exist: {unknown}")
        for variable in self.variables:
            if unknown := set(variable.dims) - set(self.coordinates):
                raise InputError(f"{variable.name} has dimensions without values: {unknown}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CubeSpec) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Identity and layout as JSON."""
        identity = {
            "step": self.step,
            "version": self.version,
            "config": dict(self.config),
            "parents": dict(self.parents),
            "layout": {
                "step_hours": self.step_hours,
                "block_states": self.block_states,
                "dtype": self.dtype,
                "coordinates": {
                    name: {
                        "dtype": str(values.dtype),
                        "values": values.tolist(),
                        "attrs": self.axis_attrs(name),
                    }
                    for name, values in self.coordinates.items()
                },
                "variables": [
                    vars(v) | {"dims": list(v.dims), "attrs": dict(v.attrs)}
                    for v in self.variables
                ],
            },
        }
        return {"format": FORMAT, "kind": KIND, "key": content_key(identity), **identity}

    @property
    def key(self) -> str:
        """Content hash of the specification."""
        return str(self.manifest["key"])

    @classmethod
    def parse(cls, text: bytes, url: str) -> CubeSpec:
        """The specification in a manifest.

        Raises:
            InputError: It is the manifest of something else, or of another format.
            IntegrityError: It is damaged.
        """
        try:
            manifest = json.loads(text)
            found = (manifest.get("kind"), manifest.get("format"))
        except (ValueError, AttributeError) as error:
            raise IntegrityError(f"{url} is damaged; make the cube again to repair it") from error
        if found != (KIND, FORMAT):
            raise InputError(
                f"{url} describes {found[0] or 'an artifact'} in format {found[1]}; expected "
                f"a {KIND} in format {FORMAT}; give the folder of a cube, or use a new store"
            )
        try:
            spec = cls._parse(manifest)
            is_whole = spec.key == manifest["key"]
        except (KeyError, TypeError, ValueError, AttributeError, InputError):
            is_whole = False
        if not is_whole:
            raise IntegrityError(
                f"{url} is damaged: its key is not that of its content; run the command that "
                "made the cube again to repair it"
            )
        return spec

    @classmethod
    def _parse(cls, manifest: Mapping[str, Any]) -> CubeSpec:
        layout = manifest["layout"]
        axes = layout["coordinates"]
        return cls(
            **{name: manifest[name] for name in ("step", "version", "config", "parents")},
            **{name: layout[name] for name in ("step_hours", "block_states", "dtype")},
            coordinates={n: np.array(a["values"], a["dtype"]) for n, a in axes.items()},
            variables=tuple(
                CubeVariable(**(v | {"dims": tuple(v["dims"])})) for v in layout["variables"]
            ),
            attrs={name: axis["attrs"] for name, axis in axes.items()},
        )

    def axis_attrs(self, name: str) -> dict[str, str]:
        """Attributes of a coordinate, or of `time`."""
        return {**_AXIS_ATTRS.get(name, {}), **self.attrs.get(name, {})}

    def shape(self, variable: CubeVariable) -> tuple[int, ...]:
        """Shape of a variable in one state."""
        return tuple(len(self.coordinates[d]) for d in variable.dims)

    def states_of(self, year: int) -> int:
        """States of a year."""
        return (366 if pd.Timestamp(year, 1, 1).is_leap_year else 365) * 24 // self.step_hours

    def times_of(self, year: int, first: int, stop: int) -> np.ndarray:
        """Times of a year's states `first` to `stop` - 1, (stop - first,) datetime64[ns]."""
        offsets = np.arange(first, stop) * np.timedelta64(self.step_hours, "h")
        return np.asarray(np.datetime64(f"{year:04d}-01-01", "ns") + offsets)

    def bounds(self, block: Block) -> tuple[int, int]:
        """Positions in its year of a block's first state and of the one after its last.

        Raises:
            InputError: The year has no such block.
        """
        first = block.index * self.block_states
        states = self.states_of(block.year)
        if not 0 <= first < states:
            raise InputError(
                f"there is no block {block}: {block.year} has {states} states in blocks of "
                f"{self.block_states}"
            )
        return first, min(first + self.block_states, states)

    def locate(self, times: pd.DatetimeIndex) -> tuple[np.ndarray, np.ndarray]:
        """Years of times (T,) and positions in them (T,).

        Raises:
            InputError: A time is not a multiple of the step after midnight.
        """
        values = times.values.astype("datetime64[ns]")
        years = values.astype("datetime64[Y]")
        step = np.timedelta64(self.step_hours, "h")
        offsets = values - years.astype("datetime64[ns]")
        if (misplaced := offsets % step != np.timedelta64(0, "ns")).any():
            raise InputError(
                f"there is no state at {times[misplaced][0]}: states are {self.step_hours} h "
                "apart, from 00:00 UTC on"
            )
        return years.astype(int) + 1970, offsets // step

    def states_between(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DatetimeIndex:
        """Times of [start, end) at which there is a state."""
        step = f"{self.step_hours}h"
        days = pd.date_range(
            utc(start).ceil(step), utc(end), freq=step, inclusive="left", unit="ns"
        )
        return pd.DatetimeIndex(days)

    def blocks(self, start: pd.Timestamp, end: pd.Timestamp) -> list[Block]:
        """Blocks with a state in [start, end), in order of time."""
        times = self.states_between(start, end)
        if not len(times):
            return []
        (first_year, last_year), (first, last) = (x.tolist() for x in self.locate(times[[0, -1]]))
        blocks = []
        for year in range(first_year, last_year + 1):
            low = first if year == first_year else 0
            high = last if year == last_year else self.states_of(year) - 1
            indices = range(low // self.block_states, high // self.block_states + 1)
            blocks += [Block(year, i) for i in indices]
        return blocks


def utc(time: Any) -> pd.Timestamp:
    """A time without zone, in UTC."""
    stamp = pd.Timestamp(time)
    return stamp if stamp.tz is None else stamp.tz_convert("UTC").tz_localize(None)
