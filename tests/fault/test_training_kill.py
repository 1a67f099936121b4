"""A training of several processes that is killed anywhere ends with the same bytes."""

import contextlib
import os
import random
import signal
import socket
import time

import psutil
import pytest

from appa_core.errors import EXIT_STATUS, STOPPED_STATUS
from tests.training_runs import (
    EVERY,
    ITERATIONS,
    Run,
    assert_gone,
    descendants,
    kill_all,
    read_until,
    training_preset,
)


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tiny_world, undisturbed, tmp_path, kills):
    """The launcher, the agent or a training process dies; at most an interval is done again."""
    run, rng, done = Run(tiny_world, tmp_path), random.Random(kills), 0
    while done < kills:
        target = min(run.checkpoint + rng.randint(1, EVERY + 2), ITERATIONS - EVERY)
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
    kill_all(process)
    run.order_also(nproc=0)
    _, first = run.finish()
    assert first in {9, 13}  # it may have reached another checkpoint before it died


def test_two_nodes_train_what_two_processes_of_one_do(tiny_world, undisturbed, tmp_path):
    """Two launchers that meet at an address, as on two machines."""
    run = Run(tiny_world, tmp_path, nproc=1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    run.order_also(nodes=2, rendezvous=address)
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
