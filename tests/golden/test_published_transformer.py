"""The published transformer against numbers of the authors' modules."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from appa_core.diffusion.denoiser import Condition, Denoiser
from appa_core.nn.published_transformer import (
    DiffusionTransformer,
    DiffusionTransformerShape,
    date_features,
    hour_encoding,
    year_encoding,
)
from tests.golden.make_reference import NETWORK, TARGET


@pytest.fixture(scope="module")
def oracle():
    with np.load(TARGET) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="module")
def transformer():
    config = json.loads(NETWORK["config.json"].read_text("utf-8"))
    h, w, c = config["latent_shape"]
    shape = DiffusionTransformerShape(latent_shape=(c, h, w), **config["denoiser"])
    model = DiffusionTransformer(shape)
    weights = load_file(NETWORK["denoiser_backbone.safetensors"])
    model.load_state_dict(weights, strict=True)
    return model.eval()


def blanket(flat, shape):
    """(B, K * h * w * c) to (B, K, c, h, w)."""
    c, h, w = shape.latent_shape
    return flat.reshape(len(flat), -1, h, w, c).permute(0, 1, 4, 2, 3)


def close(ours, theirs):
    """To 1e-5 of the array's size, and so everywhere."""
    assert (ours - theirs).norm() < 1e-5 * theirs.norm()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_date_encodings(oracle):
    timestamps = oracle["timestamps"]
    close(year_encoding(timestamps), oracle["year_encoding"])
    longitudes = torch.tensor([0.0, 90.0, -120.0])
    close(hour_encoding(timestamps, longitudes), oracle["hour_encoding"])


def test_features_at_initialisation_are_the_published_buffers(transformer):
    fresh = dict(DiffusionTransformer(transformer.shape).named_buffers())
    for name, buffer in transformer.named_buffers():
        torch.testing.assert_close(fresh[name], buffer)


@torch.no_grad()
def test_backbone(oracle, transformer):
    x = blanket(oracle["backbone_in"], transformer.shape)
    out = transformer.from_dates(
        x, oracle["backbone_c_noise"], date_features(oracle["timestamps"])
    )
    close(out, blanket(oracle["backbone_out"], transformer.shape))


@pytest.mark.parametrize("i", range(3))
@torch.no_grad()
def test_preconditioned_denoiser(oracle, transformer, i):
    x_t = blanket(oracle[f"denoiser_in_{i}"], transformer.shape)
    dates = date_features(oracle["timestamps"])[..., None, None].expand(-1, -1, -1, 5, 10)
    nothing_known = Condition(torch.zeros_like(x_t), torch.zeros(2, 4, 1, 1, 1), dates)
    sigma = oracle["denoiser_sigma"][i].expand(2)
    out = Denoiser(transformer)(x_t, sigma, nothing_known)
    close(out, blanket(oracle[f"denoiser_out_{i}"], transformer.shape))


def test_full_size_has_the_published_number_of_parameters():
    """About 224 million and 12 972 tokens; needs no reference data."""
    with torch.device("meta"):
        model = DiffusionTransformer(
            DiffusionTransformerShape((128, 23, 47), 24, 256, 1024, 16, 4, 8)
        )
    assert 223e6 < sum(p.numel() for p in model.parameters()) < 225e6
    assert len(model.position) == 12_972


def small(**changes):
    return DiffusionTransformerShape((3, 4, 6), 4, 8, 16, 1, 2, 2, **changes)


def test_patches_in_space_come_back_to_their_place():
    model = DiffusionTransformer(small(patch_size=(2, 2, 3)))
    x = torch.randn(2, 4, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model._from_tokens(model._to_tokens(x)), x)
    assert model.from_dates(x, torch.zeros(2), torch.zeros(2, 4, 4)).shape == x.shape


def test_checkpointing_gives_the_same_gradient():
    plain, thrifty = (DiffusionTransformer(small(checkpointing=flag)) for flag in (False, True))
    thrifty.load_state_dict(plain.state_dict())
    x = torch.randn(2, 4, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    for model in (plain, thrifty):
        model.from_dates(x, torch.zeros(2), torch.zeros(2, 4, 4)).square().sum().backward()
    ours, theirs = (model.blocks[0].ada_zero[-1].weight.grad for model in (thrifty, plain))
    torch.testing.assert_close(ours, theirs)
    assert theirs.abs().sum() > 0


@pytest.mark.parametrize(
    "changes",
    [{"rope": False}, {"window_size": (1, 3, 3)}, {"patch_size": (3, 1, 1)}],
)
def test_unknown_variants_are_refused(changes):
    with pytest.raises(ValueError, match=r"known only|must divide"):
        small(**changes)
