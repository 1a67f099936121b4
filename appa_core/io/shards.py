"""The bytes of a cube's zarr stores: metadata and coordinates of a year, shards of a block.

The stores are Zarr v3. Metadata and shards are written here rather than by the zarr library, so
that they do not change with its version, a shard is hashed while it is written, and a damaged
state is told from one that was never written. Tests read them with zarr and xarray, and compare
shards with those that zarr writes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pandas as pd
import xarray as xr
from numcodecs import blosc  # type: ignore[import-untyped]

from appa_core.errors import DataError
from appa_core.io.cube_layout import Block, CubeSpec, CubeVariable
from appa_core.io.datasets import Times

THREADS = min(4, os.cpu_count() or 1)
_ABSENT = np.iinfo(np.uint64).max
_BYTES: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
_CRC: dict[str, Any] = {"name": "crc32c"}
_SAME_PLACE = 1e-4
#: Chunks below this are coded without threads, which would cost more than they save.
SMALL_BYTES = 1 << 17
_EPOCH = np.datetime64("1900-01-01", "ns")
# of what zarr offers, the fastest on fields of floats and nearly the smallest: see ADR 7
_codec = blosc.Blosc(cname="lz4", clevel=5, shuffle=blosc.BITSHUFFLE, blocksize=0)
blosc.use_threads = False  # its threads would put parts of a chunk in any order


class DamageError(Exception):
    """Stored bytes that are not those that were written; says what is wrong with them."""


def year_folder(year: int) -> str:
    """Zarr store of a year, relative to the cube."""
    return f"{year:04d}.zarr"


def shard_name(block: Block, variable: CubeVariable) -> str:
    """Path of a shard, relative to the cube."""
    chunk = ".".join(["c", str(block.index), *("0" for _ in variable.dims)])
    return f"{year_folder(block.year)}/{variable.name}/{chunk}"


@lru_cache(maxsize=4)
def template(spec: CubeSpec, year: int) -> dict[str, bytes]:
    """Metadata and coordinates of a year by path relative to the cube, those of its root last."""
    states, folder = spec.states_of(year), year_folder(year)
    hours = (spec.times_of(year, 0, states) - _EPOCH) // np.timedelta64(1, "h")
    axes = {"time": hours, **spec.coordinates}
    files, arrays = {}, {}
    for name, values in axes.items():
        stored = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        files[f"{folder}/{name}/c.0"] = with_checksum(stored.tobytes())
        arrays[name] = _array_metadata(
            [name], stored, stored.shape, [_BYTES, _CRC], spec.axis_attrs(name)
        )
    for variable in spec.variables:
        shape = spec.shape(variable)
        arrays[variable.name] = _array_metadata(
            ["time", *variable.dims],
            np.broadcast_to(np.zeros((), spec.dtype), (states, *shape)),
            (spec.block_states, *shape),
            [_sharding((1, *shape), spec.dtype)],
            variable.attrs,
        )
    files |= {f"{folder}/{name}/zarr.json": _json(array) for name, array in arrays.items()}
    root = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"Conventions": "CF-1.11", "step": spec.step, "cube": spec.key},
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": arrays},
    }
    return files | {f"{folder}/zarr.json": _json(root)}


def _array_metadata(
    dims: Sequence[str],
    like: np.ndarray,
    chunk: Sequence[int],
    codecs: Sequence[Mapping[str, Any]],
    attrs: Mapping[str, str],
) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": like.shape,
        "data_type": str(like.dtype),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": "NaN" if like.dtype.kind == "f" else 0,
        "codecs": codecs,
        "attributes": dict(attrs),
        "dimension_names": dims,
    }


def _sharding(chunk: Sequence[int], dtype: str) -> dict[str, Any]:
    compression = {
        "typesize": np.dtype(dtype).itemsize,
        "cname": _codec.cname,
        "clevel": _codec.clevel,
        "shuffle": "bitshuffle",
        "blocksize": _codec.blocksize,
    }
    settings = {
        "chunk_shape": chunk,
        "codecs": [_BYTES, {"name": "blosc", "configuration": compression}, _CRC],
        "index_codecs": [_BYTES, _CRC],
        "index_location": "end",
    }
    return {"name": "sharding_indexed", "configuration": settings}


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode()


def times_in(dataset: xr.Dataset | Mapping[str, Any], times: Times | None) -> pd.DatetimeIndex:
    """Times (T,) of a dataset, or those given with arrays.

    Raises:
        DataError: There are none, or two that differ.
    """
    found = [] if times is None else [pd.DatetimeIndex(times).as_unit("ns")]
    if isinstance(dataset, xr.Dataset) and "time" in dataset.indexes:
        index = dataset.indexes["time"]
        if not isinstance(index, pd.DatetimeIndex):
            raise DataError(f"expected times of the standard calendar, got {index}")
        found.append(index.as_unit("ns"))
    if not found:
        raise DataError("expected the times of the states: a coordinate `time`, or `times`")
    if not found[0].equals(found[-1]):
        raise DataError(f"the times given are not those of the dataset: {found}")
    return found[0]


def position_in(all_times: pd.DatetimeIndex, times: pd.DatetimeIndex, block: Block) -> int:
    """Position of a run of times within its block.

    Raises:
        DataError: It is not a run of the block's times.
    """
    position = int(all_times.get_indexer(times[:1])[0]) if len(times) else -1
    if position < 0 or not times.equals(all_times[position : position + len(times)]):
        got = f"{times[0]} to {times[-1]} ({len(times)})" if len(times) else "none"
        raise DataError(
            f"expected consecutive times of block {block}, {all_times[0]} to {all_times[-1]} "
            f"({len(all_times)}); got {got}"
        )
    return position


def require_layout(spec: CubeSpec, dataset: xr.Dataset | Mapping[str, Any]) -> None:
    """Raise DataError unless names, dimensions and coordinates are the cube's."""
    found = {str(n) for n in (dataset.data_vars if isinstance(dataset, xr.Dataset) else dataset)}
    if found != (expected := {v.name for v in spec.variables}):
        raise DataError(
            f"expected variables {sorted(expected)}; missing {sorted(expected - found)}, "
            f"unexpected {sorted(found - expected)}"
        )
    if not isinstance(dataset, xr.Dataset):
        return
    for v in spec.variables:
        if dataset[v.name].dims != ("time", *v.dims):
            raise DataError(
                f"expected {v.name} with dimensions {('time', *v.dims)}, got "
                f"{dataset[v.name].dims}"
            )
    for name, values in spec.coordinates.items():
        got = np.asarray(dataset[name].values) if name in dataset.coords else values
        if got.shape != values.shape or not np.allclose(got, values, rtol=0, atol=_SAME_PLACE):
            raise DataError(f"{name} is not the cube's: expected {values}, got {got}")


def checked_states(
    spec: CubeSpec, variable: CubeVariable, array: Any, times: pd.DatetimeIndex
) -> Iterator[np.ndarray]:
    """States of a variable (T, ...) one by one, contiguous and little-endian.

    Raises:
        DataError: Shape or dtype are not the cube's, or a value is not finite (NaN is allowed
            where the variable may be missing).
    """
    values = np.asarray(array)
    expected = (len(times), *spec.shape(variable))
    if values.shape != expected or values.dtype != np.dtype(spec.dtype):
        raise DataError(
            f"expected {variable.name} as {spec.dtype} of shape {expected}, got {values.dtype} "
            f"of shape {values.shape}"
        )
    for time, state in zip(times, values, strict=True):
        broken = _broken(state, may_be_missing=variable.may_be_missing)
        if broken.any():
            where = tuple(np.argwhere(broken)[0])
            pairs = zip(variable.dims, where, strict=True)
            place = ", ".join(f"{dim} {spec.coordinates[dim][i]}" for dim, i in pairs)
            raise DataError(
                f"{variable.name} at {time:%Y-%m-%dT%H:%M}, {place} is {state[where]} "
                f"({broken.sum()} of {broken.size} values of that state are not finite); nothing "
                "was committed; look for that time in the source"
            )
        yield np.ascontiguousarray(state, state.dtype.newbyteorder("<"))


def _broken(state: np.ndarray, *, may_be_missing: bool) -> np.ndarray:
    """Where values are infinite, or NaN where none may be; same shape, bool."""
    if may_be_missing:
        return np.asarray(np.isinf(state))
    if state.dtype == np.float16 and state.flags.c_contiguous:
        # all bits of the exponent are set; numpy's own test of such numbers is ten times slower
        return np.asarray((state.view(np.uint16) & 0x7C00) == 0x7C00)
    return np.asarray(~np.isfinite(state))


def write_shard(
    path: Path, states: Iterable[np.ndarray], position: int, block_states: int
) -> tuple[str, int]:
    """Write a shard of consecutive states.

    Args:
        path: A new file, on disk when this returns.
        states: Contiguous little-endian arrays.
        position: That of the first state within the block.
        block_states: Chunks of the shard; those outside the run stay empty.

    Returns:
        SHA-256 and size in bytes.
    """

    def encode(state: np.ndarray) -> bytes:
        return with_checksum(_codec.encode(state))

    digest, ends = hashlib.sha256(), [0]
    with path.open("wb") as handle, ThreadPoolExecutor(THREADS) as pool:
        first, rest = _split(states)
        each = map if first.nbytes < SMALL_BYTES else pool.map
        for chunk in each(encode, rest):
            handle.write(chunk)
            digest.update(chunk)
            ends.append(ends[-1] + len(chunk))
        index = np.full((block_states, 2), _ABSENT, "<u8")
        index[position : position + len(ends) - 1] = np.stack([ends[:-1], np.diff(ends)], axis=1)
        tail = with_checksum(index.tobytes())
        handle.write(tail)
        digest.update(tail)
        handle.flush()
        os.fsync(handle.fileno())
    return digest.hexdigest(), ends[-1] + len(tail)


def _split(states: Iterable[np.ndarray]) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """The first state, and all of them."""
    rest = iter(states)
    first = next(rest)
    return first, chain([first], rest)


@dataclass(frozen=True)
class Shard:
    """A shard to read states from.

    Args:
        fetch: Gives its bytes from a start to an end.
        size: Its size in bytes.
        block_states: Its chunks.
    """

    fetch: Callable[[int, int], bytes]
    size: int
    block_states: int

    @cached_property
    def index(self) -> list[tuple[int, int]]:
        """Offset and length of each of the chunks."""
        start = self.size - 16 * self.block_states - 4
        raw = _without_checksum(self.fetch(max(start, 0), self.size), "its index")
        return [(a, b) for a, b in raw.view("<u8").reshape(self.block_states, 2).tolist()]

    def decode(self, position: int, out: np.ndarray) -> None:
        """Decode one state into a contiguous array.

        Raises:
            DamageError: The state is not there, or its checksum does not match.
        """
        start, length = self.index[position]
        if start == _ABSENT:
            raise DamageError(f"state {position} is not in it")
        chunk = _without_checksum(self.fetch(start, start + length), f"state {position}")
        try:
            blosc.decompress(chunk, out)  # with less about it than `_codec.decode`
        except (RuntimeError, ValueError) as error:
            raise DamageError(f"state {position} cannot be decoded: {error}") from error


def with_checksum(data: bytes) -> bytes:
    """Data and their CRC-32C, as zarr's codec of that name appends it."""
    return data + int(google_crc32c.value(data)).to_bytes(4, "little")


def _without_checksum(data: bytes, what: str) -> np.ndarray:
    """Data (n,) uint8 without the CRC-32C at their end, once it is found right."""
    values = np.frombuffer(data, np.uint8)
    expected = int(google_crc32c.value(values[:-4])).to_bytes(4, "little")
    if len(data) < 4 or data[-4:] != expected:
        raise DamageError(f"the checksum of {what} is wrong")
    return values[:-4]
