"""What is known beforehand: lists of rows not to be used, and flags of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from appa_core.observations.control.check import PlainCheck
from appa_core.observations.table import ObservationTable

#: How reasons begin that readers take from files.
FILE_FLAG = "file: "


@dataclass(frozen=True)
class Listing:
    """Rows that a list names; each part may have `*` and `?`.

    Args:
        station_id: Of the stations.
        platform: Of the platforms.
        quantity: Of what is measured.
        why: In a few words.
    """

    station_id: str = "*"
    platform: str = "*"
    quantity: str = "*"
    why: str = ""


@dataclass(frozen=True)
class BlackList(PlainCheck):
    """Rejects what lists name.

    Args:
        listings: What they name.
    """

    listings: Sequence[Listing] = ()

    def checked(self, table: ObservationTable) -> ObservationTable:
        """The table with listed rows rejected."""
        columns = ("station_id", "platform", "quantity")
        values = {c: np.unique(table.frame[c].to_numpy(str), return_inverse=True) for c in columns}
        for listing in self.listings:
            is_listed = np.ones(len(table), bool)
            for column, (names, codes) in values.items():
                pattern = getattr(listing, column)
                matches = np.array([fnmatchcase(str(n), pattern) for n in names], bool)
                is_listed &= matches[codes] if len(names) else False
            reason = f"black-list: {listing.why}" if listing.why else "black-list"
            table = table.reject(is_listed, reason)
        return table


@dataclass(frozen=True)
class FileFlags(PlainCheck):
    """What to make of the flags that files have: readers reject rows by them.

    Args:
        honour: Keep those rows rejected; else they are used again, whatever their flags say.
    """

    honour: bool = True

    def checked(self, table: ObservationTable) -> ObservationTable:
        """The table, with flagged rows used again if flags are not honoured."""
        if self.honour:
            return table
        reasons = table.frame["rejected"]
        kept = reasons.where(~reasons.str.startswith(FILE_FLAG), "")
        return ObservationTable(table.frame.assign(rejected=kept))
