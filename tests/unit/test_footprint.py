"""Costs of networks, computed without memory, against real ones and the published figures."""

from pathlib import Path

import pytest
import torch
from torch import nn

from appa_core.config.build import build_autoencoder, latent_shape
from appa_core.config.presets import load_preset, preset_names
from appa_core.errors import InputError
from appa_core.objectives import reconstruction_loss
from appa_core.steps.footprint import _counter, measure_footprint, parse_memory
from appa_core.steps.recipes import describe, recipes


@pytest.fixture(scope="module")
def published():
    return measure_footprint(load_preset("appa-565m"))


def test_operations_are_those_measured_on_the_published_modules(published):
    """3.1 TFLOP to encode or decode a state, 16.4 for a blanket; two for a multiply-add."""
    assert published.autoencoder.flops["encode a state"] == pytest.approx(3.1e12, rel=0.02)
    assert published.autoencoder.flops["decode a state"] == pytest.approx(3.1e12, rel=0.02)
    assert published.denoiser.flops["denoise a blanket"] == pytest.approx(16.4e12, rel=0.02)
    assert published.tokens == 12_972


@pytest.mark.parametrize("name", preset_names())
def test_training_costs_about_three_forward_passes(name):
    """Forward, and backward to inputs and weights; attention computes its scores once more."""
    found = measure_footprint(load_preset(name))
    for network in (found.autoencoder, found.denoiser):
        assert 2.6 < network.training_flops / sum(network.flops.values()) < 3.5


@pytest.mark.parametrize("groups", [1, 4])
def test_operations_of_a_convolution_by_hand(groups):
    """Every output sums k^2 C / groups products; backward does so for inputs and for weights."""
    conv = nn.Conv2d(8, 12, 3, padding=1, groups=groups)
    x = torch.randn(2, 8, 5, 6, requires_grad=True)
    forward = 2 * (2 * 12 * 5 * 6) * 9 * 8 // groups
    with _counter() as counter:
        out = conv(x)
    assert counter.get_total_flops() == forward
    with _counter() as counter:
        out.sum().backward()
    assert counter.get_total_flops() == 2 * forward
    with _counter() as counter:
        conv(x.detach()).sum().backward()
    assert counter.get_total_flops() == 2 * forward  # forward, and weights alone


def test_operations_of_a_transformer_by_hand():
    """Those of `small`'s blanket: matrices by token, attention by pairs of tokens."""
    preset = load_preset("small")
    width, hidden, tokens = 384, 4 * 384, 128
    c, states, context = 96, 6, 5
    block = 2 * tokens * (4 * width**2 + 2 * width * hidden + 9 * hidden)
    block += 2 * 2 * tokens**2 * width
    ends = 2 * tokens * width * states * ((c + context) + c)
    linear = 2 * tokens * 9 * states * (c + context) * states * c
    found = measure_footprint(preset).denoiser
    forward = found.flops["denoise a blanket"]
    assert forward == pytest.approx(6 * block + ends + linear, rel=0.01)


def test_costs_are_those_of_one_sample():
    """A batch of three has three times the operations."""
    preset = load_preset("tiny")
    network = build_autoencoder(preset)
    one = measure_footprint(preset).autoencoder
    shape = (len(preset.state.build().channels), *preset.state.build().grid.shape)
    x, weights = torch.randn(3, *shape), torch.ones(shape[0], shape[1], 1)
    with _counter() as counter:
        reconstruction_loss(network, x, weights).backward()
    assert counter.get_total_flops() == 3 * one.training_flops


def test_recomputing_trades_operations_for_memory(published):
    thrifty = measure_footprint(load_preset("appa-565m"), recompute=True)
    for name in ("autoencoder", "denoiser"):
        plain, less = getattr(published, name), getattr(thrifty, name)
        assert less.activations < plain.activations / 1.5
        assert 1.05 < less.training_flops / plain.training_flops < 4 / 3 + 0.01


def test_bytes_are_those_that_real_tensors_keep():
    """The same step with real tensors, whose storages are counted as autograd saves them."""
    preset = load_preset("tiny")
    network = build_autoencoder(preset)
    x = torch.randn(1, len(preset.state.build().channels), *preset.state.build().grid.shape)
    shapes = {tuple(p.shape) for p in network.parameters() if p.ndim >= 2}
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and tuple(tensor.shape) not in shapes:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        reconstruction_loss(network, x, torch.ones(x.shape[1], x.shape[2], 1))
    real = sum(size for size, _ in kept.values())
    assert measure_footprint(preset).autoencoder.activations == pytest.approx(real, rel=0.02)


def test_sharing_out_divides_all_but_activations(published):
    alone, shared = (published.denoiser.fixed(8, s) for s in ("ddp", "fsdp"))
    for what in ("weights", "gradients", "optimiser", "averaged weights"):
        assert shared[what] == alone[what] // 8
    assert alone["weights"] == 4 * published.denoiser.parameters
    assert alone["optimiser"] == 8 * published.denoiser.parameters


def test_the_largest_micro_batch_fits_and_one_more_does_not(published):
    memory = 80 << 30
    cost = published.denoiser
    count = cost.largest_micro_batch(memory, 1, "ddp")
    held = sum(cost.fixed(1, "ddp").values())
    assert held + count * cost.activations <= memory < held + (count + 1) * cost.activations
    assert cost.largest_micro_batch(1 << 30, 1, "ddp") == 0


def test_a_description_names_what_does_not_fit():
    text = describe(
        load_preset("appa-1.5b"),
        memory=16 << 30,
        processes=1,
        sharding="ddp",
        micro_batch=1,
        recompute=False,
    )
    assert "does not fit: use --recompute, or --sharding fsdp" in text
    assert "12972 tokens" in text


def test_recipes_cover_all_presets_with_commands():
    """What is committed is what the command prints."""
    text = recipes()
    page = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"
    assert page.read_text("utf-8") == f"{text}\n"
    for name in ("tiny", "small", "era5-5.625deg", "era5-1.5deg", "appa-565m", "appa-1.5b"):
        assert f"python -m flows.train autoencoder --preset {name} --source" in text


@pytest.mark.parametrize(
    ("text", "size"), [("80GiB", 80 << 30), ("24 GB", 24e9), ("1.5TiB", 3 << 39)]
)
def test_sizes_of_memory(text, size):
    assert parse_memory(text) == size


def test_a_size_that_is_none_is_refused():
    with pytest.raises(InputError, match="expected such as 80GiB"):
        parse_memory("much")


def test_latents_are_those_of_the_preset(published):
    assert published.latent_shape == latent_shape(load_preset("appa-565m"))
