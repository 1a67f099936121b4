"""Files of observations, near or far: finding them, and their bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from appa_core.errors import DataError, InputError
from appa_core.io.filesystems import file_system
from appa_core.io.opening import ON_THIS_MACHINE, PROTOCOLS, protocol_of, request_options
from appa_core.io.retry import Retry

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"


@dataclass(frozen=True)
class RawFile:
    """The content of a file.

    Args:
        url: Where it came from.
        data: Its bytes, uncompressed.
        digest: SHA-256 of its bytes as they were stored.
    """

    url: str
    data: bytes = field(repr=False)
    digest: str

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.url.rstrip("/").rpartition("/")[2]

    @cached_property
    def lines(self) -> list[str]:
        """Its text by lines; bytes that are no UTF-8, as in names, are read as Latin-1."""
        try:
            text = self.data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = self.data.decode("latin-1")
        return text.splitlines()

    @property
    def ends_early(self) -> bool:
        """Whether its last line has no end."""
        return not self.data.endswith((b"\n", b"\r"))


def find_files(location: str, storage_options: Mapping[str, Any] | None = None) -> list[str]:
    """Files at a place, by name.

    Args:
        location: A file, a pattern with `*`, `?` or `[...]`, or a folder, whose files are taken
            without those of folders in it and without hidden ones. A path, or a URL of `memory`,
            `http(s)`, `gs`, `s3`, `az`, `abfs`.
        storage_options: For fsspec.

    Raises:
        InputError: It cannot be a place of files, or there is none.
    """
    protocol = protocol_of(location)
    if "::" in location or protocol not in PROTOCOLS:
        raise InputError(
            f"{location} cannot be read; expected a path, or a URL of "
            f"{', '.join(sorted(PROTOCOLS))}"
        )
    fs, path = _file_system(location, storage_options)
    retry = Retry().once() if protocol in ON_THIS_MACHINE else Retry()
    found = retry.call(location, lambda: _listed(fs, path, protocol), Counter())
    if not found:
        raise InputError(f"there is no file at {location}; check the path")
    is_local = protocol in {"file", "local"}
    return sorted(p if is_local else str(fs.unstrip_protocol(p)) for p in found)


def _listed(fs: Any, path: str, protocol: str) -> list[str]:
    """Files that a path stands for."""
    if set(path) & set("*?["):
        return [str(p) for p in fs.glob(path) if not fs.isdir(p)]
    is_web = protocol in {"http", "https"}
    # what a web server has there would have to be fetched to see
    if path.endswith("/") if is_web else fs.isdir(path):
        names = [str(e["name"]) for e in fs.ls(path, detail=True) if e["type"] == "file"]
        return [n for n in names if not n.rpartition("/")[2].startswith(".")]
    return [path] if is_web or fs.exists(path) else []


def read_file(url: str, storage_options: Mapping[str, Any] | None = None) -> RawFile:
    """A file's content, uncompressed if it is gzip, or zip with one file in it.

    Raises:
        DataError: It cannot be read, or is truncated or damaged.
    """
    fs, path = _file_system(url, storage_options)
    retry = Retry().once() if protocol_of(url) in ON_THIS_MACHINE else Retry()
    stored: bytes = retry.call(url, lambda: fs.cat_file(path), Counter())
    try:
        data = _uncompressed(stored)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{url} is truncated or damaged: its compression ends in {type(error).__name__}: "
            f"{error}; fetch it again"
        ) from error
    return RawFile(url, data, hashlib.sha256(stored).hexdigest())


def _file_system(url: str, given: Mapping[str, Any] | None) -> tuple[Any, str]:
    options = request_options(url, given or {}, Retry())
    return file_system(url, options)


def _uncompressed(stored: bytes) -> bytes:
    if stored.startswith(_GZIP):
        return gzip.decompress(stored)
    if stored.startswith(_ZIP):
        with zipfile.ZipFile(io.BytesIO(stored)) as archive:
            names = [n for n in archive.namelist() if not n.endswith("/")]
            if len(names) != 1:
                raise zipfile.BadZipFile(f"expected one file in it, found {len(names)}")
            return archive.read(names[0])
    return stored
