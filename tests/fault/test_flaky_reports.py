"""Reports on a network that fails now and then: all come, or an error says which did not."""

from functools import partial

import pandas as pd
import pytest

from appa_core.errors import DataError
from appa_core.io.readers.files import read_file
from appa_core.io.retry import Retry
from tests.flaky_server import FlakyServer, Plan

pytest.importorskip("aiohttp", reason="aiohttp is not installed: no https sources")

#: A tenth of the requests.
TENTH = Plan(seed=1, unavailable=0.04, cut=0.03, slow=0.03, slow_seconds=0.2)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    retry = partial(Retry, sleep=lambda _: None)
    monkeypatch.setattr("appa_core.io.readers.files.Retry", retry)


@pytest.fixture
def folder(tmp_path):
    for number in range(40):
        rows = pd.DataFrame({"value": range(number, number + 200)})
        rows.to_csv(tmp_path / f"{number}.csv", index=False)
    return tmp_path


def test_a_tenth_of_requests_fails_and_nothing_is_lost(folder):
    with FlakyServer(folder, TENTH) as server:
        for number in range(40):
            found = read_file(f"{server.url}/{number}.csv")
            assert found.data == (folder / f"{number}.csv").read_bytes()
        assert min(server.faults[kind] for kind in ("unavailable", "cut", "slow")) > 0
        assert sum(server.requests.values()) >= 40 + server.faults["unavailable"]


def test_what_never_comes_is_named(folder):
    plan = Plan(unavailable=1.0, in_a_row=99, only="7.csv")
    with FlakyServer(folder, plan) as server, pytest.raises(DataError, match=r"/7\.csv"):
        read_file(f"{server.url}/7.csv")
