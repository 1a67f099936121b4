"""A cube: a gridded time series in the artifact store that grows block by block.

It is a folder `<store>/<step>/<key>/`:

    manifest.json                   identity and layout
    2020.zarr/                      one Zarr v3 store per calendar year, never resized
    ledger/2020/0003.json           record of a committed block, written last
    ledger/2020/0003.started.json   how often a block was begun and not yet committed
    lock.json                       who is writing (`StoreLock`)

Blocks are written in any order, by any number of processes. A killed writer leaves a block
committed or not, and running it again gives the same bytes.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.errors import InputError, IntegrityError
from appa_core.io.cube_layout import Block, CubeSpec, CubeVariable, utc
from appa_core.io.cube_reading import find_damage, open_years, read_into, read_states
from appa_core.io.datasets import Times
from appa_core.io.events import BEGUN, COMMITTED, tell
from appa_core.io.hashing import content_key
from appa_core.io.ledger import BlockRecord, Folder, Ledger
from appa_core.io.shards import (
    checked_states,
    position_in,
    require_layout,
    shard_name,
    template,
    times_in,
    write_shard,
)
from appa_core.io.store import MANIFEST, ArtifactStore

__all__ = ["Block", "BlockRecord", "Cube", "CubeSpec", "CubeVariable"]

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


class Cube:
    """States on a grid, one block after the other; make one with `open` or `load`.

    Args:
        url: Its folder, `<store>/<step>/<key>`.
        spec: What it holds.
    """

    def __init__(self, url: str, spec: CubeSpec) -> None:
        self.url = url
        self.spec = spec
        self._store = ArtifactStore(url.rsplit("/", 2)[0])
        self._folder = Folder(url, self._store)
        self._ledger = Ledger(self._folder)

    def __reduce__(self) -> tuple[type[Cube], tuple[str, CubeSpec]]:
        return Cube, (self.url, self.spec)

    @classmethod
    def open(cls, store_url: str | os.PathLike[str], spec: CubeSpec) -> Cube:
        """The cube of a specification; its manifest is written if there is none.

        Raises:
            InputError: The store cannot be written, or the manifest has another format.
        """
        cube = cls(f"{ArtifactStore(store_url).url}/{spec.step}/{spec.key}", spec)
        text = cube._folder.read(MANIFEST)
        try:
            is_there = text is not None and CubeSpec.parse(text, f"{cube.url}/{MANIFEST}") == spec
        except IntegrityError:
            is_there = False
        if not is_there:
            with cube._explained():
                text = json.dumps(spec.manifest, indent=1, sort_keys=True, default=str).encode()
                cube._folder.write({MANIFEST: text})
        return cube

    @classmethod
    def load(cls, url: str | os.PathLike[str]) -> Cube:
        """An existing cube, from its manifest alone.

        Raises:
            InputError: There is no cube.
            IntegrityError: Its manifest is damaged.
        """
        folder = ArtifactStore(url)
        text = Folder(folder.url, folder).read(MANIFEST)
        if text is None:
            raise InputError(f"there is no cube at {folder.url}; give the folder of one")
        return cls(folder.url, CubeSpec.parse(text, f"{folder.url}/{MANIFEST}"))

    @property
    def key(self) -> str:
        """Content hash of the specification."""
        return self.spec.key

    def blocks(self, start: Any, end: Any) -> list[Block]:
        """Blocks with a state in [start, end), in order of time."""
        return self.spec.blocks(start, end)

    def times_of(self, block: Block) -> pd.DatetimeIndex:
        """Times of all states of a block, UTC."""
        return pd.DatetimeIndex(self.spec.times_of(block.year, *self.spec.bounds(block)))

    def prepare(self, blocks: Iterable[Block]) -> None:
        """Write the zarr metadata of the blocks' years, where they are not as they should be."""
        for year in sorted({block.year for block in blocks}):
            files = template(self.spec, year)
            if broken := [name for name in files if self._folder.read(name) != files[name]]:
                with self._explained():
                    self._folder.write({name: files[name] for name in broken})

    def begin(self, block: Block) -> int:
        """Note that work on a block begins.

        Returns:
            How often it was begun since it was last committed.
        """
        tell(BEGUN, step=self.spec.step, key=self.key, block=block.name)
        with self._explained():
            return self._ledger.begin(block)

    def commit(
        self,
        block: Block,
        dataset: xr.Dataset | Mapping[str, np.ndarray],
        provenance: Mapping[str, Any],
        *,
        times: Times | None = None,
        preliminary: bool = False,
    ) -> BlockRecord:
        """Write a block, in place of what it held.

        Args:
            block: Which block.
            dataset: Exactly the cube's variables, (T, ...) each, at a run of the block's times;
                its other times stay absent. Read variable by variable.
            provenance: Where the states come from and which code wrote them; JSON-compatible.
            times: The times (T,) of arrays; a dataset brings its own.
            preliminary: Whether the source will replace these states.

        Raises:
            DataError: Names, times, shapes, dtype or values are not the cube's.
            InputError: The store has no room or cannot be written. After either error, the block
                is as it was, or not committed.
        """
        started = time.perf_counter()
        run = times_in(dataset, times)
        position = position_in(self.times_of(block), run, block)
        require_layout(self.spec, dataset)
        self.prepare([block])
        shards = {shard_name(block, v): v for v in self.spec.variables}
        with self._explained(), self._store.stage() as staging:
            staged = {name: staging / v.name for name, v in shards.items()}
            written = {
                name: write_shard(
                    staged[name],
                    checked_states(self.spec, v, dataset[v.name], run),
                    position,
                    self.spec.block_states,
                )
                for name, v in shards.items()
            }
            record = BlockRecord(
                block=block,
                first=run[0],
                last=run[-1],
                files={name: digest for name, (digest, _) in written.items()},
                sizes={name: size for name, (_, size) in written.items()},
                provenance=dict(provenance),
                preliminary=preliminary,
                starts=max(1, self._ledger.starts(block)),
                created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            )
            published = self._publish(record, staged)
        tell(
            COMMITTED,
            step=self.spec.step,
            key=self.key,
            block=block.name,
            states=len(run),
            seconds=round(time.perf_counter() - started, 3),
        )
        return published

    def _publish(self, record: BlockRecord, staged: Mapping[str, Path]) -> BlockRecord:
        former = self._ledger.find(record.block)
        if former is not None and former.digest != record.digest:
            self._ledger.remove(record.block)
        self._folder.place(staged)
        return self._ledger.add(record)

    def record(self, block: Block) -> BlockRecord | None:
        """The record of a block as it is now; None if it is not committed."""
        return self._ledger.find(block)

    def records(self, start: Any = None, end: Any = None) -> list[BlockRecord]:
        """Records of blocks with a committed state in [start, end), in order of time.

        A record that is damaged counts as absent, so that its block is written again.
        """
        low, high = (None if t is None else utc(t) for t in (start, end))
        records = self._ledger.of_years(
            year
            for year in self._ledger.years()
            if (low is None or year >= low.year) and (high is None or year <= high.year)
        )
        return [
            record
            for record in records
            if (low is None or record.last >= low) and (high is None or record.first < high)
        ]

    def check(self, block: Block) -> str | None:
        """What is wrong with a committed block, None if it is whole; reads all of its bytes."""
        record = self._ledger.find(block)
        if record is None:
            return f"{self._ledger.name(block)} is missing or damaged"
        for name, content in template(self.spec, block.year).items():
            if self._folder.read(name) != content:
                return f"{name} is missing or damaged"
        return find_damage(self._folder, record)

    def discard(self, block: Block) -> None:
        """Remove a block, its record first, so that it is never seen half there."""
        self._ledger.remove(block)
        for variable in self.spec.variables:
            self._folder.remove(shard_name(block, variable))
        self._ledger.forget_starts(block)

    def times(self) -> pd.DatetimeIndex:
        """Times of all committed states, UTC, ascending."""
        return self._times(self.records())

    def gaps(self, start: Any, end: Any) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
        """Half-open spans of [start, end) without a committed state, from state to state."""
        wanted = self.spec.states_between(start, end)
        absent = ~wanted.isin(self._times(self.records(start, end)))
        edges = np.flatnonzero(np.diff(np.concatenate([[False], absent, [False]]).astype(int)))
        step = pd.Timedelta(hours=self.spec.step_hours)
        return [
            (wanted[low], min(wanted[high - 1] + step, utc(end)))
            for low, high in edges.reshape(-1, 2)
        ]

    def digest(self, start: Any = None, end: Any = None) -> str:
        """Hash of the blocks with a committed state in [start, end): which, and their data.

        It does not depend on who wrote them, when, or in which order.
        """
        records = [[r.block.name, r.digest] for r in self.records(start, end)]
        return content_key({"cube": self.key, "records": records})

    def read(self, times: Times, variables: Sequence[str] | None = None) -> xr.Dataset:
        """Committed states at some times, in their order, loaded and checked.

        Args:
            times: (T,) UTC; they may repeat.
            variables: Those to read, of those that there are; all if None.

        Returns:
            The cube's variables, (T, ...) each, with its coordinates.

        Raises:
            InputError: A state is absent.
            IntegrityError: A shard is missing or damaged; the message names it.
        """
        return read_states(self.spec, self._folder, self._ledger, times, variables)

    def read_into(
        self, times: Times, arrays: Mapping[str, np.ndarray], *, threads: int | None = None
    ) -> None:
        """Committed states at some times, in their order, checked, into arrays.

        Args:
            times: (T,) UTC; they may repeat.
            arrays: By variable (all or some), (T, ...) of its dtype, each state contiguous.
            threads: How many decode on a local disk; a few if None.

        Raises:
            InputError: A state is absent.
            IntegrityError: A shard is missing or damaged; the message names it.
        """
        read_into(self.spec, self._folder, self._ledger, times, arrays, threads=threads)

    def datasets(self) -> list[xr.Dataset]:
        """Committed states by year, opened lazily with zarr.

        Raises:
            IntegrityError: A shard is missing or does not have its size.
        """
        return open_years(self.spec, self._folder, self._ledger)

    def _times(self, records: Sequence[BlockRecord]) -> pd.DatetimeIndex:
        spans = [record.times(self.spec.step_hours) for record in records]
        empty = np.empty(0, "datetime64[ns]")
        return pd.DatetimeIndex(np.concatenate([empty, *spans]))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the errors of a full or closed disk into what to do about them."""
        try:
            yield
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise InputError(
                f"cannot write to {self.url}: {error.strerror}; what is not in its ledger is not "
                "committed; make room there, or choose another store with --store or APPA_STORE, "
                "and run the command again"
            ) from error
