"""Memory of processes that are measured."""

from __future__ import annotations

import re
from pathlib import Path

from appa_core.errors import InputError


def peak_memory() -> float:
    """Most memory that this process had, MiB (Linux; a new process counts from zero).

    Raises:
        InputError: The system does not tell.
    """
    path = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+)", path.read_text("ascii")) if path.is_file() else None
    if found is None:
        raise InputError(f"{path} does not tell the peak of memory; measure on Linux")
    return int(found[1]) / 1024
