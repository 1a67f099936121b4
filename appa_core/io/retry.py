"""Trying again where reading fails: bounded, with growing pauses, and reported."""

from __future__ import annotations

import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from appa_core.errors import DataError

T = TypeVar("T")

_READING = (OSError, RuntimeError, ValueError, EOFError, zlib.error)
# whose errors are not all among these
_LIBRARIES = frozenset({"aiohttp", "azure", "botocore", "fsspec", "gcsfs", "google", "gribapi"})
_PERMANENT = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_BUSY = frozenset({408, 425, 429})


class TruncatedError(OSError):
    """A body with fewer or more bytes than it says."""


@dataclass(frozen=True)
class Retry:
    """How often and how patiently to try again; pauses grow by a factor of two.

    Args:
        attempts: Attempts in all.
        first_seconds: The first pause; up to half of it is left out, by what is read.
        longest_seconds: No pause is longer.
        timeout_seconds: For one request: one chunk, or silence while a file is copied.
        sleep: Waits; tests give another.
    """

    attempts: int = 6
    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    timeout_seconds: float = 120.0
    sleep: Callable[[float], None] = time.sleep

    def once(self) -> Retry:
        """The same without repetition, for what is on a disk."""
        return replace(self, attempts=1)

    def call(self, what: str, operation: Callable[[], T], faults: Counter[str]) -> T:
        """The result of an operation, tried again when it fails as networks and decoders do.

        Args:
            what: What is read, for messages.
            operation: Reads; an `AppaError` of its own is final.
            faults: Counts failures by kind.

        Raises:
            DataError: All attempts failed, or one in a way that will not pass.
        """
        failures = Failures(self, what, faults)
        while True:
            try:
                return operation()
            except Exception as error:
                if not is_of_reading(error):
                    raise
                self.sleep(failures.pause_after(error))


class Failures:
    """Failures of one operation so far, and what to do after each.

    Args:
        retry: How often to try.
        what: What is read, for messages.
        faults: Counts failures by kind, of all operations.
    """

    def __init__(self, retry: Retry, what: str, faults: Counter[str]) -> None:
        self._retry = retry
        self._what = what
        self._faults = faults
        self._mine: Counter[str] = Counter()

    def pause_after(self, error: Exception) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            DataError: There is none.
        """
        kind = _kind(error, self._retry.timeout_seconds)
        self._mine[kind] += 1
        self._faults[kind] += 1
        count = self._mine.total()
        if count >= self._retry.attempts or _is_permanent(error):
            listed = ", ".join(f"{k} ({n} times)" if n > 1 else k for k, n in self._mine.items())
            detail = " ".join(str(error).split())[:200]
            raise DataError(
                f"cannot read {self._what}: {count} of {self._retry.attempts} attempts failed: "
                f"{listed}; the last said: {detail or 'nothing'}; check that the source is whole "
                "and can be reached, then run the command again"
            ) from error
        pause = min(self._retry.longest_seconds, self._retry.first_seconds * 2.0 ** (count - 1))
        # workers that failed together do not come back together
        share = zlib.crc32(f"{self._what} {count}".encode()) / 2**32
        return pause * (1 - share / 2)


def is_of_reading(error: Exception) -> bool:
    """Whether an error is that of a file system, a network or a decoder."""
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, _READING) or library in _LIBRARIES


def _kind(error: Exception, timeout_seconds: float) -> str:
    """An error in a few words, the same for the same cause."""
    name = type(error).__name__
    if isinstance(error, TruncatedError) or name == "ClientPayloadError":
        return "truncated body"
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_seconds:g} s"
    status = _status(error)
    return f"HTTP {status}" if status is not None else name


def _status(error: Exception) -> int | None:
    """The HTTP status in an error of aiohttp, gcsfs and others."""
    status = str(getattr(error, "status", None) or getattr(error, "code", None))
    return int(status) if status.isdecimal() else None


def _is_permanent(error: Exception) -> bool:
    status = _status(error)
    is_refused = status is not None and 400 <= status < 500 and status not in _BUSY
    is_truncated = type(error).__name__ == "ClientPayloadError"  # which says 400
    return (is_refused and not is_truncated) or isinstance(error, _PERMANENT)
