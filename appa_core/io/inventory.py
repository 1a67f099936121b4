"""What a store holds: manifests and what they need, sizes, damage, and who is at work."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from appa_core.errors import AppaError
from appa_core.io.day_ledger import SERIES, all_series
from appa_core.io.ledger import Folder
from appa_core.io.lock import LOCK, Owner, parse_owner
from appa_core.io.store import MANIFEST, Artifact, ArtifactStore


@dataclass(frozen=True)
class Holding:
    """Something that a store holds: an artifact, a cube, or what is left of one.

    Args:
        step: Name of the step.
        key: Of the artifact.
        manifest: What it says; None if there is none, or it is damaged.
        sizes: Bytes by path within its folder.
        problem: What is wrong; empty if nothing is known to be.
    """

    step: str
    key: str
    manifest: Mapping[str, Any] | None
    sizes: Mapping[str, int]
    problem: str = ""

    @property
    def name(self) -> str:
        """Step and key."""
        return f"{self.step}/{self.key}"

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(self.sizes.values())

    @property
    def is_cube(self) -> bool:
        """Whether it grows block by block."""
        return self.manifest is not None and self.manifest.get("kind") == "cube"

    @property
    def is_unfinished(self) -> bool:
        """Whether it has no manifest: it is being written or removed, or that was cut short."""
        return MANIFEST not in self.sizes

    @property
    def created(self) -> str:
        """When it was committed, UTC, ISO 8601; empty where that is not known."""
        provenance = (self.manifest or {}).get("provenance") or {}
        return str(provenance.get("created", ""))

    @property
    def needs(self) -> set[str]:
        """Keys of what it was made from, among other hashes."""
        parents = (self.manifest or {}).get("parents") or {}
        # of pieces, the key is followed by where they begin
        return {str(value).split("+", 1)[0] for value in parents.values()}


def holdings(store: ArtifactStore, *, verify: bool = False) -> Iterator[Holding]:
    """Everything in the store that is kept by step and key, but series, which are ledgers.

    Args:
        store: Where to look.
        verify: Compare checksums too, and not only names of files.
    """
    folder = Folder(store.url, store)
    for step in _names(folder, ""):
        if step == SERIES:
            continue
        for key in _names(folder, step):
            sizes = _sizes(folder, f"{step}/{key}")
            if MANIFEST in sizes or any(name.startswith("data/") for name in sizes):
                yield _holding(store, folder, (step, key), sizes, verify=verify)


def _holding(
    store: ArtifactStore,
    folder: Folder,
    name: tuple[str, str],
    sizes: Mapping[str, int],
    *,
    verify: bool,
) -> Holding:
    step, key = name
    if MANIFEST not in sizes:
        return Holding(step, key, None, sizes, "it has no manifest")
    try:
        manifest = json.loads(folder.read(f"{step}/{key}/{MANIFEST}") or b"")
        assert isinstance(manifest, dict)
    except (ValueError, AssertionError):
        return Holding(step, key, None, sizes, "its manifest is damaged")
    return Holding(step, key, manifest, sizes, _problem(store, name, manifest, sizes, verify))


def _problem(
    store: ArtifactStore,
    name: tuple[str, str],
    manifest: Mapping[str, Any],
    sizes: Mapping[str, int],
    verify: bool,
) -> str:
    """What is wrong with an artifact; cubes check their blocks when they are read."""
    if manifest.get("kind") == "cube":
        return ""
    missing = [f for f in manifest.get("files", {}) if f"data/{f}" not in sizes]
    if missing:
        return f"{missing[0]} is missing"
    if verify:
        try:
            Artifact(f"{store.url}/{name[0]}/{name[1]}", manifest).verify()
        except AppaError as error:
            return str(error)
    return ""


@dataclass(frozen=True)
class Lease:
    """A lock that someone holds, or has left.

    Args:
        place: What it is on, below the store.
        owner: Who.
    """

    place: str
    owner: Owner


def leases(store: ArtifactStore) -> list[Lease]:
    """Locks in the store, those of owners who are gone too."""
    folder = Folder(store.url, store)
    places = [f"{step}/{key}" for step in _names(folder, "") for key in _names(folder, step)]
    for ledger in all_series(store):
        places += [url[len(store.url) + 1 :] for url in ledger.leases()]
    found = []
    for place in places:
        text = folder.read(f"{place}/{LOCK}")
        owner = None if text is None else parse_owner(text)
        if owner is not None:
            found.append(Lease(place, owner))
    return found


def closure(wanted: Iterable[str], needs: Mapping[str, set[str]]) -> set[str]:
    """Keys with all that they were made from, and what that was made from.

    Args:
        wanted: Keys.
        needs: Of every key that there is; others are passed over.
    """
    found: set[str] = set()
    waiting = [key for key in wanted if key in needs]
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += [parent for parent in needs[key] if parent in needs]
    return found


def _names(folder: Folder, name: str) -> list[str]:
    """Names of folders in a folder, without hidden ones; none in a file."""
    try:
        return sorted(n for n in folder.stamps(name) if not n.startswith("."))
    except NotADirectoryError:
        return []


def _sizes(folder: Folder, name: str) -> dict[str, int]:
    return {path[len(name) + 1 :]: size for path, size in folder.sizes(name).items()}
