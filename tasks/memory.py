"""How processes that run networks deal with memory."""

from __future__ import annotations

from collections.abc import Mapping

#: Variables that glibc reads when a process starts. By default it gives large pieces back to the
#: system as soon as they are free; a network then has its tensors mapped anew, page by page, in
#: every iteration, which costs up to half of its speed on a CPU.
KEEP_MEMORY: Mapping[str, str] = {
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
}
