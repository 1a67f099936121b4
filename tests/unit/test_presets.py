import pytest
import torch
import yaml

from appa_core.config.build import (
    build_autoencoder,
    build_backbone,
    compression,
    latent_shape,
    optimiser_settings,
)
from appa_core.config.presets import load_preset, parse_preset, preset_names
from appa_core.errors import InputError


def changed(path, value):
    content = load_preset("tiny").model_dump(mode="json")
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return yaml.safe_dump(content)


@pytest.mark.parametrize("name", preset_names())
def test_presets_that_ship_are_valid(name):
    preset = load_preset(name)
    assert preset.name == name
    assert compression(preset) >= 5
    with torch.device("meta"):
        assert build_autoencoder(preset).latent_shape == latent_shape(preset)
        assert build_backbone(preset).units
    assert optimiser_settings(preset.denoiser.training).iterations > 0


def test_a_preset_from_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(changed(("denoiser", "width"), 128))
    assert load_preset(str(path)).denoiser.width == 128


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("denoiser", "width"), -1, r"denoiser\..*width"),
        (("colour",), "red", "colour"),
        (("sampling", "known_states"), 6, "must be below"),
        (("split", "test_start"), "1999-01-01", "must follow each other"),
        (("autoencoder", "channel_weights"), {"snow": 1.0}, "no channel.*snow"),
        (("sampling", "chained_doubt"), 0.2, r"must not exceed denoiser\.masks\.noise"),
        (("denoiser", "masks", "leading"), {1: 0.9, 2: 0.9}, "exceed 1"),
    ],
)
def test_presets_that_are_not_valid_name_the_place(path, value, message):
    with pytest.raises(InputError, match=message):
        parse_preset(changed(path, value), source="here")


def test_unknown_and_malformed_presets():
    with pytest.raises(InputError, match=r"presets are: .*small, tiny"):
        load_preset("nonesuch")
    with pytest.raises(InputError, match="no valid YAML"):
        parse_preset("a: [", source="here")


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load_preset("tiny").name = "other"


#: Millions of parameters in the papers: autoencoder and denoiser.
PUBLISHED = {"appa-565m": (314, 224), "appa-1.5b": (500, 1000)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_of_the_papers_have_their_sizes(name):
    preset = load_preset(name)
    with torch.device("meta"):
        networks = build_autoencoder(preset), build_backbone(preset)
    for network, millions in zip(networks, PUBLISHED[name], strict=True):
        count = sum(p.numel() for p in network.parameters()) / 1e6
        assert count == pytest.approx(millions, rel=0.05)
    assert len(preset.state.build().channels) == 71
    assert latent_shape(preset) == (128, 23, 47)
    assert len(networks[1].position) == 12_972


def test_an_observed_preset_says_that_it_has_no_simulated_atmosphere():
    with pytest.raises(InputError, match=r"appa-565m has no simulated atmosphere.*--source"):
        load_preset("appa-565m").simulated()
