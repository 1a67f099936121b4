"""Reading a cube: states that are committed and whole, or an error that says what is not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.errors import InputError, IntegrityError
from appa_core.io.cube_layout import Block, CubeSpec
from appa_core.io.datasets import Times
from appa_core.io.hashing import file_sha256
from appa_core.io.ledger import BlockRecord, Folder, Ledger
from appa_core.io.shards import (
    SMALL_BYTES,
    THREADS,
    DamageError,
    Shard,
    shard_name,
    year_folder,
)

_ATTEMPTS = 3
_REMOTE_THREADS = 16

#: Positions of states in their block, and their rows in the result.
_Places: TypeAlias = list[tuple[int, int]]
#: A shard by name, where its states go, and the whole result of its variable.
_Task: TypeAlias = tuple[str, Shard, _Places, np.ndarray]
_Each: TypeAlias = Callable[
    [Callable[[_Task], Exception | None], list[_Task]], Iterable[Exception | None]
]


def read_states(
    spec: CubeSpec,
    folder: Folder,
    ledger: Ledger,
    times: Times,
    variables: Sequence[str] | None = None,
) -> xr.Dataset:
    """Committed states at times (T,), in their order; see `Cube.read`."""
    wanted = _utc(times)
    kept = [v for v in spec.variables if variables is None or v.name in variables]
    data = {v.name: np.empty((len(wanted), *spec.shape(v)), spec.dtype) for v in kept}
    read_into(spec, folder, ledger, wanted, data)
    return xr.Dataset(
        {v.name: (("time", *v.dims), data[v.name], dict(v.attrs)) for v in kept},
        {"time": wanted}
        | {name: (name, v, spec.axis_attrs(name)) for name, v in spec.coordinates.items()},
    )


def read_into(
    spec: CubeSpec,
    folder: Folder,
    ledger: Ledger,
    times: Times,
    data: Mapping[str, np.ndarray],
    *,
    threads: int | None = None,
) -> None:
    """Committed states at times (T,) into arrays; see `Cube.read_into`."""
    wanted = _utc(times)
    for v in spec.variables:
        if v.name not in data:
            continue
        array, shape = data[v.name], (len(wanted), *spec.shape(v))
        if (array.shape, array.dtype) != (shape, np.dtype(spec.dtype)):
            raise ValueError(f"{v.name} has {array.dtype} {array.shape}, not {spec.dtype} {shape}")
        if not array[:1].flags.c_contiguous:
            raise ValueError(f"a state of {v.name} is not contiguous in memory")
    places: dict[Block, _Places] = {}
    years, positions = (x.tolist() for x in spec.locate(wanted))
    for row, (year, position) in enumerate(zip(years, positions, strict=True)):
        index, within = divmod(position, spec.block_states)
        places.setdefault(Block(year, index), []).append((within, row))
    reader = _Reader(spec, folder, ledger, data)
    with _pool(folder, max(x[:1].nbytes for x in data.values()), threads) as each:
        for block, rows in places.items():
            reader.read(block, rows, each)


def _utc(times: Times) -> pd.DatetimeIndex:
    wanted = pd.DatetimeIndex(times)
    return (wanted.tz_convert(None) if wanted.tz else wanted).as_unit("ns")


class _Reader:
    """Copies states of blocks into arrays, block by block.

    A block may be replaced while it is read: its record is removed before its shards change and
    written after, so that what was read is of one commit if the record is the same afterwards.
    """

    def __init__(
        self, spec: CubeSpec, folder: Folder, ledger: Ledger, data: Mapping[str, np.ndarray]
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._ledger = ledger
        self._data = data

    def read(self, block: Block, places: _Places, each: _Each) -> None:
        """Copy some states of a block.

        Raises:
            InputError: A state is absent.
            IntegrityError: A shard is missing or damaged.
        """
        for _ in range(_ATTEMPTS):
            record = self._require(block, places)
            damage: IntegrityError | None = None
            try:
                self._copy(record, places, each)
            except IntegrityError as error:
                damage = error
            if self._ledger.find(block) == record:
                if damage is not None:
                    raise damage
                return
        raise IntegrityError(
            f"block {block} of {self._folder.url} is replaced again and again while it is read; "
            "wait until what writes it has ended"
        )

    def _require(self, block: Block, places: _Places) -> BlockRecord:
        """The record of a block that must hold some states."""
        record = self._ledger.find(block)
        first, _ = self._spec.bounds(block)
        low = min(position for position, _ in places)
        high = max(position for position, _ in places)
        ends = self._spec.times_of(block.year, first + low, first + high + 1)[[0, -1]]
        start, end = (pd.Timestamp(t) for t in ends)
        if record is not None and record.first <= start and end <= record.last:
            return record
        name = self._ledger.name(block)
        if record is None and self._folder.read(name) is not None:
            raise IntegrityError(_repair(self._folder, name, "it is damaged"))
        held = f"{record.first} to {record.last}" if record else "nothing"
        missing = start if record is None or start < record.first else end
        raise InputError(
            f"{self._folder.url} has no state at {missing:%Y-%m-%dT%H:%M} UTC: of block {block} "
            f"it holds {held}; ingest that period first (python -m flows.ingest)"
        )

    def _copy(self, record: BlockRecord, places: _Places, each: _Each) -> None:
        states = self._spec.block_states
        with ExitStack() as files:
            tasks = []
            for variable in self._spec.variables:
                if variable.name not in self._data:
                    continue
                name = shard_name(record.block, variable)
                shard = files.enter_context(
                    _opened(self._folder, record, name, states, whole=2 * len(places) >= states)
                )
                # a task for each shard: for each state it would cost more than small ones take
                tasks.append((name, shard, places, self._data[variable.name]))
            # all have ended when files are closed, and before another attempt
            problems = [problem for problem in each(self._decode, tasks) if problem is not None]
        if problems:
            raise problems[0]

    def _decode(self, task: _Task) -> Exception | None:
        name, shard, places, rows = task
        try:
            for position, row in places:
                shard.decode(position, rows[row : row + 1])
        except DamageError as error:
            return IntegrityError(_repair(self._folder, name, str(error)))
        except (IntegrityError, OSError) as error:
            return error
        return None


def find_damage(folder: Folder, record: BlockRecord) -> str | None:
    """What is wrong with the shards of a block, None if every byte is as it was written."""

    def actual(name: str) -> str | None:
        try:
            if folder.is_local:
                return file_sha256(Path(folder.path(name)))
            content = folder.read(name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if content is None else hashlib.sha256(content).hexdigest()

    with ThreadPoolExecutor(THREADS) as pool:
        for name, digest in zip(record.files, pool.map(actual, record.files), strict=True):
            if digest is None:
                return f"{name} is missing"
            if digest != record.files[name]:
                return f"{name} is damaged: its checksum is not the one that was written"
    return None


def open_years(spec: CubeSpec, folder: Folder, ledger: Ledger) -> list[xr.Dataset]:
    """Committed states by year, opened lazily; see `Cube.datasets`."""
    datasets = []
    for year in ledger.years():
        records = ledger.of_years([year])
        if not records:
            continue
        name = year_folder(year)
        sizes = folder.sizes(name)
        for record in records:
            for shard, size in record.sizes.items():
                if sizes.get(shard) != size:
                    raise IntegrityError(_repair(folder, shard, "it is missing or truncated"))
        try:
            dataset = xr.open_zarr(f"{folder.url}/{name}", chunks=None, consolidated=False)
        except (OSError, ValueError, KeyError) as error:
            raise IntegrityError(_repair(folder, name, "its metadata are damaged")) from error
        times = np.concatenate([record.times(spec.step_hours) for record in records])
        _, positions = spec.locate(pd.DatetimeIndex(times))
        is_run = len(positions) == positions[-1] - positions[0] + 1
        picks = slice(positions[0], positions[-1] + 1) if is_run else positions
        datasets.append(dataset.isel(time=picks))
    return datasets


def _repair(folder: Folder, name: str, problem: str) -> str:
    return (
        f"{folder.url}/{name}: {problem}; running the command that writes these blocks again "
        "(python -m flows.ingest for states) repairs it"
    )


@contextmanager
def _pool(folder: Folder, chunk: int, threads: int | None) -> Iterator[_Each]:
    """What applies a function to tasks: threads, unless the chunks that they read are small."""
    if folder.is_local and (threads == 1 or chunk < SMALL_BYTES):
        yield map
        return
    with ThreadPoolExecutor((threads or THREADS) if folder.is_local else _REMOTE_THREADS) as pool:
        yield pool.map


@contextmanager
def _opened(
    folder: Folder, record: BlockRecord, name: str, block_states: int, *, whole: bool
) -> Iterator[Shard]:
    """A shard of a block; on remote stores it is fetched at once if most of it is wanted.

    Raises:
        IntegrityError: It is missing, or has not the size that was written.
    """
    size = record.sizes[name]
    if folder.is_local:
        try:
            descriptor = os.open(folder.path(name), os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            raise IntegrityError(_repair(folder, name, "it is missing")) from None
        try:
            _require_size(folder, name, os.fstat(descriptor).st_size, size)
            yield Shard(lambda a, b: os.pread(descriptor, b - a, a), size, block_states)
        finally:
            os.close(descriptor)
    elif whole:
        content = _remote(folder, name, 0, None)
        _require_size(folder, name, len(content), size)
        yield Shard(lambda a, b: content[a:b], size, block_states)
    else:
        yield Shard(lambda a, b: _remote(folder, name, a, b), size, block_states)


def _remote(folder: Folder, name: str, start: int, end: int | None) -> bytes:
    content = folder.read(name, start, end)
    if content is None:
        raise IntegrityError(_repair(folder, name, "it is missing"))
    return content


def _require_size(folder: Folder, name: str, found: int, expected: int) -> None:
    if found != expected:
        problem = f"it has {found} bytes, {expected} were written"
        raise IntegrityError(_repair(folder, name, problem))
