"""`python -m flows.train` itself: asked to end, and on two machines that see one store."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
import yaml

from appa_core.config.presets import load_preset
from appa_core.errors import STOPPED_STATUS
from appa_core.io.store import ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors
from appa_core.steps.training import WEIGHTS, TrainingJob, run_training
from appa_core.training.settings import RunSettings
from tests.lessons import SETTINGS, ReversingLesson

pytestmark = pytest.mark.slow


class Command:
    """Trains the autoencoder of `tiny` for so many iterations, on the sample that ships."""

    def __init__(self, folder, iterations):
        self.folder = folder
        content = load_preset("tiny").hashed()
        content["autoencoder"]["training"] |= {"iterations": iterations, "checkpoint_every": 50}
        (folder / "preset.yaml").write_text(yaml.safe_dump(content), "utf-8")

    def start(self, *options, home="home"):
        command = [sys.executable, "-m", "flows.train", "autoencoder", "--workers", "0"]
        given = {"preset": "preset.yaml", "store": "store", "logs": "logs"}
        for name, value in given.items():
            command += [f"--{name}", str(self.folder / value)]
        return subprocess.Popen(
            [*command, "--source", "sample", *options],
            env=os.environ | {"PREFECT_HOME": str(self.folder / home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def artifacts(self, step):
        return ArtifactStore(self.folder / "store").artifacts(step, lenient=True)


def test_a_request_to_end_writes_a_checkpoint_and_the_same_command_continues(tmp_path):
    command = Command(tmp_path, iterations=400)
    process = command.start()
    end = time.monotonic() + 300
    while not command.artifacts("train-autoencoder-checkpoint"):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == STOPPED_STATUS, err
    assert "stopped: training has stopped at a checkpoint; the same command continues" in err
    (last, *_) = sorted(
        (a.summary["iteration"] for a in command.artifacts("train-autoencoder-checkpoint")),
        reverse=True,
    )
    process = command.start()
    _, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    assert f"| {last + 1}/400" in err or f"| {last}/400" in err  # the bar goes on from there
    assert len(command.artifacts("train-autoencoder")) == 1


def test_two_machines_that_see_one_store(tmp_path):
    """One ingests while the other waits, then both train."""
    command = Command(tmp_path, iterations=60)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes = [
        command.start("--nodes", "2", "--rendezvous", address, home=f"home-{number}")
        for number in range(2)
    ]
    for process in processes:
        out, err = process.communicate(timeout=500)
        assert process.returncode == 0, err
        assert "the autoencoder of tiny is in" in out
    (trained,) = command.artifacts("train-autoencoder")
    assert trained.summary["iterations"] == 60


@pytest.mark.parametrize("recompute", [False, True])
def test_a_compiled_network_learns_the_same(tmp_path, recompute):
    """To rounding: kernels that the compiler joins round less often."""
    settings = dataclasses.replace(SETTINGS, kind="adamw")
    job = TrainingJob(Recipe("train-demo", 1, {}, {}, seed=3), ReversingLesson(), settings, 4)
    weights = []
    for name, compiled in (("plain", False), ("compiled", True)):
        run = RunSettings(compile=compiled, recompute=recompute, micro_batch=8)
        trained = run_training(ArtifactStore(tmp_path / name), job, run=run)
        with trained.local() as folder:
            weights.append(load_tensors(folder / WEIGHTS))
    for name, plain in weights[0].items():
        torch.testing.assert_close(weights[1][name], plain, rtol=1e-4, atol=1e-5)
