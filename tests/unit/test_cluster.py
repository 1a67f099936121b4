"""Running units of work: here, on an embedded cluster, on one that was started by hand."""

import os
import signal
import time
from threading import Thread

import pytest

from appa_core.errors import DataError, InputError, ResourceError
from tasks.cluster import ClusterSettings, open_client, run_units
from tests.dask_units import HandStarted, fails_at_three, process, square, touch_and_wait

EMBEDDED = ClusterSettings(workers=2)


@pytest.mark.parametrize("settings", [ClusterSettings(), EMBEDDED], ids=["here", "embedded"])
def test_results_come_in_order_of_the_units(settings):
    assert run_units(square, range(12), settings, "squares") == [x * x for x in range(12)]


@pytest.mark.parametrize("settings", [ClusterSettings(), EMBEDDED], ids=["here", "embedded"])
def test_progress_is_shown(settings, capsys):
    run_units(square, range(5), settings, "squares")
    shown = capsys.readouterr().err
    assert "squares: 100%" in shown
    assert "5/5" in shown


def test_memory_of_workers_is_bounded():
    with open_client(ClusterSettings(workers=1, memory="768MiB")) as client:
        (worker,) = client.scheduler_info()["workers"].values()
    assert worker["memory_limit"] == 768 << 20
    assert worker["nthreads"] == 1


def test_work_is_shared_by_other_processes():
    workers = set(run_units(process, range(8), EMBEDDED, "processes"))
    assert os.getpid() not in workers
    assert 1 <= len(workers) <= 2


def test_the_environment_stays_what_it_was(monkeypatch):
    """Dask's own settings for workers must not reach the trainings that come after them."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = dict(os.environ)
    run_units(square, range(2), EMBEDDED, "squares")
    assert dict(os.environ) == before


@pytest.mark.parametrize("count", [0, 1])
def test_little_work_starts_no_cluster(monkeypatch, count):
    monkeypatch.setattr("tasks.cluster.LocalCluster", None)
    assert run_units(square, range(count), EMBEDDED, "squares") == [0] * count


@pytest.mark.parametrize("settings", [ClusterSettings(), EMBEDDED], ids=["here", "embedded"])
def test_errors_of_a_unit_are_those_of_the_run(settings):
    with pytest.raises(DataError, match="three is wrong"):
        run_units(fails_at_three, range(12), settings, "units")


def test_nobody_at_the_address(monkeypatch):
    monkeypatch.setattr("tasks.cluster._CONNECT_SECONDS", 1)
    with pytest.raises(ResourceError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run_units(square, range(3), ClusterSettings("tcp://127.0.0.1:9"), "squares")


def test_a_negative_number_of_workers_is_refused():
    with pytest.raises(InputError, match="0 or more workers, got -1"):
        ClusterSettings(workers=-1)


def test_a_worker_that_is_killed_gives_its_unit_to_another(tmp_path):
    paths = [tmp_path / str(i) for i in range(6)]

    def kill_the_worker_of_the_first():
        deadline = time.monotonic() + 60
        while not (paths[0].exists() and paths[0].read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(int(paths[0].read_text()), signal.SIGKILL)

    cluster = HandStarted(tmp_path)
    try:
        Thread(target=kill_the_worker_of_the_first, daemon=True).start()
        done = run_units(touch_and_wait, paths, cluster.settings, "units")
    finally:
        cluster.stop()
    assert done == [p.name for p in paths]
