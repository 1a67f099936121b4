"""Prefect's embedded server, which commands start unless one is set."""

from __future__ import annotations

import importlib
import os
import threading
import time

_STARTING: list[threading.Thread] = []


def start_server() -> float:
    """Start Prefect's embedded server, unless one is set or runs; returns seconds.

    The first flow would start it; a command that tells its own time starts it before.
    """
    began = time.perf_counter()
    orchestration = importlib.import_module("prefect.client.orchestration")
    with orchestration.get_client(sync_client=True) as client:
        client.hello()
    return time.perf_counter() - began


def begin_server() -> None:
    """Start Prefect's embedded server beside what is loaded next, unless one is set.

    It takes longer than all imports together; `await_server` waits for what is left of that.
    `APPA_SERVER=late` leaves it to the first flow.
    """
    settings = importlib.import_module("prefect.settings").get_current_settings()
    if settings.api.url is None and os.environ.get("APPA_SERVER") != "late":
        thread = threading.Thread(target=start_server, name="prefect-server", daemon=True)
        thread.start()
        _STARTING.append(thread)


def await_server() -> None:
    """Wait for a server that `begin_server` starts; else nothing."""
    while _STARTING:
        _STARTING.pop().join()
