"""Several processes (gloo) train what one process does."""

import dataclasses
import json

import pytest
import torch

from appa_core.config.presets import Preset
from appa_core.errors import InputError
from appa_core.io.cube import Cube
from appa_core.io.store import ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors
from appa_core.steps.train_autoencoder import autoencoder_job
from appa_core.steps.train_denoiser import denoiser_job
from appa_core.steps.training import CURVE, WEIGHTS, TrainingJob, run_training
from appa_core.training.parallel import Processes
from appa_core.training.settings import RunSettings
from tests.lessons import SETTINGS, ReversingLesson
from tests.parallel_work import (
    gradients,
    in_processes,
    train,
    train_expecting,
    write_gradients,
)
from tests.synthetic import tiny_preset

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


def with_convolutions():
    """The published autoencoder, small, on the data of `tiny`."""
    content = tiny_preset().hashed()
    training = content["autoencoder"]["training"]
    content["autoencoder"] = {
        "kind": "convolutional",
        "latent_channels": 8,
        "hidden_channels": [8, 12, 16],
        "hidden_blocks": [1, 1, 1],
        "latent_noise": 0.01,
        "training": training,
    }
    return Preset.model_validate(content)


def with_transformer():
    """The published denoiser, small, on the latents of `tiny`."""
    content = tiny_preset().hashed()
    kept = ("states", "masks", "training")
    content["denoiser"] = {k: content["denoiser"][k] for k in kept} | {
        "kind": "diffusion-transformer",
        "time_patch": 2,
        "width": 32,
        "depth": 2,
        "heads": 2,
    }
    return Preset.model_validate(content)


@pytest.fixture(scope="module")
def lessons(tiny_world):
    """Every kind of network with its data, and a small one."""
    states, fitted = Cube.load(tiny_world.states), tiny_world.statistics
    latents, spread = tiny_world.latents, tiny_world.latent_statistics
    return {
        "small": LESSON,
        "patch": autoencoder_job(tiny_preset(), states, fitted).lesson,
        "convolutional": autoencoder_job(
            with_convolutions(), states, tiny_world.statistics
        ).lesson,
        "linear-path": denoiser_job(tiny_preset(), latents, spread).lesson,
        "transformer": denoiser_job(with_transformer(), latents, spread).lesson,
    }


@pytest.fixture(scope="module")
def expected(lessons):
    """Gradients of one process with the whole batch."""
    return {
        f"{name}/{parameter}": gradient
        for name, lesson in lessons.items()
        for parameter, gradient in gradients(Processes(), lesson, RunSettings()).items()
    }


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_two_processes_have_the_gradients_of_one_with_twice_the_batch(
    tmp_path, lessons, expected, sharding
):
    run = RunSettings(sharding=sharding)
    in_processes(2, write_gradients, lessons, run, str(tmp_path / "two"))
    two = load_tensors(tmp_path / "two")
    assert set(two) == set(expected)
    for name, one in expected.items():
        torch.testing.assert_close(
            two[name], one, rtol=1e-4, atol=1e-5 * one.abs().max().item() + 1e-9, msg=name
        )


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


@pytest.mark.parametrize(
    ("world", "sharding", "dropout"), [(2, "ddp", 0.5), (3, "ddp", 0.0), (2, "fsdp", 0.5)]
)
def test_a_resumed_training_of_several_processes_is_the_same_bit_by_bit(
    tmp_path, world, sharding, dropout
):
    run = RunSettings(sharding=sharding)
    task = dataclasses.replace(job(), lesson=dataclasses.replace(LESSON, dropout=dropout))
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


def test_the_samples_to_blame_are_named_whichever_process_has_them(tmp_path):
    """Of 24 samples, the second of two processes has 12 to 23, by fours: 17 is in 16 to 19."""
    lesson = dataclasses.replace(LESSON, poison=2, poisoned=17)
    task = dataclasses.replace(job(), lesson=lesson)
    message = r"iteration 2, with rows \[16, 17, 18, 19\] of iteration 2; the last checkpoint"
    urls = [str(tmp_path / "store")] * 2
    in_processes(2, train_expecting, urls, task, message)


def test_processes_that_see_other_checkpoints_refuse_to_go_on(tmp_path):
    task = job()
    urls = [str(tmp_path / name) for name in ("one", "two")]
    for url, iterations in zip(urls, (4, 8), strict=True):
        asked = iter(range(1, 100))
        stop = lambda asked=asked, n=iterations: next(asked) >= n
        assert run_training(ArtifactStore(url), task, should_stop=stop) is None
    in_processes(2, train_expecting, urls, task, r"different iterations: \[4, 8\].*--store")
