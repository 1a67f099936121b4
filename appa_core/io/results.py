"""Exported results of forecasts and analyses, read a variable and some times at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.errors import DataError, InputError, IntegrityError
from appa_core.io.hashing import file_sha256
from appa_core.io.store import MANIFEST
from appa_core.schema import VARIABLES, Channel, Grid

OBSERVATIONS = "observations.parquet"
#: Fields of a result by name of the file, and what kind of result it is.
_FIELDS: dict[str, Literal["forecast", "analysis"]] = {
    "forecast.zarr": "forecast",
    "reanalysis.zarr": "analysis",
    "filtering.zarr": "analysis",
}
_SECONDS = np.timedelta64(1, "s")


@dataclass(frozen=True)
class Result:
    """A folder that a flow exported.

    Args:
        folder: Where it is.
        file: Name of the fields in it.
        digest: Hash of the fields.
    """

    folder: str
    file: str
    digest: str

    @classmethod
    def open(cls, folder: str | Path) -> Result:
        """The result in a folder; only its manifest is read.

        Raises:
            InputError: There is no result.
            IntegrityError: Its manifest is damaged.
        """
        path = Path(folder)
        files = [name for name in _FIELDS if (path / name).is_dir()]
        if not (path / MANIFEST).is_file() or not files:
            raise InputError(
                f"{path} is no result: expected a folder that flows.forecast, flows.reanalysis or "
                f"flows.filtering exported, with {MANIFEST} and one of {', '.join(_FIELDS)}"
            )
        try:
            manifest = json.loads((path / MANIFEST).read_text("utf-8"))
            digest = next(
                str(a["digest"])
                for a in manifest["artifacts"].values()
                if any(str(name).startswith(f"{files[0]}/") for name in a["files"])
            )
        except (ValueError, KeyError, AttributeError, TypeError, StopIteration) as error:
            raise IntegrityError(
                f"{path / MANIFEST} is damaged or of another version ({error!r}); export the "
                "result again by the command that made it"
            ) from error
        return cls(str(path.absolute()), files[0], digest)

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """What the flow wrote about it."""
        content: Mapping[str, Any] = json.loads((Path(self.folder) / MANIFEST).read_text("utf-8"))
        return content

    @property
    def kind(self) -> Literal["forecast", "analysis"]:
        """Whether it starts from known states or follows observations."""
        return _FIELDS[self.file]

    @property
    def paired(self) -> bool:
        """Whether members 2k and 2k + 1 were drawn from opposite noise."""
        return bool(self.manifest.get("method", {}).get("paired", False))

    @property
    def observations(self) -> Path | None:
        """Its observations and what members read of them, if it has any."""
        path = Path(self.folder) / OBSERVATIONS
        return path if path.is_file() else None

    def verify(self) -> None:
        """Compare all files with the checksums of the manifest.

        Raises:
            IntegrityError: One is missing or differs.
        """
        for artifact in self.manifest["artifacts"].values():
            for name, expected in artifact["files"].items():
                path = Path(self.folder) / name
                if name.startswith(self.file) or name == OBSERVATIONS:
                    if not path.is_file():
                        raise IntegrityError(f"{path} is missing; export the result again")
                    if file_sha256(path) != expected:
                        raise IntegrityError(
                            f"{path} is not what was exported: its checksum differs from that in "
                            f"{MANIFEST}; export the result again by the command that made it"
                        )


class ResultFields:
    """The fields of a result, opened lazily.

    Args:
        result: Where they are.

    Raises:
        DataError: They are not laid out as results are.
    """

    def __init__(self, result: Result) -> None:
        self.result = result
        self._data = xr.open_zarr(
            f"{result.folder}/{result.file}", chunks=None, consolidated=False
        )
        self._time = "lead_time" if result.kind == "forecast" else "time"
        missing = {self._time, "member", "latitude", "longitude"} - set(self._data.dims)
        if missing or self._data.sizes.get("init_time", 1) != 1:
            raise DataError(
                f"{result.folder}/{result.file}: expected one init_time at most and the "
                f"dimensions member, {self._time}, latitude, longitude; found "
                f"{dict(self._data.sizes)}"
            )

    @cached_property
    def grid(self) -> Grid:
        """Its cells."""
        lat, lon = (self._data[name].values.tolist() for name in ("latitude", "longitude"))
        return Grid(tuple(lat), tuple(lon))

    @property
    def members(self) -> int:
        """Size of the ensemble."""
        return int(self._data.sizes["member"])

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
        if self.result.kind == "analysis":
            return pd.DatetimeIndex(self._data["time"].values).as_unit("ns")
        start = self._data["init_time"].values[0]
        return pd.DatetimeIndex(start + self._data["lead_time"].values).as_unit("ns")

    @property
    def init_time(self) -> pd.Timestamp:
        """Start of a forecast; of an analysis the first state."""
        if self.result.kind == "analysis":
            return self.valid_times[0]
        return pd.Timestamp(self._data["init_time"].values[0])

    @cached_property
    def lead_hours(self) -> np.ndarray:
        """Hours since `init_time`, (T,) int."""
        delta = (self.valid_times - self.init_time).to_numpy()
        return np.asarray(delta / _SECONDS / 3600).astype(int)

    def block_states(self, variable: str, limit_bytes: int) -> int:
        """States of a variable, all members, that fit into a limit; whole chunks of them."""
        array = self._data[variable]
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
        array = self._data[variable]
        if "init_time" in array.dims:
            array = array.isel(init_time=0)
        part = array.isel({self._time: list(states), "member": members})
        dims = [d for d in ("level",) if d in part.dims]
        values = part.transpose("member", self._time, *dims, "latitude", "longitude").values
        return np.asarray(values if dims else values[:, :, None])
