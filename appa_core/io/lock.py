"""A lock on a folder: one command at a time decides what is written there."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from fsspec.implementations.local import LocalFileSystem

from appa_core.errors import BusyError, InputError
from appa_core.io.exclusive import exclusive
from appa_core.io.filesystems import file_system
from appa_core.io.secrets import redacted
from appa_core.io.store import write_atomically

LOCK = "lock.json"
_SETTLE_SECONDS = 0.5
_RENEWED_BELOW = 0.75
_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Owner:
    """Who holds a lock; times are seconds since 1970."""

    id: str
    host: str
    machine: str
    pid: int
    process_start: str
    command: str
    since: float
    until: float

    @property
    def is_alive(self) -> bool:
        """Whether its lock counts: it has not expired, and its process is not known to be gone."""
        if time.time() >= self.until:
            return False
        return self.machine != _machine() or _is_running(self.pid, self.process_start)

    def __str__(self) -> str:
        since, until = (
            datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M:%S")
            for t in (self.since, self.until)
        )
        return (
            f"{self.command!r} (process {self.pid} on {self.host}) since {since} UTC, "
            f"until {until} UTC unless it renews"
        )


def parse_owner(text: bytes) -> Owner | None:
    """Who a lock file names; None if it is damaged."""
    try:
        return Owner(**json.loads(text))
    except (ValueError, TypeError):
        return None


class StoreLock:
    """Exclusive right to write below a URL, held while a `with` block lasts.

    The lock is a file that names its owner and expires; a thread renews it every third of that
    time. A lock that has expired, or whose process on this machine is gone, is taken over. On a
    local disk two commands never hold it at once; on remote stores, which have no exclusive
    creation in common, a read-back after writing decides.

    Args:
        url: Folder to lock, such as that of a cube.
        expiry_seconds: How long the lock outlives its last renewal.
        command: What to tell others; the command line of this process if None.
        patience_seconds: How long to wait for someone else who holds it.

    Raises:
        BusyError: On entry, someone else holds the lock.
        InputError: It cannot be had at all; on exit, it was lost meanwhile.
    """

    def __init__(
        self,
        url: str | os.PathLike[str],
        expiry_seconds: float = 600.0,
        command: str | None = None,
        patience_seconds: float = 0.0,
    ) -> None:
        self.url = os.fspath(url).rstrip("/")
        self._expiry = expiry_seconds
        self._patience = patience_seconds
        self._command = command or redacted(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))
        self._fs, self._root = file_system(self.url)
        self._is_local = isinstance(self._fs, LocalFileSystem)
        self._path = f"{self._root}/{LOCK}"
        self._mutex = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._owner: Owner | None = None
        self._lost = ""

    def __enter__(self) -> StoreLock:
        self._lost = ""
        self._ended.clear()
        try:
            self._wait()
        except OSError as error:
            raise InputError(f"cannot lock {self.url}: {error}; choose another store") from error
        self._thread = threading.Thread(target=self._keep, name="store-lock", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        try:
            if kind is None:
                self.check()
        finally:
            with self._guard():
                if self._is_ours(self._read()):
                    self._fs.rm_file(self._path)
                self._owner = None

    def check(self) -> None:
        """Make sure that the lock is still held; call it before what must not be done twice.

        Raises:
            InputError: Someone else took it over, it was removed, or it cannot be renewed.
        """
        if self._owner is None:
            raise InputError(f"{self.url} is not locked by this command")
        try:
            self._renew()
        except OSError as error:
            raise InputError(f"cannot renew the lock on {self.url}: {error}") from error
        if self._lost:
            raise InputError(self._lost)

    def _wait(self) -> None:
        """Acquire the lock, as soon as nobody else holds it."""
        end = time.monotonic() + self._patience
        while True:
            try:
                with self._guard():
                    self._acquire()
            except BusyError:
                if time.monotonic() >= end:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def _acquire(self) -> None:
        holder = self._read()
        if holder is not None and holder.is_alive:
            raise BusyError(self._conflict(holder))
        now = time.time()
        mine = Owner(
            id=uuid.uuid4().hex,
            host=socket.gethostname(),
            machine=_machine(),
            pid=os.getpid(),
            process_start=_process_start(os.getpid()) or "",
            command=self._command,
            since=now,
            until=now + self._expiry,
        )
        try:
            self._write(mine, exclusive=holder is None and not self._exists())
        except FileExistsError:
            raise BusyError(self._conflict(self._read())) from None
        if not self._is_local:
            time.sleep(_SETTLE_SECONDS)
            if (winner := self._read()) is None or winner.id != mine.id:
                raise BusyError(self._conflict(winner))
        self._owner = mine

    def _conflict(self, holder: Owner | None) -> str:
        return (
            f"{self.url} is being written by {holder or 'another command'}; wait until it has "
            f"ended and run this command again, or remove {self.url}/{LOCK} if it is surely gone"
        )

    def _keep(self) -> None:
        """Renew until the block ends or the lock is lost; a network that fails is tried again."""
        while not self._ended.wait(self._expiry / 3) and not self._lost:
            with suppress(OSError):
                self._renew()

    def _renew(self) -> None:
        with self._guard():
            holder, mine = self._read(), self._owner
            if mine is None or self._lost:
                return
            if not self._is_ours(holder):
                taker = f"taken over by {holder}" if holder else "removed by someone"
                self._lost = (
                    f"the lock on {self.url} was {taker}: this command had not renewed it for "
                    f"{self._expiry:g} s, or it was removed by hand; nothing more is written, "
                    "run the command again when the other has ended"
                )
                return
            if mine.until - time.time() < _RENEWED_BELOW * self._expiry:
                renewed = replace(mine, until=time.time() + self._expiry)
                self._write(renewed)
                self._owner = renewed

    def _is_ours(self, holder: Owner | None) -> bool:
        return holder is not None and self._owner is not None and holder.id == self._owner.id

    def _exists(self) -> bool:
        self._fs.invalidate_cache(self._root)
        return bool(self._fs.exists(self._path))

    def _read(self) -> Owner | None:
        """Who holds the lock; None if nobody does, or the file is damaged."""
        try:
            return parse_owner(self._fs.cat_file(self._path))
        except FileNotFoundError:
            return None

    def _write(self, owner: Owner, *, exclusive: bool = False) -> None:
        text = json.dumps(asdict(owner), indent=1)
        if not self._is_local:
            mode = "create" if exclusive else "overwrite"
            self._fs.pipe_file(self._path, text.encode(), mode=mode)
        elif exclusive:
            for leftover in Path(self._root).glob(f".{LOCK}.*"):
                leftover.unlink(missing_ok=True)
            scratch = Path(self._root) / f".{LOCK}.{owner.id}"
            scratch.write_text(text, encoding="utf-8")
            try:
                os.link(scratch, self._path)
            finally:
                scratch.unlink()
        else:
            write_atomically(Path(self._path), text)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """One process at a time reads and changes the lock; the kernel frees it after a kill."""
        with self._mutex, exclusive(Path(self._root)) if self._is_local else nullcontext():
            yield


def _machine() -> str:
    """What numbers of processes are unique in: this host since it booted, this container."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _is_running(pid: int, process_start: str) -> bool:
    """Whether a process of this machine is the one that started then, and has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    start = _process_start(pid)
    return start is None or start == process_start


def _process_start(pid: int) -> str | None:
    """When a process started, in ticks since boot; empty if it has ended, None if unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return "" if fields[0] in "ZX" else fields[19]
