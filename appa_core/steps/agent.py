"""`torch.distributed.run`, in a process that dies with the one that started it.

Processes of one machine meet on loopback, where nobody else can reach them: torch's own store
would listen on all addresses, whatever its address says.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from torch.distributed import TCPStore
from torch.distributed.elastic.rendezvous import c10d_rendezvous_backend
from torch.distributed.run import main

from appa_core.steps.worker import die_with_parent

_LOOPBACK = frozenset({"127.0.0.1", "localhost"})


def loopback_store(host_name: str, port: int, **settings: Any) -> TCPStore:
    """The store in which processes meet; one on loopback listens there alone.

    Raises:
        RuntimeError: Another process listens at the port.
    """
    if not settings.get("is_master") or host_name not in _LOOPBACK:
        return TCPStore(host_name, port, **settings)
    try:
        listening = socket.create_server((host_name, port))
    except OSError as error:  # what torch expects, to become a client of the other
        raise RuntimeError(f"cannot listen at {host_name}:{port}: {error}") from error
    here: int = listening.getsockname()[1]
    return TCPStore(host_name, here, master_listen_fd=listening.detach(), **settings)


if __name__ == "__main__":
    die_with_parent()
    c10d_rendezvous_backend.TCPStore = loopback_store  # type: ignore[assignment,misc]
    main(sys.argv[1:])
