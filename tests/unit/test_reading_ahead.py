"""What trainings read: which samples, how many of them at once, and with which weights."""

import dataclasses
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from appa_core.config.build import latent_shape
from appa_core.errors import InputError
from appa_core.io.cube import Cube
from appa_core.io.store import ArtifactStore
from appa_core.objectives import reconstruction_loss
from appa_core.steps.train_autoencoder import autoencoder_job, loss_weights
from appa_core.steps.train_denoiser import denoiser_job
from appa_core.steps.training import run_training
from appa_core.training.lesson import micro_batches
from tests.lessons import ReversingLesson
from tests.synthetic import tiny_preset


def changed(part, **updates):
    preset = tiny_preset()
    return preset.model_copy(update={part: getattr(preset, part).model_copy(update=updates)})


@pytest.fixture
def autoencoder(tiny_world):
    def job(preset=None):
        states = Cube.load(tiny_world.states)
        return autoencoder_job(preset or tiny_preset(), states, tiny_world.statistics)

    return job


@dataclasses.dataclass(frozen=True)
class Watched(ReversingLesson):
    """Notes which parts were read, and fails at one iteration."""

    fails: int = -1
    read: list = dataclasses.field(default_factory=list)
    threads: set = dataclasses.field(default_factory=set)

    def batch(self, iteration, positions):
        if iteration == self.fails:
            raise InputError("a state is absent")
        self.read.append((iteration, tuple(positions)))
        self.threads.add(threading.current_thread().name)
        return super().batch(iteration, positions)


def require_parts_in_order(workers):
    lesson = ReversingLesson()
    parts = [(i, range(low, low + 2)) for i in (3, 4) for low in (4, 6)]
    given = list(micro_batches(lesson, range(3, 5), range(4, 8), 2, workers))
    assert len(given) == len(parts)
    for batch, part in zip(given, parts, strict=True):
        assert torch.equal(batch["x"], lesson.batch(*part)["x"])


def test_parts_come_in_order_with_their_values():
    require_parts_in_order(0)


def test_a_reading_process_gives_the_same():
    """In a process of its own, as trainings are: reading processes are forked from it."""
    code = "from tests.unit import test_reading_ahead as t; "
    code += "t.require_parts_in_order(1)"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_thread_reads_a_little_ahead_and_no_more():
    lesson = Watched()
    batches = micro_batches(lesson, range(20), range(16), 16, 0)
    for used in range(1, 6):
        next(batches)
        assert len(lesson.read) <= used + 2
    batches.close()
    assert len(lesson.read) <= 7
    assert lesson.read == [(i, tuple(range(16))) for i in range(len(lesson.read))]
    assert {name.partition("_")[0] for name in lesson.threads} == {"read-ahead"}
    assert not any(t.name.startswith("read-ahead") for t in threading.enumerate())


def test_where_all_cores_are_busy_each_batch_is_read_in_its_turn():
    lesson = Watched()
    batches = micro_batches(lesson, range(9), range(16), 16, 0, has_idle_cores=False)
    for used in range(1, 4):
        next(batches)
        assert len(lesson.read) == used
    assert lesson.threads == {threading.current_thread().name}
    assert next(batches)["x"].equal(lesson.batch(3, range(16))["x"])


def test_what_goes_wrong_while_reading_ahead_comes_when_its_turn_does():
    batches = micro_batches(Watched(fails=2), range(5), range(16), 16, 0)
    next(batches)
    next(batches)
    with pytest.raises(InputError, match="absent"):
        next(batches)


def test_no_more_states_are_read_at_once_than_are_learned_at_once(
    autoencoder, tiny_world, tmp_path, monkeypatch
):
    counts, read = [], Cube.read_into

    def note(cube, times, *arguments, **options):
        counts.append(len(times))
        return read(cube, times, *arguments, **options)

    monkeypatch.setattr(Cube, "read_into", note)
    job = autoencoder()
    run_training(ArtifactStore(tmp_path), job)
    # first the sample for principal components, then every batch, and the validations
    assert counts[0] == job.lesson.preset.autoencoder.initial_states
    assert sorted(set(counts[1:])) == sorted({job.lesson.batch_size, job.lesson.held_out})
    assert counts[1:].count(8) == job.settings.iterations


def test_training_and_validation_keep_to_their_periods(autoencoder, tiny_world):
    split = tiny_preset().split
    borders = [pd.Timestamp(t) for t in (split.train_start, split.validation_start)]
    lesson, seen = autoencoder().lesson, []
    count = len(lesson._training_times)
    for iteration in range(-(-count // lesson.batch_size)):
        seen += list(lesson._times_of(iteration, range(lesson.batch_size)))
    assert (min(seen), max(seen)) == (borders[0], borders[1] - pd.Timedelta("6h"))
    assert set(seen) == set(lesson._training_times)
    assert lesson._held_out_times.min() == borders[1]
    assert lesson._held_out_times.max() < pd.Timestamp(split.test_start)
    denoiser = denoiser_job(tiny_preset(), tiny_world.latents, tiny_world.latent_statistics).lesson
    last = pd.Timedelta(hours=6 * (tiny_preset().denoiser.states - 1))
    assert denoiser._training_starts.max() + last < borders[1]
    assert denoiser._held_out_starts.min() >= borders[1]
    assert denoiser._held_out_starts.max() + last < pd.Timestamp(split.test_start)


def test_the_loss_weighs_rows_by_area_and_levels_by_pressure():
    """Levels of 500 and 1000 hPa count 1 to 2, surface fields as the mean level does."""
    preset = changed("state", levels_hpa=(500, 1000), surface=("2m_temperature",))
    preset = preset.model_copy(
        update={
            "autoencoder": preset.autoencoder.model_copy(
                update={"level_weighting": "pressure", "channel_weights": {"geopotential_500": 3}}
            )
        }
    )
    schema = preset.state.build()
    channels, weights = loss_weights(preset)
    by_name = dict(zip(schema.names, channels.tolist(), strict=True))
    assert by_name["temperature_1000"] == pytest.approx(2 * by_name["temperature_500"])
    assert by_name["2m_temperature"] == pytest.approx(1.5 * by_name["temperature_500"])
    assert by_name["geopotential_500"] == pytest.approx(3 * by_name["temperature_500"])
    assert channels.mean() == pytest.approx(1)
    assert weights.mean() == pytest.approx(1)
    latitudes = np.deg2rad(schema.grid.latitudes)
    rows = (weights[0, :, 0] / channels[0]).numpy()
    np.testing.assert_allclose(rows, np.cos(latitudes) / np.cos(latitudes).mean(), rtol=1e-5)
    x, error = torch.zeros(1, len(channels), 32, 64), torch.zeros(1, len(channels), 32, 64)
    error[0, 4, 7] = 2.0

    class Wrong(torch.nn.Module):
        def forward(self, x, _noise=None):
            return x + error

    expected = 4 * float(weights[4, 7, 0]) / (len(channels) * 32)
    assert reconstruction_loss(Wrong(), x, weights).item() == pytest.approx(expected, rel=1e-5)


def test_latents_carry_the_noise_of_the_preset(autoencoder):
    lesson = autoencoder(changed("autoencoder", latent_noise=0.2)).lesson
    batch = lesson.batch(3, range(8))
    assert batch["noise"].shape == (8, *latent_shape(tiny_preset()))
    assert batch["noise"].std().item() == pytest.approx(0.2, rel=0.02)
    assert torch.equal(batch["noise"][2:5], lesson.batch(3, range(2, 5))["noise"])
    assert not torch.equal(batch["noise"], lesson.batch(4, range(8))["noise"])
    network = lesson.network()
    decoded = network.decode(network.encode(batch["x"]) + batch["noise"])
    expected = ((decoded - batch["x"]).square() * lesson._weights).mean()
    torch.testing.assert_close(lesson.loss(network, batch), expected)
    assert "noise" not in autoencoder().lesson.batch(3, range(2))
