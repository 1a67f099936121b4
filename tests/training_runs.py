"""Short trainings of several processes, for tests that disturb them."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time

import psutil

from appa_core.io.store import ArtifactStore
from tests.synthetic import tiny_preset

ITERATIONS, EVERY = 60, 4


def training_preset(**changes):
    content = tiny_preset().hashed()
    content["autoencoder"]["training"] |= {
        "iterations": ITERATIONS,
        "checkpoint_every": EVERY,
    } | changes
    return content


class Run:
    """A store with what a training needs, and the training as a process."""

    def __init__(self, world, folder, nproc=2, preset=None):
        self.store = folder / "store"
        shutil.copytree(world.store.url, self.store)
        for name in ("train-autoencoder", "train-autoencoder-checkpoint"):
            shutil.rmtree(self.store / name, ignore_errors=True)
        self.order = folder / "order.json"
        manifest = world.statistics.manifest
        content = {
            "store": str(self.store),
            "preset": preset or training_preset(),
            "states": world.states.replace(world.store.url, str(self.store)),
            "statistics": [manifest["step"], manifest["key"]],
            "nproc": nproc,
        }
        self.order.write_text(json.dumps(content), "utf-8")

    def order_also(self, **settings):
        """Change what is in the order."""
        content = json.loads(self.order.read_text("utf-8")) | settings
        self.order.write_text(json.dumps(content), "utf-8")

    def start(self):
        return subprocess.Popen(
            [sys.executable, "-m", "tests.training_script", str(self.order)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},  # one rounding, whoever shares a core
        )

    def finish(self):
        """Run to the end; the digest of the weights, and the first iteration of this run."""
        process = self.start()
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        lines = out.split()
        return lines[-1], int(lines[0])

    @property
    def checkpoint(self):
        found = ArtifactStore(self.store).artifacts("train-autoencoder-checkpoint", lenient=True)
        return max((a.summary["iteration"] for a in found), default=0)


def read_until(process, iteration):
    """Wait until an iteration is reported; False if the training ends before."""
    return any(line.strip() == str(iteration) for line in process.stdout)


def descendants(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def trainers(process):
    """The training processes themselves, by rank, and what else the launcher has started."""
    ranks, others = {}, []
    for each in descendants(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            is_trainer = "appa_core.steps.worker" in each.cmdline() and "RANK" in each.environ()
            is_reader = each.parent() is not None and "RANK" in each.parent().environ()
            if is_trainer and not is_reader:
                ranks[int(each.environ()["RANK"])] = each
            else:
                others.append(each)
    return [ranks[rank] for rank in sorted(ranks)], others


def kill_all(process):
    """Kill the launcher, and wait until what it started is gone as well."""
    others = [p.pid for p in descendants(process)]
    process.kill()
    process.communicate(timeout=120)
    assert_gone(others)


def assert_gone(pids):
    """No process of a killed training is left, within some seconds."""
    end = time.monotonic() + 20
    while left := [p for p in pids if psutil.pid_exists(p) and running(p)]:
        assert time.monotonic() < end, f"still running: {left}"
        time.sleep(0.1)


def running(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False
