"""A cluster is never handed more than it can do soon, and one that has died is noticed."""

import time
from threading import Thread

import pytest

from appa_core.errors import InputError, ResourceError
from tasks import cluster
from tasks.cluster import ClusterSettings, open_client, run_on, run_units
from tests.dask_units import HandStarted, square, touch_and_wait


class Counting:
    """A client that counts what it has handed out and not yet got back."""

    def __init__(self, client):
        self._client = client
        self.ahead, self.most, self.done = 0, 0, 0

    def __getattr__(self, name):
        return getattr(self._client, name)

    def submit(self, *arguments, **options):
        self.ahead += 1
        self.most = max(self.most, self.ahead - self.done)
        return self._client.submit(*arguments, **options)

    def count(self):
        self.done += 1


def test_two_units_for_each_thread_are_in_flight_however_many_there_are():
    with open_client(ClusterSettings(workers=2)) as client:
        counting = Counting(client)
        assert run_on(counting, square, list(range(40)), counting.count) == [
            x * x for x in range(40)
        ]
        assert counting.most == 4


def lost_after(calls):
    """A lock that is lost after so many looks at it."""
    left = [None] * calls

    def check():
        if not left:
            raise InputError("the lock was taken over")
        left.pop()

    return check


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_is_begun_after_the_right_to_write_is_lost(tmp_path, workers):
    paths = [tmp_path / str(i) for i in range(1, 13)]
    with pytest.raises(InputError, match="taken over"):
        run_units(touch_and_wait, paths, ClusterSettings(workers=workers), "units", lost_after(5))
    assert len(list(tmp_path.iterdir())) <= 5


@pytest.mark.parametrize("what", ["workers", "scheduler"])
def test_a_cluster_that_has_died_is_not_waited_for(tmp_path, monkeypatch, what):
    """Dask by itself waits for ever."""
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.5)
    monkeypatch.setattr(cluster, "_ALONE_SECONDS", 1.0)
    paths = [tmp_path / str(i) for i in range(6)]
    hand = HandStarted(tmp_path)

    def kill():
        while not paths[0].exists():
            time.sleep(0.05)
        for process in hand.workers if what == "workers" else [hand.scheduler]:
            process.kill()

    try:
        Thread(target=kill, daemon=True).start()
        with pytest.raises(ResourceError, match="goes on with the blocks that are not done"):
            run_units(touch_and_wait, paths, hand.settings, "units")
    finally:
        hand.stop()
