"""Units of work for tests of clusters, in a module that workers can import."""

import json
import os
import subprocess
import sys
import time

from appa_core.errors import DataError
from tasks.cluster import ClusterSettings


def square(x):
    return x * x


def fails_at_three(x):
    if x == 3:
        raise DataError("three is wrong")
    return x


def process(_):
    return os.getpid()


def touch_and_wait(path):
    """Notes its process; the unit "0" takes long the first time."""
    first = not path.exists()
    path.write_text(str(os.getpid()))
    time.sleep(20 if first and path.name == "0" else 0.1)
    return path.name


class HandStarted:
    """A scheduler and workers, started as one types them."""

    def __init__(self, folder, workers=2):
        self._file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        while not self._file.exists():
            time.sleep(0.1)
        self.workers = [
            self._start("worker", "--nthreads", "1", "--no-nanny") for _ in range(workers)
        ]

    def _start(self, *arguments):
        common = ["--scheduler-file", str(self._file), "--no-dashboard"]
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments, *common],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def settings(self):
        while True:
            try:
                return ClusterSettings(json.loads(self._file.read_text())["address"])
            except ValueError:
                time.sleep(0.1)

    def stop(self):
        for running in (self.scheduler, *self.workers):
            running.kill()
            running.wait()
