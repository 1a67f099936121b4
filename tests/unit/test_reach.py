"""Whether something can be reached is known in seconds, whatever hangs."""

import socket
import threading
import time

import pytest

from appa_core.errors import InputError
from appa_core.io.sources import SourceSpec
from tasks import reach
from tasks.listing import list_entries
from tasks.reach import Place, probe, require_reachable
from tests.flaky_server import FlakyServer


@pytest.fixture
def with_packages(monkeypatch):
    monkeypatch.setattr(reach.importlib.util, "find_spec", lambda name: name)


def test_reaching_over_the_network(tmp_path, monkeypatch, with_packages):
    (tmp_path / "bucket" / "x.zarr").mkdir(parents=True)
    (tmp_path / "bucket" / "x.zarr" / "zarr.json").write_text("{}")
    (tmp_path / "page").write_text("")
    with FlakyServer(tmp_path) as server:
        monkeypatch.setattr(reach, "GOOGLE", server.url)
        endpoint = {"endpoint_url": server.url}
        places = {
            Place("gs://bucket/x.zarr", is_zarr=True): "",
            Place("gs://bucket/y.zarr", is_zarr=True): "HTTP 404, nothing is there",
            Place("s3://bucket/x.zarr", True, endpoint): "",
            Place(f"{server.url}/page"): "",
            Place(f"{server.url}/nothing"): "HTTP 404, nothing is there",
            Place(str(tmp_path / "page")): "",
            Place(str(tmp_path / "gone")): f"nothing is at {tmp_path / 'gone'}",
            Place("memory://x"): "",
        }
        assert probe(list(places)) == list(places.values())
        require_reachable(SourceSpec("s", "zarr", ("gs://bucket/x.zarr",)))
        with pytest.raises(InputError, match=r"source s: cannot reach gs://bucket/y\.zarr: HTTP"):
            require_reachable(SourceSpec("s", "zarr", ("gs://bucket/y.zarr",)))


def test_a_silent_server_is_not_waited_for(with_packages):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        began = time.monotonic()
        assert probe([Place(url)] * 20, 0.3) == ["no answer within 0.3 s"] * 20
        assert time.monotonic() - began < 2
    assert "no connection" in probe([Place(url)])[0]


def test_names_that_are_not_resolved_are_not_waited_for(monkeypatch, with_packages):
    """Opening gs:// without a network takes up to a minute."""
    leave = threading.Event()

    def never(*_, **__):
        leave.wait(30)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", never)
    began = time.monotonic()
    rows = {r.name: r for r in list_entries(check=True, timeout_seconds=0.3)}
    elapsed = time.monotonic() - began
    leave.set()
    assert elapsed < 5
    assert rows["era5-arco"].note == "no answer within 0.3 s"
    assert rows["era5-arco"].reachable is False
    assert rows["sample"].reachable is True


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(reach.importlib.util, "find_spec", lambda _: None)
    rows = {row.name: row for row in list_entries()}
    assert rows["era5-arco"].note == "needs the package gcsfs: pip install gcsfs"
    assert rows["era5-arco"].reachable is False
    assert rows["madis"].reachable is None
    assert "jcm" in rows["nature"].note or "simulat" in rows["nature"].note
