"""Ingestion on clusters: the same bytes from any number of workers, whatever happens to them."""

import os
import signal
import time
from threading import Thread

import pandas as pd
import pytest
from prefect.testing.utilities import prefect_test_harness

from appa_core.errors import DataError, InputError
from appa_core.io.cube import Cube
from appa_core.io.datasets import write_zarr
from flows.ingest import ingest
from tasks.cluster import ClusterSettings
from tests.dask_units import HandStarted
from tests.synthetic import synthetic_states, tiny_preset

START, END = pd.Timestamp("2012-01-01"), pd.Timestamp("2012-01-31")
PRESET = tiny_preset().model_copy(
    update={"data": tiny_preset().data.model_copy(update={"block_states": 8})}
)


@pytest.fixture(scope="module", autouse=True)
def prefect():
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "waves.zarr"
    write_zarr(synthetic_states(PRESET.state.build(), "2012-01-01", 30), path)
    return str(path)


@pytest.fixture(scope="module")
def expected(source, tmp_path_factory):
    """Digest of what one process makes."""
    store = tmp_path_factory.mktemp("alone")
    return Cube.load(ingest(PRESET, str(store), source, START, END)).digest()


def test_two_workers_make_what_one_process_makes(source, expected, tmp_path):
    url = ingest(PRESET, str(tmp_path), source, START, END, cluster=ClusterSettings(workers=2))
    assert Cube.load(url).digest() == expected


@pytest.mark.parametrize("killed", [False, True])
def test_hand_started_workers_one_of_them_killed(source, expected, tmp_path, killed):
    cluster = HandStarted(tmp_path)

    def kill_one():
        while not list(tmp_path.glob("store/states/*/ledger/*/*.json")):
            time.sleep(0.01)
        os.kill(cluster.workers[0].pid, signal.SIGKILL)

    try:
        if killed:
            Thread(target=kill_one, daemon=True).start()
        settings = cluster.settings
        url = ingest(PRESET, str(tmp_path / "store"), source, START, END, cluster=settings)
        assert (cluster.workers[0].poll() is not None) == killed
    finally:
        cluster.stop()
    assert Cube.load(url).digest() == expected


def test_a_second_run_does_nothing(source, expected, tmp_path, monkeypatch):
    ingest(PRESET, str(tmp_path), source, START, END)
    monkeypatch.setattr("appa_core.steps.ingest.ingest_unit", None)
    assert Cube.load(ingest(PRESET, str(tmp_path), source, START, END)).digest() == expected


def test_bad_requests_are_refused_with_what_to_do(source, tmp_path):
    with pytest.raises(InputError, match="give --end"):
        ingest(PRESET, str(tmp_path), source, START)
    with pytest.raises(InputError, match="no state at 2012-01-31T00:00"):
        ingest(PRESET, str(tmp_path), source, START, END + pd.Timedelta(days=1))


def test_errors_of_workers_reach_the_user(tmp_path):
    states = synthetic_states(PRESET.state.build(), "2012-01-01", 30)
    states["temperature"][60] = float("nan")
    write_zarr(states, tmp_path / "broken.zarr")
    with pytest.raises(DataError, match=r"temperature.* 2012-01-16T00:00"):
        ingest(
            PRESET,
            str(tmp_path / "store"),
            str(tmp_path / "broken.zarr"),
            START,
            END,
            cluster=ClusterSettings(workers=2),
        )
