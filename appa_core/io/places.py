"""Places that a user names: folders that are copied here to be read, files that are written."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from appa_core.errors import InputError
from appa_core.io.hashing import content_key
from appa_core.io.store import MANIFEST, write_atomically


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether a place is named by a URL, not by a path."""
    return "://" in os.fspath(place)


def folder_here(place: str | os.PathLike[str]) -> Path:
    """A folder with a manifest as one on this machine: itself, or a copy of it.

    Copies lie in the user's cache (XDG_CACHE_HOME, else ~/.cache), by the content of their
    manifest, so that each is fetched once; its checksums are for the caller to compare.

    Args:
        place: A path, or a URL of any file system that fsspec knows.

    Raises:
        InputError: The URL cannot be reached, or there is no manifest.
    """
    if not is_url(place):
        return Path(place)
    url = os.fspath(place).rstrip("/")
    fs, root = _file_system(url)
    try:
        manifest: bytes = fs.cat_file(f"{root}/{MANIFEST}")
    except FileNotFoundError:
        raise InputError(f"there is no {MANIFEST} at {url}; give the folder of a model") from None
    except Exception as error:  # each file system has its own
        raise InputError(f"cannot read {url}/{MANIFEST}: {error}") from error
    if isinstance(fs, LocalFileSystem):
        return Path(root)
    target = _cache() / content_key([url, manifest.decode("utf-8", "replace")])
    if not target.is_dir():
        scratch = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            fs.get(root, str(scratch), recursive=True)
            scratch.rename(target)
        except OSError as error:
            if not target.is_dir():  # another process was faster
                raise InputError(f"cannot copy {url} to {target}: {error}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def write_text(place: str, text: str) -> None:
    """Write a text file at a path or URL; a local one is seen whole or not at all.

    Raises:
        InputError: It cannot be written there.
    """
    fs, path = _file_system(place)
    try:
        if isinstance(fs, LocalFileSystem):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(Path(path), text)
        else:
            fs.pipe_file(path, text.encode())
    except OSError as error:
        raise InputError(f"cannot write {place}: {error}; choose another place") from error


def _file_system(url: str) -> tuple[Any, str]:
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise InputError(f"cannot use {url}: {error}") from error
    return fs, str(path)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "appa" / "models"
