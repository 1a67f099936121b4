"""Options of the command line become settings, and these a command and its environment."""

import os
import threading
import time

import pytest

from appa_core.errors import InputError, ResourceError
from appa_core.io.store import ArtifactStore, Recipe
from appa_core.steps import training
from appa_core.steps.step import run_step
from appa_core.steps.worker import TrainingOrder
from appa_core.training.settings import RunSettings
from flows.train import _parse
from tasks.launch import LaunchSettings, in_turn
from tasks.memory import KEEP_MEMORY
from tests.synthetic import tiny_preset


def settings(*options):
    return LaunchSettings.of(_parse(["denoiser", "--preset", "tiny", *options]))


def test_every_option_arrives():
    given = settings(
        *("--nproc", "4", "--nodes", "2", "--rendezvous", "head:29500", "--device", "cuda"),
        *("--micro-batch", "8", "--sharding", "fsdp", "--recompute", "--compile"),
        *("--loader-workers", "3", "--keep-checkpoints", "5", "--stall-seconds", "60"),
    )
    assert given == LaunchSettings(
        nproc=4,
        nodes=2,
        rendezvous="head:29500",
        device="cuda",
        run=RunSettings(
            micro_batch=8,
            sharding="fsdp",
            recompute=True,
            compile=True,
            loader_workers=3,
            keep=5,
        ),
        stall_seconds=60.0,
    )
    assert settings() == LaunchSettings()


def test_the_order_of_a_training_comes_back(tiny_world, tmp_path):
    order = TrainingOrder(
        "denoiser",
        tiny_world.store.url,
        tiny_preset(),
        tiny_world.latents.url,
        tiny_world.latent_statistics,
        seed=3,
        coder="abc",
    )
    run = RunSettings(micro_batch=2, sharding="fsdp", recompute=True)
    order.write(tmp_path / "order.json", run, "cuda")
    assert TrainingOrder.read(tmp_path / "order.json") == (order, run, "cuda")


def option(command, name):
    return command[command.index(name) + 1]


def test_machines_meet_at_the_address_and_one_machine_keeps_to_itself(tmp_path, monkeypatch):
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    many = settings("--nproc", "4", "--nodes", "2", "--rendezvous", "head:29500")
    command = many.command(tmp_path / "order.json")
    assert option(command, "--nproc-per-node") == "4"
    assert option(command, "--nnodes") == "2"
    assert option(command, "--rdzv-endpoint") == "head:29500"
    assert option(command, "--max-restarts") == "0"
    assert "--local-addr" not in command
    assert "GLOO_SOCKET_IFNAME" not in many.environment()
    one = settings("--nproc", "2")
    assert option(one.command(tmp_path / "order.json"), "--local-addr") == "127.0.0.1"
    assert one.environment()["GLOO_SOCKET_IFNAME"] == "lo"


def test_processes_share_the_cores_and_keep_their_memory(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    for name in ("OMP_NUM_THREADS", *KEEP_MEMORY):
        monkeypatch.delenv(name, raising=False)
    environment = settings("--nproc", "4").environment()
    assert environment["OMP_NUM_THREADS"] == "3"
    assert {name: environment[name] for name in KEEP_MEMORY} == dict(KEEP_MEMORY)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert settings("--nproc", "4").environment()["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nodes", "2"], "2 nodes need --rendezvous HOST:PORT"),
        (["--nodes", "2", "--rendezvous", "head"], "got 'head'"),
        (["--nproc", "-1"], "nproc >= 0"),
        (["--nodes", "2", "--rendezvous", "head:1", "--nproc", "0"], "0 trains here alone"),
        (["--micro-batch", "0"], "--micro-batch of 1 or more"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        settings(*options)


def test_machines_take_turns_and_a_single_one_needs_no_lock(tmp_path):
    several = settings("--nodes", "2", "--rendezvous", "head:29500")
    inside, most = [], []

    def work():
        with in_turn(str(tmp_path), several, "train-tiny"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.3)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert most == [1, 1, 1]
    with in_turn(str(tmp_path / "alone"), settings(), "train-tiny"):
        assert not (tmp_path / "alone").exists()


def test_what_another_machine_commits_may_appear_late(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_APPEARS_SECONDS", 30.0)
    monkeypatch.setattr(training, "_LOOK_SECONDS", 0.05)
    store, recipe = ArtifactStore(tmp_path), Recipe("train-demo", 1, {}, {})
    late = threading.Timer(0.5, run_step, (store, recipe, lambda folder: {"at": str(folder)}))
    late.start()
    assert training.await_artifact(store, recipe).key == recipe.key
    late.join()
    monkeypatch.setattr(training, "_APPEARS_SECONDS", 0.2)
    with pytest.raises(ResourceError, match=r"does not show train-other .*one store"):
        training.await_artifact(store, Recipe("train-other", 1, {}, {}))
