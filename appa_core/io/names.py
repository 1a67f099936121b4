"""Names of files that come from outside: from manifests, from listings of servers."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from appa_core.errors import IntegrityError


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
