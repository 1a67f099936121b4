"""Several processes (gloo) train what one process does."""

import dataclasses
import json

import pytest
import torch

from appa_core.errors import InputError
from appa_core.io.store import ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors
from appa_core.steps.training import CURVE, WEIGHTS, TrainingJob, run_training
from appa_core.training.parallel import Processes
from appa_core.training.settings import RunSettings
from tests.lessons import SETTINGS, ReversingLesson
from tests.parallel_work import gradients, in_processes, train, write_gradients

NEVER = 1000
LESSON = ReversingLesson(batch_size=24)


def job(**settings):
    changed = dataclasses.replace(SETTINGS, **settings)
    recipe = Recipe("train-demo", 1, {"settings": dataclasses.asdict(changed)}, {}, seed=3)
    return TrainingJob(recipe, LESSON, changed, 4)


def result(url, task):
    artifact = ArtifactStore(url).find(task.recipe)
    with artifact.local() as folder:
        curve = json.loads((folder / CURVE).read_text("utf-8"))
        return artifact.digest, load_tensors(folder / WEIGHTS), curve["losses"]


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_two_processes_have_the_gradients_of_one_with_twice_the_batch(tmp_path, sharding):
    run = RunSettings(sharding=sharding)
    in_processes(2, write_gradients, LESSON, run, str(tmp_path / "two"))
    two, one = load_tensors(tmp_path / "two"), gradients(Processes(), LESSON, RunSettings())
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_two_processes_learn_what_one_does(tmp_path, sharding, kind):
    task = job(kind=kind)
    run_training(ArtifactStore(tmp_path / "one"), task)
    run = RunSettings(sharding=sharding, micro_batch=4)
    in_processes(2, train, str(tmp_path / "two"), task, run, NEVER)
    (_, ours, losses), (_, theirs, expected) = (
        result(tmp_path / name, task) for name in ("two", "one")
    )
    # Muon orthogonalises in bfloat16, so that another order of sums shows
    loose = 100 if (kind, sharding) == ("muon", "fsdp") else 1
    torch.testing.assert_close(
        torch.tensor(losses), torch.tensor(expected), rtol=1e-5 * loose, atol=0
    )
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4 * loose, atol=1e-5 * loose)


@pytest.mark.parametrize(("world", "sharding"), [(2, "ddp"), (3, "ddp"), (2, "fsdp")])
def test_a_resumed_training_of_several_processes_is_the_same_bit_by_bit(tmp_path, world, sharding):
    run, task = RunSettings(sharding=sharding), job()
    in_processes(world, train, str(tmp_path / "calm"), task, run, NEVER)
    for stop_after in (5, 1, NEVER):
        in_processes(world, train, str(tmp_path / "stopped"), task, run, stop_after)
    calm, stopped = (result(tmp_path / name, task) for name in ("calm", "stopped"))
    assert stopped[0] == calm[0]
    assert stopped[2] == calm[2]


@pytest.mark.parametrize(("first", "then"), [((2, "ddp"), 1), ((2, "fsdp"), 3), ((1, "ddp"), 2)])
def test_a_training_continues_on_another_number_of_processes(tmp_path, first, then):
    task = job(kind="adamw")
    run_training(ArtifactStore(tmp_path / "one"), task)
    url = str(tmp_path / "moved")
    in_processes(first[0], train, url, task, RunSettings(sharding=first[1]), 6)
    in_processes(then, train, url, task, None, NEVER)
    (_, ours, losses), (_, theirs, expected) = (
        result(tmp_path / name, task) for name in ("moved", "one")
    )
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected), rtol=1e-5, atol=0)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-5)


def test_a_batch_that_processes_cannot_share_is_refused(tmp_path):
    with pytest.raises(InputError, match="batch of 24 cannot be shared by 7 processes"):
        run_training(ArtifactStore(tmp_path), job(), processes=Processes(0, 7))
