"""What a store holds: everything that is committed, and what a run has added to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appa_core.io.ledger import Folder
from appa_core.io.store import MANIFEST, ArtifactStore


def committed(store: ArtifactStore) -> dict[str, Any]:
    """Paths of manifests and of records of blocks, with what changes when one is replaced."""
    folder = Folder(store.url, store)
    found: dict[str, Any] = {}
    for step in _names(folder, ""):
        for key in _names(folder, step):
            entries = _names(folder, f"{step}/{key}")
            if MANIFEST in entries:
                found[f"{step}/{key}/{MANIFEST}"] = entries[MANIFEST]
            if "ledger" in entries:
                found |= _records(folder, f"{step}/{key}/ledger")
    return found


def added(before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    """How many commits of `after` were not there before, or were made again."""
    return sum(name not in before or before[name] != stamp for name, stamp in after.items())


def children(store: ArtifactStore, name: str) -> list[str]:
    """Names in a folder of a store, in order, without hidden ones; none if it is not there."""
    return sorted(_names(Folder(store.url, store), name))


def _records(folder: Folder, ledger: str) -> dict[str, Any]:
    return {
        f"{ledger}/{year}/{name}": stamp
        for year in _names(folder, ledger)
        for name, stamp in _names(folder, f"{ledger}/{year}").items()
        if name.removesuffix(".json").isdigit()
    }


def _names(folder: Folder, name: str) -> dict[str, Any]:
    """Names in a folder, without hidden ones; none in a file."""
    try:
        stamps = folder.stamps(name)
    except NotADirectoryError:
        return {}
    return {n: stamp for n, stamp in stamps.items() if not n.startswith(".")}
