"""What trainings refuse: data of another preset, latents of another autoencoder."""

import dataclasses

import pytest
import torch

from appa_core.errors import InputError, ResourceError
from appa_core.io.cube import Cube
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.steps.train_autoencoder import autoencoder_job
from appa_core.steps.train_denoiser import denoiser_job
from appa_core.steps.training import TrainingJob, run_training
from appa_core.training.settings import RunSettings
from tests.lessons import SETTINGS, ReversingLesson
from tests.synthetic import tiny_preset


def changed(preset, part, **updates):
    return preset.model_copy(update={part: getattr(preset, part).model_copy(update=updates)})


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"levels_hpa": (500, 850)}, r"expected levels \[500, 850\] hPa, found \[200, 300"),
        ({"surface": ("2m_temperature",)}, "fields that it does not know 10m_u_component"),
        (
            {"surface": (*tiny_preset().state.surface, "sea_surface_temperature")},
            "missing fields sea_surface_temperature",
        ),
        ({"step_hours": 12}, "expected a state every 12 h, found every 6 h"),
        ({"latitudes": 16, "longitudes": 32}, "expected 16 latitudes from .* found 32 from"),
    ],
)
def test_a_preset_that_does_not_fit_the_data(tiny_world, updates, message):
    preset = changed(tiny_preset(), "state", **updates)
    with pytest.raises(InputError, match=message) as caught:
        autoencoder_job(preset, Cube.load(tiny_world.states), tiny_world.statistics)
    assert "python -m flows.ingest --preset tiny" in str(caught.value)


def test_a_normalisation_of_other_fields(tiny_world):
    one = tiny_world.statistics
    std = {name: 1.0 for name in one.summary["std"] if name != "2m_temperature"} | {"snow": 1.0}
    other = Artifact(one.url, {**one.manifest, "summary": {"std": std}})
    message = r"lacks \['2m_temperature'\] and has \['snow'\] more.*flows.normalize"
    with pytest.raises(InputError, match=message):
        autoencoder_job(tiny_preset(), Cube.load(tiny_world.states), other)


def test_latents_of_another_size(tiny_world):
    preset = changed(tiny_preset(), "autoencoder", latent_channels=12)
    with pytest.raises(InputError, match=r"expected .* \(12, 8, 16\), found \(24, 8, 16\)"):
        denoiser_job(preset, tiny_world.latents, tiny_world.latent_statistics)


def test_statistics_of_other_latents(tiny_world):
    one = tiny_world.latent_statistics
    other = Artifact(one.url, {**one.manifest, "parents": {"latents": "feed"}})
    message = "encoded by .*-.*are of feed: of another autoencoder"
    with pytest.raises(InputError, match=message):
        denoiser_job(tiny_preset(), tiny_world.latents, other)


def test_latents_of_another_autoencoder_of_the_same_size(tiny_world):
    latents, spread = tiny_world.latents, tiny_world.latent_statistics
    coder = latents.spec.parents["coder"]
    denoiser_job(tiny_preset(), latents, spread, coder=coder)
    message = f"are of another autoencoder: expected feed, found {coder}; .*flows.encode"
    with pytest.raises(InputError, match=message):
        denoiser_job(tiny_preset(), latents, spread, coder="feed")


class Hungry(ReversingLesson):
    """Needs more memory than there is, from the second checkpoint on."""

    def batch(self, iteration, positions):
        if iteration == 9:
            torch.empty(1 << 60)
        return super().batch(iteration, positions)


def test_too_little_memory_says_which_setting_to_lower(tmp_path):
    recipe = Recipe("train-demo", 1, {"settings": dataclasses.asdict(SETTINGS)}, {}, seed=3)
    store = ArtifactStore(tmp_path)
    hungry, modest = (
        TrainingJob(recipe, lesson, SETTINGS, 4, None) for lesson in (Hungry(), ReversingLesson())
    )
    with pytest.raises(ResourceError, match=r"for 8 samples at once.*--micro-batch.*--recompute"):
        run_training(store, hungry, run=RunSettings(micro_batch=8))
    seen = []
    resumed = run_training(store, modest, run=RunSettings(micro_batch=8), observe=seen.append)
    undisturbed = run_training(ArtifactStore(tmp_path / "other"), modest)
    assert seen[0].iteration > 8
    assert torch.isclose(
        torch.tensor(resumed.summary["validation"]["error"]),
        torch.tensor(undisturbed.summary["validation"]["error"]),
    )
