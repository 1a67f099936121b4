"""Published checkpoints become models of ours, or are refused with all that does not fit."""

import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from appa_core.config.build import build_autoencoder, build_backbone, latent_shape
from appa_core.diffusion.denoiser import Condition, Denoiser
from appa_core.diffusion.noise import generator_for
from appa_core.errors import DataError, InputError
from appa_core.nn.published_autoencoder import ConvolutionalAutoencoder, ConvolutionalShape
from appa_core.nn.published_transformer import (
    DiffusionTransformer,
    DiffusionTransformerShape,
    date_features,
)
from appa_core.steps.import_checkpoint import PublishedCheckpoint, import_checkpoint
from appa_core.steps.models import load_model
from appa_core.training.trainer import initialised
from tests.published import AE, BACKBONE, base_preset, same_configuration, write_published


def networks(seed=0):
    """State dictionaries of random networks."""
    shape = ConvolutionalShape(**AE)
    backbone = DiffusionTransformerShape(latent_shape=shape.latent_shape, **BACKBONE)
    makers = (lambda: ConvolutionalAutoencoder(shape), lambda: DiffusionTransformer(backbone))
    return [
        initialised(make, generator_for(seed, i)).state_dict() for i, make in enumerate(makers)
    ]


def bring(tmp_path, weights=None, **changes):
    places = write_published(tmp_path / "published", *(weights or networks()), **changes)
    return import_checkpoint(tmp_path / "model", base_preset(), PublishedCheckpoint(*places))


@pytest.fixture(scope="module")
def reference(shared_data):
    return shared_data / "vectors" / "appa_reference"


@pytest.fixture(scope="module")
def oracle(reference):
    with np.load(reference / "oracle.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="module")
def imported(reference, tmp_path_factory):
    assert same_configuration(reference)
    root = tmp_path_factory.mktemp("imported")
    names = ("autoencoder", "denoiser_backbone")
    bring(root, [load_file(reference / f"{name}.safetensors") for name in names])
    return load_model(root / "model")


def close(ours, theirs):
    """To 1e-5 of the array's size, and so everywhere."""
    assert (ours - theirs).norm() < 1e-5 * theirs.norm()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def blanket(flat):
    """(B, K h w c) to (B, K, c, h, w)."""
    return flat.reshape(len(flat), -1, 5, 10, 8).permute(0, 1, 4, 2, 3)


@torch.no_grad()
def test_reference_vectors_pass_through_the_imported_model(imported, oracle):
    x, z, y = (
        oracle[name].mT.reshape(len(oracle[name]), -1, *grid)
        for name, grid in (("ae_x", (33, 64)), ("ae_z", (5, 10)), ("ae_y", (33, 64)))
    )
    close(imported.autoencoder.encode(x), z)
    close(imported.autoencoder.decode(z), y)
    dates = date_features(oracle["timestamps"])[..., None, None].expand(-1, -1, -1, 5, 10)
    inputs = blanket(oracle["backbone_in"])
    out = imported.backbone(inputs, dates, oracle["backbone_c_noise"])
    close(out, blanket(oracle["backbone_out"]))
    for i in range(3):
        x_t = blanket(oracle[f"denoiser_in_{i}"])
        nothing = Condition(torch.zeros_like(x_t), torch.zeros(2, 4, 1, 1, 1), dates)
        sigma = oracle["denoiser_sigma"][i].expand(2)
        out = Denoiser(imported.backbone)(x_t, sigma, nothing)
        close(out, blanket(oracle[f"denoiser_out_{i}"]))


def test_an_imported_model_is_what_was_published(tmp_path):
    weights = networks()
    key = bring(tmp_path, weights)
    model = load_model(tmp_path / "model")
    assert model.key == key
    for module, given in zip((model.autoencoder, model.backbone), weights, strict=True):
        for name, parameter in module.named_parameters():
            assert torch.equal(parameter, given[name])
    assert model.latent_mean.flatten().tolist() == list(range(8))
    assert model.latent_std.unique().tolist() == [2.0]
    assert latent_shape(model.preset) == (8, 5, 10)
    digests = model.manifest["parts"]["autoencoder"]["imported"]
    assert set(digests) == {"config.yaml", "model.pth"}
    assert model.manifest["parameters"]["denoiser.safetensors"] == sum(
        p.numel() for p in model.backbone.parameters()
    )


@pytest.mark.parametrize("wrap", [
    lambda w: {f"module.{n}": t for n, t in w.items()},
    lambda w: {"model": {f"_orig_mod.{n}": t for n, t in w.items()}, "step": 7},
    lambda w: {"state_dict": w},
])  # fmt: skip
def test_wrapped_weights_are_the_same(tmp_path, wrap):
    plain = bring(tmp_path / "plain")
    ae, denoiser = networks()
    bring(tmp_path / "wrapped", [wrap(ae), wrap(denoiser)])
    ours, theirs = (load_model(tmp_path / n / "model") for n in ("wrapped", "plain"))
    assert theirs.key == plain
    for a, b in zip(ours.backbone.parameters(), theirs.backbone.parameters(), strict=True):
        assert torch.equal(a, b)


def test_all_differences_are_listed_and_nothing_is_written(tmp_path):
    ae, denoiser = networks()
    first, second, third = list(ae)[:3]
    ae["surplus.weight"] = ae.pop(first)
    ae[second] = ae[second][None]
    denoiser.pop("in_proj.bias")
    with pytest.raises(DataError) as caught:
        bring(tmp_path, [ae, denoiser])
    text = str(caught.value)
    assert f"autoencoder: missing {first}" in text
    assert "autoencoder: unexpected surplus.weight" in text
    assert f"autoencoder: {second} has shape" in text
    assert "denoiser: missing in_proj.bias" in text
    assert third not in text
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("ae", "backbone", "message"),
    [
        ({"in_channels": 71}, {}, r"in_channels: the checkpoint has 71, preset six-fields 6"),
        ({"shape": [721, 1440]}, {}, r"ae\.shape: .*721, 1440.*\[33, 64\]"),
        ({"colour": "red"}, {}, r"ae\.colour: unknown setting"),
        ({"saturation": "tanh"}, {}, r"softclip2"),
        ({}, {"window_size": [2, 2, 2]}, r"global attention"),
        ({}, {"blanket_size": 5}, r"must divide"),
        ({}, {"patch_size": [2, 5, 2]}, r"known only with one cell"),
        ({}, {"rope": False}, r"rotary positions"),
        ({}, {"qk_norm": False}, r"qk_norm"),
    ],
)
def test_settings_that_do_not_fit_are_named(tmp_path, ae, backbone, message):
    with pytest.raises(DataError, match=message):
        bring(tmp_path, ae=AE | ae, backbone=BACKBONE | backbone)
    assert not (tmp_path / "model").exists()


def test_a_blanket_size_may_stand_with_the_training(tmp_path):
    ae, denoiser, stats = write_published(tmp_path / "p", *networks())
    text = (denoiser / "config.yaml").read_text()
    moved = text.replace("  blanket_size: 4\n", "").replace(
        "train:\n", "train:\n  blanket_size: 4\n"
    )
    (denoiser / "config.yaml").write_text(moved)
    import_checkpoint(tmp_path / "m", base_preset(), PublishedCheckpoint(ae, denoiser, stats))
    assert load_model(tmp_path / "m").preset.denoiser.states == 4


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    trap = tmp_path / "sprung"
    with pytest.raises(DataError, match="without running code"):
        bring(tmp_path, [Malicious(trap), networks()[1]])
    assert not trap.exists()


def test_what_is_missing_is_named(tmp_path):
    ae, denoiser, stats = write_published(tmp_path / "p", *networks())
    (denoiser / "model_best.pth").unlink()
    with pytest.raises(InputError, match=r"model_best\.pth or model_last\.pth"):
        import_checkpoint(tmp_path / "m", base_preset(), PublishedCheckpoint(ae, denoiser, stats))
    (ae / "config.yaml").unlink()
    with pytest.raises(InputError, match=r"config\.yaml is not there"):
        import_checkpoint(tmp_path / "m", base_preset(), PublishedCheckpoint(ae, denoiser, stats))


def test_latent_statistics_of_other_channels_are_refused(tmp_path):
    ae, denoiser, stats = write_published(tmp_path / "p", *networks())
    torch.save({"mean": torch.zeros(3), "std": torch.ones(3)}, stats)
    with pytest.raises(DataError, match=r"mean: expected 8 values, one a channel, got \(3,\)"):
        import_checkpoint(tmp_path / "m", base_preset(), PublishedCheckpoint(ae, denoiser, stats))


def test_without_normalisation_physical_states_are_refused_by_name_of_the_option(tmp_path):
    bring(tmp_path)
    model = load_model(tmp_path / "model")
    with pytest.raises(InputError, match="import it again with --normalisation"):
        _ = model.normalisation


def test_a_normalisation_of_means_and_spreads(tmp_path):
    places = write_published(tmp_path / "p", *networks())
    np.savez(tmp_path / "n.npz", mean=np.arange(6.0), std=np.full(6, 2.0))
    source = PublishedCheckpoint(*places, tmp_path / "n.npz")
    import_checkpoint(tmp_path / "m", base_preset(), source)
    normalisation = load_model(tmp_path / "m").normalisation
    times = np.array(["2024-03-01T06"], "datetime64[ns]")
    states = np.full((1, 6, 33, 64), 10.0, np.float32)
    standard = normalisation.standardise(states.copy(), times)
    expected = (10 - np.arange(6.0)) / 2
    np.testing.assert_allclose(standard[0, :, 5, 7], expected)
    np.testing.assert_allclose(normalisation.restore(standard, times), states)
    np.savez(tmp_path / "n.npz", mean=np.arange(5.0), std=np.full(5, 2.0))
    with pytest.raises(DataError, match="mean: expected 6 values"):
        import_checkpoint(tmp_path / "m", base_preset(), source)


def test_full_size_presets_take_the_published_networks():
    """The architectures of a preset and of the published configuration are the same."""
    with torch.device("meta"):
        preset = base_preset()
        assert isinstance(build_autoencoder(preset), ConvolutionalAutoencoder)
        assert build_backbone(preset).units
