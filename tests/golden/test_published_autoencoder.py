"""The published autoencoder against numbers of the authors' modules."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from appa_core.nn.published_autoencoder import (
    ConvolutionalAutoencoder,
    ConvolutionalShape,
    soft_clip,
)


@pytest.fixture(scope="module")
def folder(shared_data):
    return shared_data / "vectors" / "appa_reference"


@pytest.fixture(scope="module")
def autoencoder(folder):
    config = json.loads((folder / "config.json").read_text("utf-8"))
    model = ConvolutionalAutoencoder(ConvolutionalShape(**config["autoencoder"]))
    model.load_state_dict(load_file(folder / "autoencoder.safetensors"), strict=True)
    return model.eval()


@pytest.fixture(scope="module")
def oracle(folder, autoencoder):
    """The three arrays as (B, C, H, W)."""
    grids = {"ae_x": autoencoder.shape.shape, "ae_z": autoencoder.shape.latent_shape[1:]}
    grids["ae_y"] = grids["ae_x"]
    with np.load(folder / "oracle.npz") as arrays:
        flat = {name: torch.from_numpy(arrays[name]) for name in grids}
    return {name: x.mT.reshape(len(x), -1, *grids[name]) for name, x in flat.items()}


def close(ours, theirs):
    """To 1e-5 of the array's size, and so everywhere."""
    assert (ours - theirs).norm() < 1e-5 * theirs.norm()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_encode(autoencoder, oracle):
    close(autoencoder.encode(oracle["ae_x"]), oracle["ae_z"])


@torch.no_grad()
def test_decode(autoencoder, oracle):
    close(autoencoder.decode(oracle["ae_z"]), oracle["ae_y"])


@torch.no_grad()
def test_reconstruct_with_more_leading_dimensions(autoencoder, oracle):
    out = autoencoder(oracle["ae_x"][:, None])
    close(out, oracle["ae_y"][:, None])


def test_saturation_keeps_small_latents_and_bounds_large_ones():
    z = torch.tensor([-1e4, -1e-3, 0.0, 1e-3, 5.0, 1e4])
    expected = torch.tensor([-5.0, -1e-3, 0.0, 1e-3, 5.0 / 2**0.5, 5.0])
    torch.testing.assert_close(soft_clip(z, 5.0), expected)


FULL = {
    "in_channels": 71,
    "lat_channels": 128,
    "shape": (721, 1440),
    "resize": 32,
    "hid_channels": (64, 128, 256, 512, 768, 1024),
    "hid_blocks": (3,) * 6,
}


def test_full_size_has_the_published_shape_of_latents_and_number_of_parameters():
    """Latents of 128 x 23 x 47 and 314 to 340 million; needs no reference data."""
    with torch.device("meta"):
        model = ConvolutionalAutoencoder(ConvolutionalShape(**FULL))
    assert model.shape.latent_shape == (128, 23, 47)
    assert 314e6 < sum(p.numel() for p in model.parameters()) < 340e6


def test_checkpointing_gives_the_same_gradient():
    sizes = {"shape": (5, 8), "resize": 2, "hid_channels": (4, 6), "hid_blocks": (1, 1)}
    plain, thrifty = (
        ConvolutionalAutoencoder(ConvolutionalShape(3, 2, **sizes, checkpointing=flag))
        for flag in (False, True)
    )
    thrifty.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(0))
    for model in (plain, thrifty):
        model(x).square().sum().backward()
    for ours, theirs in zip(thrifty.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize(
    "changes",
    [
        {"saturation": "tanh"},
        {"pixel_shuffle": False},
        {"patch_size": (2, 2)},
        {"resize": 16},
        {"shape": (721, 1450)},
        {"hid_blocks": (3, 3)},
    ],
)
def test_unknown_variants_are_refused(changes):
    with pytest.raises(ValueError, match=r"known only|must"):
        ConvolutionalShape(**{**FULL, **changes})
