"""Reading observations of any format, from files, patterns, folders and URLs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from appa_core.errors import AppaError, DataError, InputError
from appa_core.io.readers import bufr, ghcnh, igra, isd, madis, tables
from appa_core.io.readers.batch import Reader
from appa_core.io.readers.files import RawFile, find_files, read_file
from appa_core.io.retry import is_of_reading
from appa_core.observations.table import ObservationTable

_log = logging.getLogger(__name__)
AUTO = "auto"
READERS: Mapping[str, Reader] = {
    "parquet": tables.PARQUET,
    "madis": madis.READER,
    "bufr": bufr.READER,
    "igra": igra.READER,
    "isd": isd.READER,
    "ghcnh": ghcnh.READER,
    "csv": tables.CSV,
}
_HEAD = 1 << 16
_NO_OBSERVATIONS = "file that holds no observations of a known format"


@dataclass(frozen=True)
class ReadFiles:
    """What was read.

    Args:
        table: All rows, file after file.
        formats: Of each file that was read, by its URL.
        digests: SHA-256 of each of them, by its URL.
        unreadable: How many reports or values no row could be made of, by file and reason.
    """

    table: ObservationTable
    formats: Mapping[str, str]
    digests: Mapping[str, str]
    unreadable: Mapping[tuple[str, str], int]

    def summary(self) -> str:
        """What could not be read, a line for each file and reason; empty if there is nothing."""
        lines = [f"{n:>9}  {url}: {why}" for (url, why), n in sorted(self.unreadable.items())]
        return "\n".join(lines)


def read_observations(
    location: str, file_format: str = AUTO, storage_options: Mapping[str, Any] | None = None
) -> ObservationTable:
    """Observations of all files at a place; what cannot be read is logged.

    Args:
        location: A file, a pattern, a folder, or a URL of one; see `find_files`.
        file_format: One of `READERS`, or `auto`: told from each file's content.
        storage_options: For fsspec.

    Raises:
        InputError: There is no file, its format is unknown or needs a package, or a table has a
            row that cannot be.
        DataError: A file cannot be read, or is truncated.
    """
    found = read_files(location, file_format, storage_options)
    if found.unreadable:
        _log.warning("could not be read as rows of a table:\n%s", found.summary())
    return found.table


def read_files(
    location: str, file_format: str = AUTO, storage_options: Mapping[str, Any] | None = None
) -> ReadFiles:
    """Observations of all files at a place, and what could not be read.

    Of a folder or a pattern, files of unknown formats are counted; a single file must be of a
    known one. Arguments and errors are those of `read_observations`.
    """
    if file_format not in (AUTO, *READERS):
        raise InputError(
            f"unknown format {file_format!r}; there are: {AUTO}, {', '.join(READERS)}"
        )
    urls = find_files(location, storage_options)
    parts: list[ObservationTable] = []
    unreadable: Counter[tuple[str, str]] = Counter()
    formats, digests = {}, {}
    for url in urls:
        file = read_file(url, storage_options)
        name = _format_of(file) if file_format == AUTO else file_format
        if not name:
            unreadable[url, _NO_OBSERVATIONS] += 1
            continue
        formats[url], digests[url] = name, file.digest
        table, problems = _read(file, name)
        parts.append(table)
        for why, count in problems.items():
            unreadable[url, why] += count
    if not formats:
        raise InputError(
            f"{urls[0]}{' and others' if len(urls) > 1 else ''}: no observations of a known "
            f"format; expected one of {', '.join(f'{n} ({r.title})' for n, r in READERS.items())}"
        )
    return ReadFiles(ObservationTable.concatenate(parts), formats, digests, unreadable)


def _format_of(file: RawFile) -> str:
    """By its content; empty if that does not tell."""
    head = file.data[:_HEAD]
    return next((name for name, reader in READERS.items() if reader.recognises(head)), "")


def _read(file: RawFile, name: str) -> tuple[ObservationTable, Counter[str]]:
    """The checked rows of a file, and what could not be read."""
    with _explained(file.url, READERS[name].title):
        batch = READERS[name].read(file)
    if batch.is_si and batch.rows.empty:
        return ObservationTable.empty(), +batch.unreadable
    return ObservationTable.of(batch.rows, file.url, is_si=batch.is_si), +batch.unreadable


@contextmanager
def _explained(url: str, title: str) -> Iterator[None]:
    try:
        yield
    except AppaError:
        raise
    except Exception as error:
        if not (is_of_reading(error) or isinstance(error, (LookupError, TypeError))):
            raise
        raise DataError(
            f"{url} cannot be read as {title}; it is truncated, damaged or of another format "
            f"({type(error).__name__}: {error})"
        ) from error
