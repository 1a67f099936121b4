"""Places that a user names: folders that are copied here to be read, files that are written."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from appa_core.errors import InputError
from appa_core.io.filesystems import file_system
from appa_core.io.hashing import content_key
from appa_core.io.names import require_inside
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
    fs, root = file_system(url)
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
            _copy_files(fs, root, scratch)
            scratch.rename(target)
        except OSError as error:
            if not target.is_dir():  # another process was faster
                raise InputError(f"cannot copy {url} to {target}: {error}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def _copy_files(fs: Any, root: str, folder: Path) -> None:
    """Copy the files right below a path; names that lead elsewhere are not followed."""
    folder.mkdir()
    for entry in fs.ls(root, detail=True):
        name = str(entry["name"]).rstrip("/").rpartition("/")[2]
        if entry["type"] == "file" and name:
            fs.get_file(entry["name"], str(folder / require_inside(name, root)))


def require_replaceable(folder: Path, option: str, what: str, marks: frozenset[str]) -> None:
    """Make sure that a folder may be replaced: it is absent, empty, or holds what we wrote.

    Args:
        folder: What is to be replaced.
        option: Of a command line, that names it.
        what: May be there.
        marks: Names that the manifest of such a thing has.

    Raises:
        InputError: Something else is there, which is left as it is.
    """
    place = Path(os.path.abspath(folder))  # noqa: PTH100 - takes `..` out, leaves links
    if not place.name:
        raise InputError(f"{option} {folder}: give a folder below it")
    if not place.is_dir():
        if place.exists() or place.is_symlink():
            raise InputError(f"{option} {folder} is a file; give a folder")
        return
    if any(place.iterdir()) and not marks <= _manifest_names(place / MANIFEST):
        raise InputError(f"{option} {folder} is not empty and holds no {what}; give a new folder")


def _manifest_names(path: Path) -> set[str]:
    try:
        return set(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return set()


def write_text(place: str, text: str) -> None:
    """Write a text file at a path or URL; a local one is seen whole or not at all.

    Raises:
        InputError: It cannot be written there.
    """
    fs, path = file_system(place)
    try:
        if isinstance(fs, LocalFileSystem):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(Path(path), text)
        else:
            fs.pipe_file(path, text.encode())
    except OSError as error:
        raise InputError(f"cannot write {place}: {error}; choose another place") from error


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "appa" / "models"
