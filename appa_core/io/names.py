"""Names of files and places that come from outside: from users, manifests, servers' listings."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

from appa_core.errors import IntegrityError


def absolute_place(place: str | os.PathLike[str]) -> str:
    """A place that means the same in processes with other working folders; URLs as they are.

    Args:
        place: A path or URL.
    """
    text = os.fspath(place)
    return text if "://" in text or not text.strip() else str(Path(text).absolute())


def require_inside(name: Any, where: str) -> str:
    """A name of a file that lies below a folder.

    Args:
        name: A relative path, with `/` between its parts.
        where: What says so, for the message.

    Raises:
        IntegrityError: It leads out of the folder, or is no path.
    """
    path = PurePosixPath(name) if isinstance(name, str) and name else PurePosixPath("..")
    if path.is_absolute() or ".." in path.parts or "\\" in str(name) or "\0" in str(name):
        raise IntegrityError(
            f"{where} names the file {name!r}, which is not below it; it was not written by this "
            "project: remove it"
        )
    return str(name)
