"""A zarr store that trusts nothing: requests are repeated, timed and checked."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from zarr.abc.store import ByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from appa_core.errors import DataError
from appa_core.io.retry import Failures, Retry, TruncatedError, is_of_reading

T = TypeVar("T")

_METADATA = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"})
_SECONDS_TO_END = 2.0

# which reading a request belongs to; event loops take it over from the thread that asks
_READING: ContextVar[int] = ContextVar("reading", default=0)
_NUMBERS = itertools.count(1)


class CheckedStore(WrapperStore[Store]):
    """A read-only store whose requests are repeated, timed and checked.

    - A body that is shorter than its request or its own header says is a failure: truncated
      blosc chunks would else be decoded into wrong numbers.
    - Keys of chunks that are absent, which zarr reads as fill values, are kept in `absent`.
    - Metadata that ask for the codec `pickle`, which runs code, are refused.

    Args:
        store: Where to read.
        where: Its address, for messages.
        retry: How often to try.
        faults: Counts failures by kind.
    """

    def __init__(self, store: Store, where: str, retry: Retry, faults: Counter[str]) -> None:
        super().__init__(store)
        self._where = where
        self._retry = retry
        self._faults = faults
        self._codecs: dict[str, str] = {}
        self._ended: set[int] = set()
        self._tasks: dict[asyncio.Task[Any], int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.absent: set[str] = set()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While it lasts, requests belong together: all end when one of them fails."""
        number = next(_NUMBERS)
        token = _READING.set(number)
        try:
            yield
        except BaseException:
            self._end(number)
            raise
        finally:
            _READING.reset(token)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The bytes of a key, None if it is absent.

        Raises:
            DataError: They cannot be read, or ask for code to be run.
        """
        number = _READING.get()
        if number in self._ended:
            raise asyncio.CancelledError
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is None:
            return await self._get(key, prototype, byte_range)
        self._tasks[task] = number
        try:
            return await self._get(key, prototype, byte_range)
        finally:
            self._tasks.pop(task, None)

    async def _get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None
    ) -> Buffer | None:
        failures = Failures(self._retry, f"{self._where}/{key}", self._faults)
        while True:
            try:
                value = await asyncio.wait_for(
                    self._store.get(key, prototype, byte_range), self._retry.timeout_seconds
                )
                return self._checked(key, value, byte_range)
            except Exception as error:
                if not is_of_reading(error):
                    raise
                seconds = failures.pause_after(error)
                if self._retry.sleep is time.sleep:
                    await asyncio.sleep(seconds)
                else:
                    self._retry.sleep(seconds)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Parts of several keys, each read as `get` does."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def _get_many(
        self, requests: Iterable[tuple[str, BufferPrototype, ByteRequest | None]]
    ) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        for key, prototype, part in requests:
            yield key, await self.get(key, prototype, part)

    def close_session(self) -> None:
        """Close the connections of a remote store, which zarr leaves open."""
        session: Any = getattr(getattr(self._store, "fs", None), "_session", None)
        if hasattr(session, "close"):
            self._run(session.close())

    def _end(self, number: int) -> None:
        """Cancel the requests of a reading: zarr leaves them running when one fails."""
        self._ended.add(number)

        async def cancel() -> None:
            for task in [t for t, n in self._tasks.items() if n == number]:
                task.cancel()
            while number in self._tasks.values():
                await asyncio.sleep(0)

        self._run(cancel())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something short on the loop of the requests, if it still runs."""
        if self._loop is None or not self._loop.is_running():
            work.close()
            return
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS_TO_END)

    def _checked(
        self, key: str, value: Buffer | None, byte_range: ByteRequest | None
    ) -> Buffer | None:
        folder, _, name = key.rpartition("/")
        if name in _METADATA:
            if value is not None:
                self._inspect(folder, name, value.to_bytes())
            return value
        if value is None:
            self.absent.add(key)
            return None
        expected = len(value)
        if byte_range is None:
            expected = max(expected, self._frame_length(key, value))
        elif isinstance(byte_range, RangeByteRequest):
            expected = byte_range.end - byte_range.start
        elif isinstance(byte_range, SuffixByteRequest):
            expected = byte_range.suffix
        if len(value) != expected:
            raise TruncatedError(f"{len(value)} bytes came, expected {expected}")
        return value

    def _frame_length(self, key: str, value: Buffer) -> int:
        """How long a whole chunk says that it is; 0 if it does not say."""
        codec = next((c for path, c in self._codecs.items() if key.startswith(f"{path}/")), "")
        if codec not in _FRAMES:
            return 0
        return _FRAMES[codec](value.as_numpy_array().view(np.uint8))

    def _inspect(self, folder: str, name: str, text: bytes) -> None:
        """Look through metadata before zarr does."""
        try:
            document = json.loads(text)
        except ValueError as error:
            raise TruncatedError(f"it is not JSON: {error}") from error
        if _names_pickle(document):
            raise DataError(
                f"{self._where}/{folder} is encoded with pickle, which can run code when it is "
                "read; it is not read: write the data again with another codec"
            )
        try:
            codecs = {path: _last_codec(a) for path, a in _arrays(folder, name, document)}
        except (AttributeError, KeyError, TypeError, IndexError) as error:
            raise DataError(f"{self._where}/{folder}/{name} is no metadata of zarr") from error
        self._codecs |= codecs


@dataclass(frozen=True)
class Guard:
    """Reads what is open: again when that fails, and never what is not there.

    Args:
        retry: How often to try.
        faults: Counts failures by kind.
        store: Where chunks come from; None for files.
    """

    retry: Retry
    faults: Counter[str]
    store: CheckedStore | None = None

    def call(self, what: str, operation: Callable[[], T]) -> T:
        """The result of an operation; see `Retry.call`."""

        def attempt() -> T:
            with nullcontext() if self.store is None else self.store.reading():
                return operation()

        return self.retry.call(what, attempt, self.faults)

    def read(self, what: str, operation: Callable[[], T]) -> T:
        """The result of an operation that needs all the chunks that it asks for.

        Raises:
            DataError: It fails at all attempts, or chunks are absent.
        """
        if self.store is None:
            return self.call(what, operation)
        self.store.absent.clear()
        result = self.call(what, operation)
        if absent := self.store.absent:
            raise DataError(
                f"{what}: {len(absent)} chunks are absent, such as {min(absent)}, and would be "
                "read as fill values; wait until the source has them, or write the data with "
                "write_empty_chunks=True"
            )
        return result


def _blosc_length(frame: np.ndarray) -> int:
    """Length of a blosc frame, by its header of 16 bytes."""
    return int.from_bytes(frame[12:16].tobytes(), "little") if len(frame) >= 16 else 16


def _zstd_length(frame: np.ndarray) -> int:
    """Length of a zstd frame (RFC 8878), or how much of it is needed to know more."""
    if len(frame) < 5:
        return 5
    descriptor = int(frame[4])
    is_single = descriptor >> 5 & 1
    place = 6 - is_single + (0, 1, 2, 4)[descriptor & 3] + (is_single, 2, 4, 8)[descriptor >> 6]
    is_last = False
    while not is_last:
        if len(frame) < place + 3:
            return place + 3
        block = int.from_bytes(frame[place : place + 3].tobytes(), "little")
        is_last = bool(block & 1)
        is_run = block >> 1 & 3 == 1
        place += 3 + (1 if is_run else block >> 3)
    return place + 4 * (descriptor >> 2 & 1)


# how long a whole chunk is, by its last codec
_FRAMES: dict[str, Callable[[np.ndarray], int]] = {"blosc": _blosc_length, "zstd": _zstd_length}


def _names_pickle(value: Any) -> bool:
    """Whether metadata name a codec like `pickle` anywhere."""
    if isinstance(value, dict):
        codecs = (str(value.get(field, "")).lower() for field in ("id", "name"))
        return any(c.endswith("pickle") for c in codecs) or any(map(_names_pickle, value.values()))
    return isinstance(value, list) and any(map(_names_pickle, value))


def _arrays(folder: str, name: str, document: Any) -> Iterator[tuple[str, Any]]:
    """Paths and metadata of the arrays that a metadata file describes."""
    if name == ".zarray":
        yield folder, document
    elif name == ".zmetadata":
        for path, content in document["metadata"].items():
            if path.endswith("/.zarray"):
                yield path.removesuffix("/.zarray"), content
    elif name == "zarr.json":
        yield folder, document
        consolidated = document.get("consolidated_metadata") or {"metadata": {}}
        for path, content in consolidated["metadata"].items():
            yield f"{folder}/{path}".lstrip("/"), content


def _last_codec(array: Any) -> str:
    """Name of the codec that made the bytes of an array's chunks; empty if there is none."""
    compressor = array.get("compressor") or {}
    last = (array.get("codecs") or [{}])[-1]
    return str(compressor.get("id") or last.get("name") or "").removeprefix("numcodecs.")
