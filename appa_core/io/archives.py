"""Opening what holds states: plain zarr stores, or cubes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import xarray as xr

from appa_core.io.cube import Cube
from appa_core.io.datasets import Archive, StateArchive, Times
from appa_core.io.filesystems import file_system
from appa_core.io.store import MANIFEST


class CubeArchive(Archive):
    """Committed states of a cube.

    Args:
        cube: Ingested states.
    """

    def __init__(self, cube: Cube) -> None:
        super().__init__(cube.times())
        self._cube = cube

    @property
    def attributes(self) -> dict[str, Any]:
        """`source`: what the states are, as the source they were ingested from says."""
        records = self._cube.records()
        notice = records[0].provenance.get("notice") if records else None
        return {"source": notice} if notice else {}

    def read(self, times: Times, variables: Sequence[str] | None = None) -> xr.Dataset:
        """States at some times, loaded and checked; see `Archive.read`."""
        self.require(times)
        return self._cube.read(times, variables)


def is_cube(url: str) -> bool:
    """Whether a URL is the folder of a cube."""
    fs, root = file_system(url)
    try:
        manifest = json.loads(fs.cat_file(f"{root}/{MANIFEST}"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("kind") == "cube"


def open_archive(url: str) -> Archive:
    """The states at a URL: of a cube, or of a zarr store.

    Raises:
        DataError: Times do not ascend.
        IntegrityError: A cube's manifest is damaged.
    """
    return CubeArchive(Cube.load(url)) if is_cube(url) else StateArchive([url])
