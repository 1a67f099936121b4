"""The ledger of a series: which days are committed, what they were made from and what they hold.

A day is committed when its record is there: the record is written last, atomically. The records
are the truth; nothing else says what a series holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from appa_core.io.hashing import content_key
from appa_core.io.ledger import Folder
from appa_core.io.store import ArtifactStore

#: Folder of all series in a store, and of the leases in that of a series.
SERIES, LEASES = "reanalysis-series", "leases"
_DESCRIPTION = "series.json"


@dataclass(frozen=True)
class DayRecord:
    """A committed day.

    Args:
        day: Such as 2024-01-01.
        key: Hash of all that its states were made from, the day before included.
        inputs: Hash of what it was made from apart from the day before, and of known states.
        previous: Key of the day before, or of what stood in for it; empty for a first day.
        artifacts: Steps and keys of what was made, by role.
        pieces: Of its last states, by batch of members: first, count, step, key, skip of each.
        digest: Hash of its fields.
        wall_seconds: How long it took.
        created: When it was committed, UTC.
    """

    day: str
    key: str
    inputs: str
    previous: str
    artifacts: Mapping[str, tuple[str, str]]
    pieces: tuple[tuple[tuple[int, int, str, str, int], ...], ...]
    digest: str
    wall_seconds: float
    created: str

    @property
    def needs(self) -> set[tuple[str, str]]:
        """Steps and keys of all artifacts that it refers to."""
        of_pieces = {(step, key) for batch in self.pieces for _, _, step, key, _ in batch}
        return set(self.artifacts.values()) | of_pieces

    def dump(self) -> bytes:
        """The record as JSON, with its own checksum."""
        content = json.loads(json.dumps(vars(self), default=dict))
        return json.dumps({**content, "checksum": content_key(content)}, indent=1).encode()

    @classmethod
    def parse(cls, text: bytes) -> DayRecord | None:
        """The record in a file; None if the file is damaged."""
        try:
            content = json.loads(text)
            if content.pop("checksum") != content_key(content):
                return None
            content["artifacts"] = {k: tuple(v) for k, v in content["artifacts"].items()}
            content["pieces"] = tuple(
                tuple(tuple(piece) for piece in batch) for batch in content["pieces"]
            )
            return cls(**content)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


class DayLedger:
    """Records of the days of a series.

    Args:
        store: The artifact store.
        key: Of the series.
    """

    def __init__(self, store: ArtifactStore, key: str) -> None:
        self.url = f"{store.url}/{SERIES}/{key}"
        self.key = key
        self._folder = Folder(self.url, store)

    def describe(self, content: Mapping[str, Any]) -> None:
        """Say what the series is, once."""
        if self.description() is None:
            self._folder.write({_DESCRIPTION: json.dumps(content, indent=1).encode()})

    def description(self) -> dict[str, Any] | None:
        """What the series is; None if that is not known."""
        try:
            found: dict[str, Any] = json.loads(self._folder.read(_DESCRIPTION) or b"")
        except ValueError:
            return None
        return found

    def find(self, day: pd.Timestamp) -> DayRecord | None:
        """The record of a day; None if it is absent or damaged."""
        text = self._folder.read(_name(day))
        return None if text is None else DayRecord.parse(text)

    def days(self) -> list[pd.Timestamp]:
        """Days that have a record, whole or damaged, in order."""
        found = []
        for year in sorted(self._folder.stamps("ledger")):
            for name in self._folder.stamps(f"ledger/{year}"):
                stem = name.removesuffix(".json")
                if stem != name and stem.isdigit() and year.isdigit():
                    found.append(pd.Timestamp(f"{year}-{stem[:2]}-{stem[2:]}"))
        return sorted(found)

    def add(self, record: DayRecord) -> None:
        """Commit a day, in place of what it was before."""
        self._folder.write({_name(pd.Timestamp(record.day)): record.dump()})

    def lease(self, day: pd.Timestamp) -> str:
        """URL of the lock that whoever makes a day holds."""
        return f"{self.url}/{LEASES}/{day:%Y-%m-%d}"

    def leases(self) -> list[str]:
        """URLs of locks that are or have been held."""
        return [f"{self.url}/{LEASES}/{name}" for name in sorted(self._folder.stamps(LEASES))]


def all_series(store: ArtifactStore) -> list[DayLedger]:
    """The series that a store holds."""
    names = Folder(store.url, store).stamps(SERIES)
    return [DayLedger(store, name) for name in sorted(names) if not name.startswith(".")]


def _name(day: pd.Timestamp) -> str:
    return f"ledger/{day:%Y/%m%d}.json"
