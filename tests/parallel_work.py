"""What the processes of tests/unit/test_parallel.py do."""

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

from appa_core.errors import AppaError
from appa_core.io.store import ArtifactStore
from appa_core.io.tensors import save_tensors
from appa_core.steps.training import run_training
from appa_core.training.parallel import Processes, whole
from appa_core.training.settings import RunSettings


def in_processes(world, work, *arguments):
    """Call work(processes, *arguments) in so many processes that know each other."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(_enter, (world, port, work, arguments), nprocs=world)


def _enter(rank, world, port, work, arguments):
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    torch.set_num_threads(1)
    processes = Processes.join("cpu", local_rank=0)
    work(processes, *arguments)
    processes.leave()


def gradients(processes, lesson, run):
    """Gradients, by name, of the first batch."""
    network = lesson.network()
    placed = processes.place(network, run)
    batch = lesson.batch(0, processes.share(lesson.batch_size))
    lesson.loss(placed, batch).backward()
    return {n: whole(p.grad).clone() for n, p in network.named_parameters()}


def write_gradients(processes, lessons, run, path):
    """Gradients of the first batch of lessons by name, into a file."""
    found = {
        f"{name}/{parameter}": gradient
        for name, lesson in lessons.items()
        for parameter, gradient in gradients(processes, lesson, run).items()
    }
    if processes.is_first:
        save_tensors(Path(path), found)


def train_expecting(processes, urls, job, message):
    """A training in a store for each process, which every one refuses with a message."""
    with pytest.raises(AppaError, match=message):
        run_training(
            ArtifactStore(urls[processes.rank]),
            job,
            processes=processes,
            run=RunSettings(micro_batch=4),
        )


def train(processes, url, job, run, stop_after):
    """A training, asked to stop after so many iterations."""
    asked = iter(range(1000))
    run_training(
        ArtifactStore(url),
        job,
        run=run or RunSettings(),
        processes=processes,
        should_stop=lambda: next(asked) + 1 >= stop_after,
    )
