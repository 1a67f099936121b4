"""Datasets as zarr: writing them the same way every time, and reading spans of time."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
import zarr

from appa_core.errors import AbsentError, DataError, InputError

Times: TypeAlias = "pd.DatetimeIndex | pd.Index[pd.Timestamp]"


#: Largest chunk of a variable, in bytes: what reading a field of a long or large result takes.
_CHUNK_BYTES = 64 << 20
#: Dimensions along which large variables are cut, one after the other.
_CUT = ("time", "lead_time", "init_time", "member", "level")


def _chunks(array: xr.Variable) -> tuple[int, ...]:
    """One chunk, or pieces of large variables: whole maps of as many times as fit."""
    sizes = dict(array.sizes)
    for name in _CUT:
        if name in sizes:
            rest = array.dtype.itemsize * int(np.prod([*sizes.values()])) // sizes[name]
            # a divisor, so that blocks of times that are appended begin with a chunk
            fits = [n for n in range(1, sizes[name] + 1) if sizes[name] % n == 0]
            sizes[name] = max([n for n in fits if n * rest <= _CHUNK_BYTES], default=1)
    return tuple(sizes.values())


def write_zarr(
    dataset: xr.Dataset,
    path: Path,
    encoding: dict[str, Any] | None = None,
    *,
    consolidated: bool = True,
) -> None:
    """Write a dataset as zarr v3.

    Variables are one chunk each, and large ones chunks of whole maps, unless encoded otherwise.

    Args:
        dataset: What to write.
        path: A folder that does not exist yet.
        encoding: Settings by variable, over the defaults.
        consolidated: Gather the metadata in one place, which plain `open_zarr` looks for.
    """
    dataset = dataset.drop_encoding()
    merged: dict[str, Any] = {
        str(name): {"chunks": _chunks(array)}
        for name, array in dataset.variables.items()
        if array.ndim > 0 and name not in dataset.dims
    }
    if "time" in dataset.coords:
        merged["time"] = {"units": "hours since 1900-01-01", "dtype": "int64"}
    for name, settings in (encoding or {}).items():
        merged[name] = {**merged.get(name, {}), **settings}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        dataset.to_zarr(path, mode="w-", zarr_format=3, consolidated=consolidated, encoding=merged)


def write_zarr_blocks(blocks: Iterable[xr.Dataset], path: Path) -> int:
    """Write datasets that follow each other in time as one, a block in memory at a time.

    Args:
        blocks: All of as many times as the first, but for the last, which may have fewer.
        path: A folder that does not exist yet.

    Returns:
        How many times were written.
    """
    count = 0
    for block in blocks:
        if count == 0:
            write_zarr(block, path, consolidated=False)
        else:
            block.drop_encoding().to_zarr(
                path, append_dim="time", zarr_format=3, consolidated=False
            )
        count += block.sizes["time"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(str(path), zarr_format=3)
    return count


def _some(dataset: xr.Dataset, variables: Sequence[str] | None) -> xr.Dataset:
    """Some variables of those that there are, and the times."""
    if variables is None:
        return dataset
    return dataset[["time", *(v for v in variables if v in dataset.data_vars)]]


class Archive(ABC):
    """States that can be read by time.

    Args:
        times: Of all states, UTC, ascending.
    """

    def __init__(self, times: pd.DatetimeIndex) -> None:
        self.times = times

    @property
    @abstractmethod
    def attributes(self) -> dict[str, Any]:
        """What is said of the whole, such as `source`."""

    @property
    def step(self) -> pd.Timedelta:
        """Time between states."""
        return pd.Timedelta(self.times[1] - self.times[0])

    def describe_span(self) -> str:
        """The times that exist, for messages."""
        if not len(self.times):
            return "nothing"
        return f"{self.times[0]:%Y-%m-%dT%H:%M} to {self.times[-1]:%Y-%m-%dT%H:%M} UTC"

    def require(self, times: Times) -> np.ndarray:
        """Positions of some times.

        Raises:
            AbsentError: A time is not in the archive; the message gives the span that is.
        """
        positions = self.times.get_indexer(times)
        if (positions < 0).any():
            missing = times[positions < 0][0]
            raise AbsentError(
                f"there is no state at {missing:%Y-%m-%dT%H:%M} UTC; the data hold "
                f"{self.describe_span()}, every {self.step / pd.Timedelta(hours=1):g} h"
            )
        return np.asarray(positions)

    @abstractmethod
    def read(self, times: Times, variables: Sequence[str] | None = None) -> xr.Dataset:
        """States at some times, loaded.

        Args:
            times: UTC (T,).
            variables: Those to read, of those that there are; all if None.

        Raises:
            InputError: A time is not in the archive; the message gives the span that is.
        """


class StateArchive(Archive):
    """States in one or several zarr stores that follow each other in time.

    Args:
        urls: Zarr stores with a `time` dimension, in order of time.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        if not urls:
            raise InputError("an archive needs at least one zarr store")
        self._parts = [xr.open_zarr(url, chunks=None, consolidated=False) for url in urls]
        self._urls = list(urls)
        times = [pd.DatetimeIndex(part["time"].values) for part in self._parts]
        self._starts = np.cumsum([0] + [len(t) for t in times])
        super().__init__(pd.DatetimeIndex(np.concatenate([t.values for t in times])))
        if not (self.times.is_monotonic_increasing and self.times.is_unique):
            raise DataError(f"times of {urls[0]} and after do not ascend")

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the first store."""
        return dict(self._parts[0].attrs)

    def read(self, times: Times, variables: Sequence[str] | None = None) -> xr.Dataset:
        """States at some times, loaded; see `Archive.read`."""
        positions = self.require(times)
        pieces = []
        for i, part in enumerate(self._parts):
            low, high = self._starts[i], self._starts[i + 1]
            local = positions[(positions >= low) & (positions < high)] - low
            if local.size:
                pieces.append(_some(part, variables).isel(time=local).load())
        joined: xr.Dataset = xr.concat(
            pieces, "time", data_vars="minimal", coords="minimal", compat="override", join="exact"
        )
        return joined
