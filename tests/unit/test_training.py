import dataclasses
import json
import logging

import pytest
import torch

from appa_core.errors import InputError, NumericalError
from appa_core.io.store import ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors
from appa_core.steps.train_denoiser import denoiser_job
from appa_core.steps.training import CURVE, WEIGHTS, TrainingJob, run_training
from appa_core.training.lesson import shuffled
from appa_core.training.settings import RunSettings
from appa_core.training.trainer import Trainer
from tests.lessons import SETTINGS, ReversingLesson
from tests.synthetic import tiny_preset


def job(lesson=None, patience=None, **settings):
    changed = dataclasses.replace(SETTINGS, **settings)
    recipe = Recipe("train-demo", 1, {"settings": dataclasses.asdict(changed)}, {}, seed=3)
    return TrainingJob(recipe, lesson or ReversingLesson(), changed, 4, patience)


def read(artifact):
    with artifact.local() as folder:
        return load_tensors(folder / WEIGHTS), json.loads((folder / CURVE).read_text("utf-8"))


def stopping_after(count):
    """Asks for a stop once so many iterations are done."""
    asked = iter(range(1000))
    return lambda: next(asked) + 1 >= count


def test_training_lowers_the_loss(tmp_path):
    trained = run_training(ArtifactStore(tmp_path), job(learning_rate=0.05))
    _, curve = read(trained)
    assert len(curve["losses"]) == 12
    assert [i for i, _ in curve["validations"]] == [4, 8, 12]
    assert trained.summary["validation"]["error"] < curve["validations"][0][1]["error"]


class KilledError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_killed_training_ends_with_the_same_bytes(tmp_path, kind, precision, dropout):
    task = job(ReversingLesson(dropout=dropout), kind=kind, precision=precision)
    undisturbed = run_training(ArtifactStore(tmp_path / "a"), task)
    store = ArtifactStore(tmp_path / "b")
    for stop in (2, 5, 10):

        def die(progress, stop=stop):
            if progress.iteration == stop:
                raise KilledError

        with pytest.raises(KilledError):
            run_training(store, task, observe=die)
    seen = []
    resumed = run_training(store, task, observe=lambda p: seen.append(p.iteration))
    assert seen == [9, 10, 11, 12]
    assert resumed.digest == undisturbed.digest
    (weights, curve), (expected, unbroken) = read(resumed), read(undisturbed)
    assert curve == unbroken  # losses and validations, to the last bit
    assert len(curve["losses"]) == 12
    assert all(torch.equal(weights[n], w) for n, w in expected.items())


@pytest.mark.parametrize("after", [1, 6, 8])
def test_a_request_to_stop_leaves_a_checkpoint_of_that_moment(tmp_path, after):
    undisturbed = run_training(ArtifactStore(tmp_path / "a"), job())
    store = ArtifactStore(tmp_path / "b")
    assert run_training(store, job(), should_stop=stopping_after(after)) is None
    seen = []
    resumed = run_training(store, job(), observe=lambda p: seen.append(p.iteration))
    assert seen[0] == after + 1
    assert resumed.digest == undisturbed.digest


@pytest.mark.parametrize(("keep", "left"), [(1, [12]), (2, [8, 12]), (9, [4, 8, 12])])
def test_the_last_checkpoints_are_kept_and_older_ones_removed(tmp_path, keep, left):
    store = ArtifactStore(tmp_path)
    run_training(store, job(), run=RunSettings(keep=keep))
    kept = store.artifacts("train-demo-checkpoint")
    assert sorted(a.summary["iteration"] for a in kept) == left
    for artifact in kept:
        assert set(artifact.verify().manifest["files"]) == {"checkpoint.safetensors"}


@pytest.mark.parametrize("name", ["data/checkpoint.safetensors", "manifest.json"])
def test_a_damaged_checkpoint_is_passed_over_loudly(tmp_path, caplog, name):
    undisturbed = run_training(ArtifactStore(tmp_path / "a"), job())
    store = ArtifactStore(tmp_path / "b")
    assert run_training(store, job(), should_stop=stopping_after(10)) is None
    (last,) = [a for a in store.artifacts("train-demo-checkpoint") if a.summary["iteration"] == 10]
    path = tmp_path / "b" / "train-demo-checkpoint" / last.key / name
    path.write_bytes(path.read_bytes()[:-9])
    seen = []
    with caplog.at_level(logging.WARNING):
        resumed = run_training(store, job(), observe=lambda p: seen.append(p.iteration))
    assert "damaged" in caplog.text
    assert seen[0] == 9
    assert resumed.digest == undisturbed.digest


def test_a_loss_that_is_not_finite_names_its_batch_and_leaves_the_last_checkpoint(tmp_path):
    store = ArtifactStore(tmp_path)
    with pytest.raises(NumericalError, match=r"iteration 6, with rows .* of iteration 6"):
        run_training(store, job(ReversingLesson(poison=6)))
    (last,) = store.artifacts("train-demo-checkpoint")
    assert last.summary["iteration"] == 4


def test_the_micro_batch_to_blame_is_named(tmp_path):
    lesson = ReversingLesson(poison=6, poisoned=9)
    with pytest.raises(NumericalError, match=r"with rows \[8, 9, 10, 11\] of iteration 6"):
        run_training(ArtifactStore(tmp_path), job(lesson), run=RunSettings(micro_batch=4))


def test_weights_stay_as_they_were_when_the_loss_is_not_finite():
    lesson = ReversingLesson(poison=0)
    trainer = Trainer(lesson.network(), SETTINGS)
    before = {n: p.clone() for n, p in trainer.network.named_parameters()}
    with pytest.raises(NumericalError, match="iteration 0"):
        trainer.step([lesson.batch(0, range(4))], lesson.loss)
    assert all(torch.equal(p, before[n]) for n, p in trainer.network.named_parameters())
    assert all(p.grad is None for p in trainer.network.parameters())


def test_micro_batches_and_recomputation_change_nothing_but_rounding(tmp_path):
    plain, _ = read(run_training(ArtifactStore(tmp_path / "a"), job()))
    run = RunSettings(micro_batch=4, recompute=True)
    parts, _ = read(run_training(ArtifactStore(tmp_path / "b"), job(), run=run))
    for name in plain:
        torch.testing.assert_close(parts[name], plain[name], rtol=1e-4, atol=1e-5)


def test_reading_ahead_in_other_processes_changes_nothing(tmp_path):
    plain = run_training(ArtifactStore(tmp_path / "a"), job())
    run = RunSettings(loader_workers=1)
    assert run_training(ArtifactStore(tmp_path / "b"), job(), run=run).digest == plain.digest


def test_a_batch_that_cannot_be_shared_out_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"batch of 16 .* micro-batches of 3.*divides it"):
        run_training(ArtifactStore(tmp_path), job(), run=RunSettings(micro_batch=3))


class Worsening(ReversingLesson):
    """Scores that rise from the second validation on."""

    def errors(self, network, batch):
        drift = network.blocks[0].weight - self.network().blocks[0].weight
        return (drift.abs().sum() - 0.05).abs().expand(len(batch["x"]), 1)


def test_training_ends_early_and_keeps_the_best_weights(tmp_path):
    task = job(Worsening(), patience=1)
    trained = run_training(ArtifactStore(tmp_path / "a"), task)
    weights, curve = read(trained)
    scores = [s["error"] for _, s in curve["validations"]]
    assert trained.summary["iterations"] < 12
    assert scores[-1] > min(scores)
    short = job(Worsening(), iterations=12)
    best = curve["validations"][scores.index(min(scores))][0]
    trainer = Trainer(short.lesson.network(), short.settings, seed=3)
    for i in range(best):
        trainer.step([short.lesson.batch(i, range(16))], short.lesson.loss)
    assert all(torch.equal(weights[n], w) for n, w in trainer.whole_average().items())
    store = ArtifactStore(tmp_path / "b")
    assert run_training(store, task, should_stop=stopping_after(5)) is None
    assert run_training(store, task).digest == trained.digest


def test_known_states_carry_the_noise_that_is_told(tiny_world):
    preset = tiny_preset()
    masks = preset.denoiser.masks.model_copy(update={"noise": 0.4})
    noisy = preset.model_copy(
        update={"denoiser": preset.denoiser.model_copy(update={"masks": masks})}
    )
    exact, doubted = (
        denoiser_job(p, tiny_world.latents, tiny_world.latent_statistics).lesson.batch(0, range(8))
        for p in (preset, noisy)
    )
    assert "known" not in exact
    for name in ("x", "mask", "sigma", "noise"):
        assert torch.equal(doubted[name], exact[name])
    errors = (doubted["known"] - doubted["x"]).flatten(1)
    doubts = doubted["doubt"].flatten()
    assert 0 < (doubts > 0).sum() < 8
    torch.testing.assert_close(errors.std(dim=1), doubts, rtol=0.1, atol=0)


def test_every_sample_comes_once_in_an_epoch():
    first, second = ([shuffled(50, 7, e * 50 + i) for i in range(50)] for e in (0, 1))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second


def test_rate_warms_up_holds_and_falls():
    rates = [SETTINGS.rate(i) for i in range(12)]
    assert rates[0] == pytest.approx(1 / 3)
    assert rates[3:6] == [1.0, 1.0, 1.0]
    assert rates[11] == pytest.approx(1 / 6)


def test_initial_weights_leave_global_randomness_alone():
    state = torch.random.get_rng_state()
    a, b = ReversingLesson().network(), ReversingLesson().network()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(a.blocks[0].weight, b.blocks[0].weight)
