"""What is registered: parts that belong together, and scores of these very weights."""

import dataclasses
import json
import shutil

import pandas as pd
import pytest
import torch

from appa_core.errors import InputError, IntegrityError
from appa_core.io.cube import Cube
from appa_core.io.store import Artifact
from appa_core.steps.coder import RegisteredCoder
from appa_core.steps.model_scores import SCORES, FieldScore, ModelScores
from appa_core.steps.models import load_model, model_key, read_manifest
from appa_core.steps.register import TrainedParts, register_model
from flows.catalog import as_paragraphs
from tasks.listing import list_entries
from tests.synthetic import tiny_preset

MODELS = """
waves:
  folder: waves
  description: trained on waves
  licence: CC0-1.0
"""


@pytest.fixture
def catalogs(tiny_world, tmp_path):
    """A catalog of one model."""
    shutil.copytree(tiny_world.model, tmp_path / "waves")
    (tmp_path / "models.yaml").write_text(MODELS)
    return tmp_path


def listed(folder):
    (row,) = list_entries(folder)
    return row


def scores(folder, **changes):
    content = {
        "model": model_key(read_manifest(folder)),
        "data": "sample abc",
        "starts": ("2024-01-01T00", "2024-01-05T00", 3),
        "members": 4,
        "seed": 0,
        "fields": [FieldScore("Z500", lead, 30.0, 60.0, 90.0, 20.0, 1.0) for lead in (12, 24)],
    }
    return ModelScores(**(content | changes))


def test_the_list_says_what_weights_are_for(catalogs, tiny_world):
    row = listed(catalogs)
    manifest = read_manifest(tiny_world.model)
    assert row.reachable
    assert row.about.grid == "64 x 32"
    assert row.about.step_hours == 6
    assert row.facts["key"] == model_key(manifest)
    assert row.facts["trained_on"] == "waves, 2012-01-01 to before 2012-02-10"
    counts = manifest["parameters"].values()
    model = load_model(tiny_world.model)
    for count, network in zip(counts, (model.autoencoder, model.backbone), strict=True):
        assert count == sum(p.numel() for p in network.parameters())
    assert "autoencoder 0." in as_paragraphs([row])


def test_scores_are_shown_with_the_weights_they_are_of(catalogs):
    folder = catalogs / "waves"
    before = read_manifest(folder)
    scores(folder).write(folder)
    assert model_key(read_manifest(folder)) == model_key(before)
    assert ModelScores.read(folder).fields == scores(folder).fields
    expected = "24 h RMSE / persistence: Z500 0.50 (3 starts, 2024-01-01T00 to 2024-01-05T00"
    assert listed(catalogs).facts["scores"].startswith(expected)
    scores(folder, model="other weights").write(folder)
    assert listed(catalogs).facts["scores"] == ""


@pytest.mark.parametrize("content", ["{", "[]", '{"fields": [{"field": "Z500"}], "starts": 1}'])
def test_damaged_scores_say_how_to_make_them_again(catalogs, content):
    folder = catalogs / "waves"
    (folder / SCORES).write_text(content)
    with pytest.raises(IntegrityError, match="write them again with"):
        ModelScores.read(folder)
    row = listed(catalogs)
    assert row.reachable is False
    assert "holds no scores" in row.note


@pytest.mark.parametrize("content", ["", "{}", '{"files": []}'])
def test_a_damaged_manifest(catalogs, content):
    (catalogs / "waves" / "manifest.json").write_text(content)
    assert "manifest.json is damaged" in listed(catalogs).note


def test_a_model_knows_what_its_autoencoder_loses(tiny_world):
    model, preset = load_model(tiny_world.model), tiny_preset()
    states = Cube.load(tiny_world.states)
    split = preset.split
    times = pd.date_range(split.validation_start, split.test_start, freq="5D", inclusive="left")
    coder = RegisteredCoder.of(tiny_world.model).load("cpu")
    standard = coder.standardised(states, times)
    error = (model.decode(model.encode(standard)) - standard).square().mean(dim=(0, 3))
    area = torch.from_numpy(coder.schema.grid.area_weights).float()
    expected = (error * area).mean(dim=1).sqrt()
    torch.testing.assert_close(model.reconstruction_rmse, expected, rtol=2e-2, atol=0)


def parts_of(world):
    """The parts of the tiny model, found by the keys in its manifest."""
    recorded = json.loads((world.model / "manifest.json").read_text("utf-8"))["parts"]
    return TrainedParts(
        **{role: world.store.get(part["step"], part["key"]) for role, part in recorded.items()}
    )


@pytest.mark.parametrize(
    ("role", "changes"),
    [
        ("statistics", {"key": "feedbeef"}),
        ("autoencoder", {"key": "feedbeef"}),
        ("reconstruction", {"parents": {"coder": "feedbeef"}}),
        ("latents", {"key": "feedbeef"}),
        ("latents", {"parents": {"latents": "feedbeef"}}),
        ("denoiser", {"parents": {"statistics": "feedbeef"}}),
    ],
)
def test_parts_of_two_models_are_not_registered_as_one(tiny_world, tmp_path, role, changes):
    parts = parts_of(tiny_world)
    one = getattr(parts, role)
    other = Artifact(one.url, {**one.manifest, **changes})
    mixed = dataclasses.replace(parts, **{role: other})
    preset, folder = load_model(tiny_world.model).preset, tmp_path / "model"
    with pytest.raises(InputError, match=r"feedbeef.*different models"):
        register_model(folder, preset, mixed, tiny_world.latents)
    assert not folder.exists()
