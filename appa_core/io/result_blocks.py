"""Fields of results in blocks of some states of one variable, all levels: how evaluations read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from appa_core.errors import DataError
from appa_core.io.ensembles import open_fields
from appa_core.io.results import Result
from appa_core.schema import VARIABLES, Channel, Grid


class ResultFields:
    """The fields of a result, opened lazily.

    Args:
        result: Where they are.

    Raises:
        DataError: They are not laid out as results are, or of several dates.
    """

    def __init__(self, result: Result) -> None:
        self.result = result
        self._fields = open_fields(result)
        whole = self._fields.dataset
        if whole.sizes.get("init_time", 1) != 1:
            raise DataError(
                f"{result.path}: expected one init_time at most; found {dict(whole.sizes)}"
            )
        self._data = self._fields.single
        self._time = self._fields.time_dim

    @property
    def grid(self) -> Grid:
        """Its cells."""
        return self._fields.grid

    @property
    def members(self) -> int:
        """Size of the ensemble."""
        return self._fields.members

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """What there is, variable by variable, levels ascending."""
        found = []
        for name in sorted(str(v) for v in self._data.data_vars if v in VARIABLES):
            levels = self._levels(name)
            found += [Channel(name, level) for level in levels]
        return tuple(found)

    @cached_property
    def levels(self) -> dict[str, list[int | None]]:
        """Levels by variable; [None] at the surface."""
        found: dict[str, list[int | None]] = {}
        for channel in self.channels:
            found.setdefault(channel.variable, []).append(channel.level)
        return found

    def _levels(self, variable: str) -> list[int | None]:
        if "level" not in self._data[variable].dims:
            return [None]
        return [int(level) for level in self._data["level"].values]

    @cached_property
    def valid_times(self) -> pd.DatetimeIndex:
        """Of the states (T,), UTC."""
        return self._fields.valid_times.as_unit("ns")

    @property
    def init_time(self) -> pd.Timestamp:
        """Start of a forecast; of an analysis the first state."""
        return self._fields.start

    @cached_property
    def lead_hours(self) -> np.ndarray:
        """Hours since `init_time`, (T,) int."""
        return np.asarray(self._fields.hours)

    def block_states(self, variable: str, limit_bytes: int) -> int:
        """States of a variable, all members, that fit into a limit; whole chunks of them."""
        array = self._fields.dataset[variable]
        times = array.sizes[self._time]
        each = array.nbytes // times
        chunks = array.encoding.get("chunks") or array.shape
        chunk = chunks[array.dims.index(self._time)]
        fit = max(1, limit_bytes // each)
        return int(min(times, max(fit // chunk, 1) * chunk if chunk > 1 else fit))

    def read(
        self, variable: str, states: Sequence[int], members: slice = slice(None)
    ) -> np.ndarray:
        """A variable at some states, (M, T, L, H, W) float32; L is 1 at the surface."""
        part = self._data[variable].isel({self._time: list(states), "member": members})
        dims = [d for d in ("level",) if d in part.dims]
        values = part.transpose("member", self._time, *dims, "latitude", "longitude").values
        return np.asarray(values if dims else values[:, :, None])
