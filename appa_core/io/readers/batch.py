"""What a reader makes of one file, and how it is found out which reader that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from appa_core.io.readers.files import RawFile


@dataclass(frozen=True)
class Batch:
    """Rows of a file, still to be checked.

    Args:
        rows: Columns of an observation table.
        unreadable: How many reports or values no row could be made of, by reason.
        is_si: Whether the format itself says what units values are in.
    """

    rows: pd.DataFrame
    unreadable: Counter[str] = field(default_factory=Counter)
    is_si: bool = True


@dataclass(frozen=True)
class Reader:
    """A format of observations.

    Args:
        title: For people.
        recognises: Whether a file's first bytes are of this format.
        read: Makes rows of a file.
    """

    title: str
    recognises: Callable[[bytes], bool]
    read: Callable[[RawFile], Batch]


def first_line(head: bytes) -> str:
    """The first line of a file's first bytes, if it is text; else empty."""
    line = head.lstrip(b"\xef\xbb\xbf").partition(b"\n")[0].rstrip(b"\r")
    try:
        text = line.decode("ascii")
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""
