"""The artifact store: what is done is what it says.

An artifact is a folder `<store>/<step>/<key>/` that holds `data/` and, written last, a
`manifest.json`. The key is a hash of what determines the data; without a manifest there is no
artifact. A killed writer leaves only a staging folder, which nobody reads.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from appa_core.errors import InputError, IntegrityError
from appa_core.io.exclusive import exclusive
from appa_core.io.filesystems import file_system, store_file_system
from appa_core.io.hashing import content_key, file_sha256, tree_checksums, tree_digest
from appa_core.io.names import absolute_place, require_inside
from appa_core.io.secrets import without_secrets
from appa_core.io.staging import STAGING, staged_folder

_log = logging.getLogger(__name__)
MANIFEST = "manifest.json"
_FORMAT = 1
_PARTS = frozenset({"step", "version", "key", "config", "parents", "files", "digest", "summary"})
_RECORDED_LIBRARIES = ("numpy", "torch", "xarray", "zarr", "safetensors")


@dataclass(frozen=True)
class Recipe:
    """All that determines an artifact.

    Args:
        step: Name of the step.
        version: Version of the step's code; raise it when its results change.
        config: Scientific settings, JSON-compatible; never paths or worker counts.
        parents: Keys of the artifacts that it is made from, by role.
        seed: Seed of its random numbers, if any.
    """

    step: str
    version: int
    config: Mapping[str, Any]
    parents: Mapping[str, str]
    seed: int | None = None

    @property
    def key(self) -> str:
        """Content hash of the recipe."""
        return content_key(
            {
                "step": self.step,
                "version": self.version,
                "config": dict(self.config),
                "parents": dict(self.parents),
                "seed": self.seed,
            }
        )


@dataclass(frozen=True)
class Artifact:
    """A committed artifact: where its data are and what its manifest says.

    Its URL ends with its key, so that artifacts with one URL are the same.
    """

    url: str
    manifest: Mapping[str, Any] = field(compare=False)

    @property
    def key(self) -> str:
        """Content hash of its recipe."""
        return str(self.manifest["key"])

    @property
    def digest(self) -> str:
        """Hash of its data."""
        return str(self.manifest["digest"])

    @property
    def summary(self) -> Mapping[str, Any]:
        """Small results that the step wrote into the manifest."""
        summary: Mapping[str, Any] = self.manifest["summary"]
        return summary

    def locate(self, name: str = "") -> str:
        """URL of one of its files or folders; a plain path on a local file system."""
        return f"{self.url}/data/{name}".rstrip("/")

    def verify(self) -> Artifact:
        """Compare every file with its checksum.

        Returns:
            Itself.

        Raises:
            IntegrityError: A file is missing or differs.
        """
        with self.local() as folder:
            known = self.manifest["files"]
            if others := [p for p in _entries(folder) if p not in known]:
                raise IntegrityError(
                    f"{self.url} holds {others[0]}, which was not written with it; remove "
                    f"{self.url} to recompute it"
                )
            for name, expected in known.items():
                path = folder / require_inside(name, self.url)
                if not path.is_file():
                    raise IntegrityError(f"{path} is missing; remove {self.url} to recompute it")
                if file_sha256(path) != expected:
                    raise IntegrityError(
                        f"{path} is damaged: its checksum is not the one that was written; "
                        f"remove {self.url} and run the command again"
                    )
        return self

    @contextmanager
    def local(self) -> Iterator[Path]:
        """Its data as a local folder; copied for the time being if the store is remote."""
        fs, root = file_system(self.locate())
        if isinstance(fs, LocalFileSystem):
            yield Path(root)
            return
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch) / "data"
            target.mkdir()
            # what else a server lists may be named to lie elsewhere
            names = [require_inside(name, self.url) for name in self.manifest["files"]]
            for name in names:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
            there = [n for n in names if fs.exists(f"{root}/{n}")]
            fs.get([f"{root}/{n}" for n in there], [str(target / n) for n in there])
            yield target


class ArtifactStore:
    """Content-addressed artifacts below any fsspec URL.

    Args:
        url: A folder or a URL such as `s3://bucket/prefix` or `memory://name`.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        text = os.fspath(url)
        if not text.strip():
            raise InputError(f"expected a folder or URL as a store, got {text!r}")
        self.url = absolute_place(text.rstrip("/") if "://" in text else text)
        self._fs, self._root = store_file_system(self.url)

    @property
    def is_local(self) -> bool:
        """Whether artifacts are files of this machine."""
        return isinstance(self._fs, LocalFileSystem)

    def find(self, recipe: Recipe) -> Artifact | None:
        """The committed artifact of a recipe, or None."""
        return self._read(recipe.step, recipe.key)

    def get(self, step: str, key: str) -> Artifact:
        """A committed artifact by its key.

        Raises:
            InputError: There is none.
        """
        found = self._read(step, key)
        if found is None:
            raise InputError(f"{self.url} holds no {step} of key {key}")
        return found

    def artifacts(self, step: str, *, lenient: bool = False) -> list[Artifact]:
        """All committed artifacts of a step, by key.

        Args:
            step: Name of the step.
            lenient: Pass over those whose manifest is damaged, with a warning.
        """
        if not self._fs.exists(f"{self._root}/{step}"):
            return []
        names = sorted(Path(p).name for p in self._fs.ls(f"{self._root}/{step}", detail=False))
        found = []
        for name in names:
            try:
                found.append(self._read(step, name))
            except IntegrityError as error:
                if not lenient:
                    raise
                _log.warning("%s; it is passed over", error)
        return [a for a in found if a is not None]

    def discard(self, recipe: Recipe) -> None:
        """Remove the artifact of a recipe, if it is there."""
        self.remove(recipe.step, recipe.key)

    def remove(self, step: str, key: str) -> None:
        """Remove an artifact, manifest first, so that it is never seen half there."""
        folder = f"{self._root}/{step}/{key}"
        if self._fs.exists(f"{folder}/{MANIFEST}"):
            self._fs.rm_file(f"{folder}/{MANIFEST}")
        if self._fs.exists(folder):
            self._fs.rm(folder, recursive=True)

    @contextmanager
    def stage(self) -> Iterator[Path]:
        """A private local folder to write into, removed afterwards."""
        base = Path(self._root) / STAGING if self.is_local else Path(tempfile.gettempdir())
        with staged_folder(base, self.url) as folder:
            yield folder

    def commit(
        self, recipe: Recipe, folder: Path, summary: Mapping[str, Any], wall_seconds: float
    ) -> Artifact:
        """Make a staged folder an artifact: its data move into place, then its manifest.

        Of commands that make the same artifact at once, the first on a local disk commits it; the
        others take it, for it holds the same bytes.
        """
        checksums = tree_checksums(folder)
        manifest = {
            "format": _FORMAT,
            "step": recipe.step,
            "version": recipe.version,
            "key": recipe.key,
            "config": without_secrets(recipe.config),
            "parents": dict(recipe.parents),
            "seed": recipe.seed,
            "files": checksums,
            "digest": tree_digest(checksums),
            "summary": without_secrets(summary),
            "provenance": {
                "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "wall_seconds": round(wall_seconds, 3),
                "python": platform.python_version(),
                "machine": platform.machine(),
                "libraries": {name: version(name) for name in _RECORDED_LIBRARIES},
            },
        }
        text = json.dumps(manifest, indent=1, sort_keys=True, default=str)
        target = f"{self._root}/{recipe.step}/{recipe.key}"
        if self.is_local:
            with exclusive(Path(target).parent):
                other = self._whole(recipe, str(manifest["digest"]))
                if other is not None:
                    return other
                self.discard(recipe)
                Path(target).mkdir(parents=True)
                folder.rename(Path(target) / "data")
                write_atomically(Path(target) / MANIFEST, text)
        else:
            self.discard(recipe)
            self._fs.makedirs(target, exist_ok=True)
            self._fs.put(str(folder), f"{target}/data", recursive=True)
            self._fs.pipe_file(f"{target}/{MANIFEST}", text.encode())
        return Artifact(f"{self.url}/{recipe.step}/{recipe.key}", manifest)

    def _whole(self, recipe: Recipe, digest: str) -> Artifact | None:
        """The committed artifact of a recipe if it has this digest and every byte of it."""
        try:
            found = self.find(recipe)
            return found.verify() if found is not None and found.digest == digest else None
        except IntegrityError:
            return None

    def _read(self, step: str, key: str) -> Artifact | None:
        path = f"{self._root}/{step}/{key}/{MANIFEST}"
        if not self._fs.exists(path):
            return None
        url = f"{self.url}/{step}/{key}"
        try:
            manifest = json.loads(self._fs.cat_file(path))
        except ValueError as error:
            raise IntegrityError(
                f"{url}/{MANIFEST} is damaged; remove {url} and run the command again"
            ) from error
        except FileNotFoundError:  # removed meanwhile
            return None
        _require_manifest(manifest, url, step, key)
        if manifest["format"] != _FORMAT:
            raise IntegrityError(
                f"{url} was written in format {manifest['format']}, this version reads "
                f"{_FORMAT}; use a new store"
            )
        return Artifact(url, manifest)


def _require_manifest(manifest: Any, url: str, step: str, key: str) -> None:
    """Make sure that a manifest is one, and that of its folder."""
    kept = manifest if isinstance(manifest, dict) else {}
    is_ours = kept.get("format") == _FORMAT
    if "format" not in kept or (is_ours and not (kept.keys() >= _PARTS and _has_files(kept))):
        raise IntegrityError(
            f"{url}/{MANIFEST} is damaged; remove {url} and run the command again"
        )
    if is_ours and (kept["step"], kept["key"]) != (step, key):
        raise IntegrityError(
            f"{url}/{MANIFEST} is that of {kept['step']}/{kept['key']}; remove {url} and run the "
            "command again"
        )


def _has_files(manifest: Mapping[str, Any]) -> bool:
    return isinstance(manifest["files"], dict)


def _entries(folder: Path) -> Iterator[str]:
    """Files below a folder, and links, which nothing here writes."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            yield f"{name} (a link)"
        elif path.is_file():
            yield name


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file that is seen either whole or not at all; text as UTF-8."""
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with scratch.open("wb") as handle:
        handle.write(content.encode() if isinstance(content, str) else content)
        handle.flush()
        os.fsync(handle.fileno())
    scratch.replace(path)
