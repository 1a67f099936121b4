"""`torch.distributed.run`, in a process that dies with the one that started it.

Processes of one machine meet on loopback, where nobody else can reach them: torch's own store
would listen on all addresses, whatever its address says.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.elastic.rendezvous import c10d_rendezvous_backend, dynamic_rendezvous
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


def stay_on_loopback() -> None:
    """Have torch make both of its stores by `loopback_store`: where agents meet, and ranks."""
    backend: Any = c10d_rendezvous_backend
    handler: Any = dynamic_rendezvous.DynamicRendezvousHandler

    def make(_: Any, address: str, port: int) -> TCPStore:
        return loopback_store(address, port, is_master=True, multi_tenant=True)

    backend.TCPStore = loopback_store
    handler._create_tcp_store_server = make  # noqa: SLF001


if __name__ == "__main__":
    die_with_parent()
    stay_on_loopback()
    main(sys.argv[1:])
