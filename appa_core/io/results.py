"""Folders that flows exported: what they are, and whether they are whole.

Their fields are opened by `ensembles` and, in blocks, by `result_blocks`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from appa_core.errors import InputError, IntegrityError
from appa_core.io.hashing import file_sha256
from appa_core.io.store import MANIFEST

OBSERVATIONS = "observations.parquet"
#: Fields of a result by name of the file, and what kind of result it is.
_FIELDS: dict[str, Literal["forecast", "analysis"]] = {
    "forecast.zarr": "forecast",
    "reanalysis.zarr": "analysis",
    "filtering.zarr": "analysis",
}


@dataclass(frozen=True)
class Result:
    """A folder that a flow exported.

    Args:
        folder: Where it is.
        file: Name of the fields in it.
        digest: Hash of the fields.
    """

    folder: str
    file: str
    digest: str

    @classmethod
    def open(cls, folder: str | Path) -> Result:
        """The result in a folder; only its manifest is read.

        Raises:
            InputError: There is no result.
            IntegrityError: Its manifest is damaged.
        """
        path = Path(folder)
        files = [name for name in _FIELDS if (path / name).is_dir()]
        if not (path / MANIFEST).is_file() or not files:
            raise InputError(
                f"{path} is no result: expected a folder that flows.forecast, flows.reanalysis or "
                f"flows.filtering exported, with {MANIFEST} and one of {', '.join(_FIELDS)}"
            )
        try:
            manifest = json.loads((path / MANIFEST).read_text("utf-8"))
            digest = next(
                str(a["digest"])
                for a in manifest["artifacts"].values()
                if any(str(name).startswith(f"{files[0]}/") for name in a["files"])
            )
        except (ValueError, KeyError, AttributeError, TypeError, StopIteration) as error:
            raise IntegrityError(
                f"{path / MANIFEST} is damaged or of another version ({error!r}); export the "
                "result again by the command that made it"
            ) from error
        return cls(str(path.absolute()), files[0], digest)

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """What the flow wrote about it."""
        content: Mapping[str, Any] = json.loads((Path(self.folder) / MANIFEST).read_text("utf-8"))
        return content

    @property
    def kind(self) -> Literal["forecast", "analysis"]:
        """Whether it starts from known states or follows observations."""
        return _FIELDS[self.file]

    @property
    def paired(self) -> bool:
        """Whether members 2k and 2k + 1 were drawn from opposite noise."""
        return bool(self.manifest.get("method", {}).get("paired", False))

    @property
    def observations(self) -> Path | None:
        """Its observations and what members read of them, if it has any."""
        path = Path(self.folder) / OBSERVATIONS
        return path if path.is_file() else None

    @property
    def path(self) -> str:
        """Where its fields are."""
        return f"{self.folder}/{self.file}"

    def verify(self) -> None:
        """Compare all files with the checksums of the manifest.

        Raises:
            IntegrityError: One is missing or differs.
        """
        for artifact in self.manifest["artifacts"].values():
            for name, expected in artifact["files"].items():
                path = Path(self.folder) / name
                if name.startswith(self.file) or name == OBSERVATIONS:
                    if not path.is_file():
                        raise IntegrityError(f"{path} is missing; export the result again")
                    if file_sha256(path) != expected:
                        raise IntegrityError(
                            f"{path} is not what was exported: its checksum differs from that in "
                            f"{MANIFEST}; export the result again by the command that made it"
                        )
