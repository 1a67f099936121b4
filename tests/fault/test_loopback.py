"""What commands start listens on this machine alone."""

import socket

import psutil
import pytest

from appa_core.steps.agent import loopback_store
from tasks.cluster import ClusterSettings, open_client
from tests.training_runs import Run, descendants, kill_all, read_until

HERE = {"127.0.0.1", "::1"}


def listening(processes):
    """Addresses at which processes wait for others."""
    found = set()
    for process in processes:
        for each in process.net_connections("inet"):
            if each.status == psutil.CONN_LISTEN:
                found.add(each.laddr.ip)
    return found


def test_the_check_sees_other_addresses():
    with socket.create_server(("0.0.0.0", 0)):
        assert "0.0.0.0" in listening([psutil.Process()])


def test_an_embedded_cluster():
    before = listening([psutil.Process()])
    with open_client(ClusterSettings(workers=1)) as client:
        client.wait_for_workers(1)
        me = psutil.Process()
        assert listening([me, *me.children(recursive=True)]) - before <= HERE
        assert listening([me]) & HERE


def test_processes_of_a_training(tiny_world, tmp_path):
    process = Run(tiny_world, tmp_path).start()
    try:
        assert read_until(process, 3)
        found = listening([psutil.Process(process.pid), *descendants(process)])
        assert found
        assert found <= HERE
    finally:
        kill_all(process)


def test_the_second_of_two_launchers_becomes_a_client():
    first = loopback_store("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with pytest.raises(RuntimeError, match="cannot listen"):
        loopback_store("127.0.0.1", first.port, is_master=True)
    second = loopback_store("127.0.0.1", first.port, is_master=False)
    second.set("word", "heard")
    assert first.get("word") == b"heard"


def test_the_embedded_server():
    """Its address is fixed by Prefect; a new version must not change that unseen."""
    from prefect.server.api.server import SubprocessASGIServer

    assert SubprocessASGIServer(port=1).address == "http://127.0.0.1:1"
