"""A training of several processes that is killed anywhere ends with the same bytes."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from appa_core.errors import EXIT_STATUS, STOPPED_STATUS
from appa_core.io.store import ArtifactStore
from tests.synthetic import tiny_preset

ITERATIONS, EVERY = 40, 4


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

    def start(self):
        return subprocess.Popen(
            [sys.executable, "-m", "tests.training_script", str(self.order)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
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


@pytest.fixture(scope="module")
def undisturbed(tiny_world, tmp_path_factory):
    return Run(tiny_world, tmp_path_factory.mktemp("calm")).finish()[0]


def read_until(process, iteration):
    """Wait until an iteration is reported; False if the training ends before."""
    return any(line.strip() == str(iteration) for line in process.stdout)


def descendants(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tiny_world, undisturbed, tmp_path, kills):
    """The launcher, the agent or a training process dies; at most an interval is done again."""
    run, rng, done = Run(tiny_world, tmp_path), random.Random(kills), 0
    while done < kills:
        target = min(run.checkpoint + rng.randint(1, EVERY + 2), ITERATIONS - 1)
        process = run.start()
        if not read_until(process, target):
            break
        time.sleep(rng.random() * 0.05)
        victims = [psutil.Process(process.pid), *descendants(process)]
        others = [p.pid for p in victims]
        with contextlib.suppress(psutil.NoSuchProcess):
            rng.choice(victims).kill()
        process.communicate(timeout=120)
        done += 1
        assert_gone(others)
        assert run.checkpoint >= target - EVERY
    digest, first = run.finish()
    assert done == kills
    assert first <= run.checkpoint
    assert digest == undisturbed


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


def test_a_request_to_end_writes_a_checkpoint_of_that_moment(tiny_world, undisturbed, tmp_path):
    run = Run(tiny_world, tmp_path)
    process = run.start()
    assert read_until(process, 6)
    os.kill(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == STOPPED_STATUS, err
    last = int(out.split()[-1]) if out.split() else 6
    assert run.checkpoint == last
    digest, first = run.finish()
    assert first == last + 1
    assert digest == undisturbed


def test_another_number_of_processes_continues(tiny_world, undisturbed, tmp_path):
    run = Run(tiny_world, tmp_path)
    process = run.start()
    assert read_until(process, 9)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=120)
    content = json.loads(run.order.read_text("utf-8")) | {"nproc": 0}
    run.order.write_text(json.dumps(content), "utf-8")
    _, first = run.finish()
    assert first in {9, 13}  # it may have reached another checkpoint before it died


def test_two_nodes_train_what_two_processes_of_one_do(tiny_world, undisturbed, tmp_path):
    """Two launchers that meet at an address, as on two machines."""
    run = Run(tiny_world, tmp_path, nproc=1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    content = json.loads(run.order.read_text("utf-8"))
    content |= {"nodes": 2, "rendezvous": address}
    run.order.write_text(json.dumps(content), "utf-8")
    processes = [run.start(), run.start()]
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert out.split()[-1] == undisturbed


def test_what_goes_wrong_in_a_process_is_said_by_the_launcher(tiny_world, tmp_path):
    run = Run(tiny_world, tmp_path, preset=training_preset(batch=9))
    process = run.start()
    _, err = process.communicate(timeout=120)
    assert process.returncode == EXIT_STATUS
    assert "a batch of 9 cannot be shared by 2 processes" in err
    assert "Traceback" not in err
