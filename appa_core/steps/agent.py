"""`torch.distributed.run`, in a process that dies with the one that started it."""

from __future__ import annotations

import sys

from torch.distributed.run import main

from appa_core.steps.worker import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    main(sys.argv[1:])
