"""The ledger of a cube: which blocks are committed, and what their files must be.

A block is committed when its record is in the ledger: the record is written last and removed
first. The record files are the truth; nothing else says what a cube holds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from appa_core.io.cube_layout import Block
from appa_core.io.filesystems import file_system
from appa_core.io.hashing import content_key
from appa_core.io.store import ArtifactStore

_STAMPS = ("size", "ETag", "etag", "mtime", "LastModified", "updated", "created", "generation")


class Folder:
    """Files below a URL, written so that each is seen whole or not at all.

    Args:
        url: A folder, local or of any file system that fsspec knows.
        store: The artifact store that it is in.
    """

    def __init__(self, url: str, store: ArtifactStore) -> None:
        self.url = url
        self.is_local = store.is_local
        self._store = store
        self._fs, self._root = file_system(url)

    def path(self, name: str) -> str:
        """Path of a file on its file system."""
        return f"{self._root}/{name}"

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes | None:
        """Content of a file, or a part of it; None if it is not there."""
        try:
            if self.is_local:
                return Path(self.path(name)).read_bytes()[start:end]
            content: bytes = self._fs.cat_file(self.path(name), start=start, end=end)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return content

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write small files, in their order."""
        if not self.is_local:
            for name, content in files.items():
                self._fs.pipe_file(self.path(name), content)
            return
        with self._store.stage() as staging:
            staged = {}
            for i, (name, content) in enumerate(files.items()):
                staged[name] = staging / str(i)
                with staged[name].open("wb") as handle:
                    handle.write(content)
                    handle.flush()
                    os.fsync(handle.fileno())
            self.place(staged)

    def place(self, staged: Mapping[str, Path]) -> None:
        """Move files that are on disk into their places, in their order."""
        for name, path in staged.items():
            if self.is_local:
                target = Path(self.path(name))
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
            else:
                self._fs.put_file(str(path), self.path(name))
        self._sync(staged)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        try:
            self._fs.rm_file(self.path(name))
        except FileNotFoundError:
            return
        self._sync([name])

    def sizes(self, name: str) -> dict[str, int]:
        """Sizes in bytes of all files below a folder of it, by path."""
        self._fs.invalidate_cache(self.path(name))
        found = self._fs.find(self.path(name), detail=True)
        return {p[len(self._root) + 1 :]: int(info["size"]) for p, info in found.items()}

    def stamp(self, name: str) -> tuple[int, ...] | None:
        """What changes whenever a local file does; None if it is not there."""
        try:
            status = Path(self.path(name)).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def stamps(self, name: str) -> dict[str, Any]:
        """Names in a folder, with what changes whenever the file does (None: not known)."""
        if self.is_local:
            try:
                with os.scandir(self.path(name)) as entries:
                    return {e.name: self.stamp(f"{name}/{e.name}") for e in entries}
            except FileNotFoundError:
                return {}
        self._fs.invalidate_cache(self.path(name))
        try:
            infos = self._fs.ls(self.path(name), detail=True)
        except FileNotFoundError:
            return {}
        found = {}
        for info in infos:
            known = {k: str(info[k]) for k in _STAMPS if k in info}
            found[str(info["name"]).rsplit("/", 1)[-1]] = known if len(known) > 1 else None
        return found

    def _sync(self, names: Iterable[str]) -> None:
        """Make renamed and removed entries survive a loss of power."""
        if not self.is_local:
            return
        for folder in sorted({Path(self.path(name)).parent for name in names}):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@dataclass(frozen=True)
class BlockRecord:
    """A committed block.

    Args:
        block: Which block.
        first: Time of its first state, UTC.
        last: Time of its last state.
        files: SHA-256 of its shards by path relative to the cube.
        sizes: Their sizes in bytes.
        provenance: Where the states come from, and which code wrote them.
        preliminary: Whether the source will replace its states.
        starts: How often the block was begun until it was committed.
        created: When it was committed.
    """

    block: Block
    first: pd.Timestamp
    last: pd.Timestamp
    files: Mapping[str, str]
    sizes: Mapping[str, int]
    provenance: Mapping[str, Any]
    preliminary: bool
    starts: int
    created: str

    @property
    def digest(self) -> str:
        """Hash of its times and data: the same whoever wrote them, whenever."""
        times = [self.first.isoformat(), self.last.isoformat()]
        return content_key({"block": self.block.name, "times": times, "files": dict(self.files)})

    def times(self, step_hours: int) -> np.ndarray:
        """Times of its states, (T,) datetime64[ns]."""
        step = np.timedelta64(step_hours, "h")
        first, last = (np.datetime64(t, "ns") for t in (self.first, self.last))
        return np.asarray(np.arange(first, last + step, step))

    @property
    def identity(self) -> str:
        """What tells this commit from others of the same block."""
        return f"{self.created} {self.digest}"

    def dump(self) -> bytes:
        """The record as JSON, with its own checksum."""
        content = vars(self) | {
            "block": [self.block.year, self.block.index],
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
        }
        text = json.dumps({**content, "checksum": content_key(content)}, indent=1, default=str)
        return text.encode()

    @classmethod
    def parse(cls, text: bytes) -> BlockRecord | None:
        """The record in a file; None if the file is damaged."""
        try:
            content = json.loads(text)
            if content.pop("checksum") != content_key(content):
                return None
            year, index = content.pop("block")
            first, last = (pd.Timestamp(content.pop(x)) for x in ("first", "last"))
            return cls(Block(year, index), first, last, **content)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


class Ledger:
    """Records of committed blocks, and how often others were begun.

    Args:
        folder: The cube.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._known: dict[Block, tuple[Any, BlockRecord | None]] = {}

    def find(self, block: Block) -> BlockRecord | None:
        """The record of a block as it is now; None if it is absent or damaged."""
        name = self.name(block)
        if not self._folder.is_local:
            return self._read(name)
        stamp = self._folder.stamp(name)
        return None if stamp is None else self._cached(block, stamp)

    def of_years(self, years: Iterable[int]) -> list[BlockRecord]:
        """Records of some years as they are now, in order of time."""
        blocks = {}
        for year in years:
            for name, stamp in self._folder.stamps(f"ledger/{year:04d}").items():
                index = name.removesuffix(".json")
                if index.isdigit() and index != name:
                    blocks[Block(year, int(index))] = stamp
        found = [self._cached(block, blocks[block]) for block in sorted(blocks)]
        return [record for record in found if record is not None]

    def years(self) -> list[int]:
        """Years that have been begun."""
        return sorted(int(n) for n in self._folder.stamps("ledger") if n.isdigit())

    def add(self, record: BlockRecord) -> BlockRecord:
        """Write a record: its block is committed; returns it as it will be read."""
        text = record.dump()
        self._folder.write({self.name(record.block): text})
        self.forget_starts(record.block)
        return BlockRecord.parse(text) or record

    def remove(self, block: Block) -> None:
        """Remove a record: its block is not committed any more."""
        self._folder.remove(self.name(block))

    def starts(self, block: Block) -> int:
        """How often a block was begun since it was last committed."""
        try:
            noted = json.loads(self._folder.read(self._started(block)) or b"{}")
            starts, after = int(noted["starts"]), noted["after"]
        except (ValueError, KeyError, TypeError):
            return 0
        record = self.find(block)
        # a commit that was killed after its record leaves the count that led to it
        return starts if record is None or after == record.identity else 0

    def begin(self, block: Block) -> int:
        """Count one more start; returns how many there are."""
        starts, record = self.starts(block) + 1, self.find(block)
        noted = {"starts": starts, "after": record and record.identity}
        self._folder.write({self._started(block): json.dumps(noted).encode()})
        return starts

    def forget_starts(self, block: Block) -> None:
        """Start counting anew."""
        self._folder.remove(self._started(block))

    @staticmethod
    def name(block: Block) -> str:
        """Path of a record, relative to the cube."""
        return f"ledger/{block.name}.json"

    @staticmethod
    def _started(block: Block) -> str:
        return f"ledger/{block.name}.started.json"

    def _read(self, name: str) -> BlockRecord | None:
        text = self._folder.read(name)
        return None if text is None else BlockRecord.parse(text)

    def _cached(self, block: Block, stamp: Any) -> BlockRecord | None:
        known = self._known.get(block)
        if known is None or stamp is None or known[0] != stamp:
            known = self._known[block] = stamp, self._read(self.name(block))
        return known[1]
