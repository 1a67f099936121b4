import dataclasses

import numpy as np
import pytest
import torch

from appa_core.calendar import date_encoding
from appa_core.diffusion.denoiser import Condition, Denoiser, loss_weight
from appa_core.nn.layers import RowLinear, SphereConv
from appa_core.nn.linear_path import LinearPathShape, LinearPathTransformer
from appa_core.nn.patch_autoencoder import PatchAutoencoder, PatchShape
from appa_core.objectives import MaskShares

SHAPE = PatchShape(3, 8, 16, 4, 12, 8, 1)
BACKBONE = LinearPathShape((4, 2, 4), 6, 5, 3, 16, 2, 2)


def test_convolutions_wrap_around_the_globe():
    conv = SphereConv(2, 3)
    x = torch.randn(1, 2, 4, 8)
    torch.testing.assert_close(conv(x.roll(3, -1)), conv(x).roll(3, -1))


def test_row_linear_is_a_matrix_per_row():
    layer = RowLinear(2, 3, 4)
    x = torch.randn(5, 3, 2, 6)
    expected = torch.einsum("roi,birw->borw", layer.weight, x)
    torch.testing.assert_close(layer(x), expected)


def test_initial_autoencoder_is_the_best_linear_one_by_row():
    """Patches of rank 12 by construction are reconstructed exactly from 12 components."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(48, 12, generator=generator)
    factors = torch.randn(200, 12, 2, 4, generator=generator)
    patches = torch.einsum("pk,nkhw->nphw", basis, factors)
    states = torch.nn.functional.pixel_shuffle(patches, 4)
    model = PatchAutoencoder(SHAPE)
    model.initialise_from([states[:80], states[80:]], torch.ones(3))
    torch.testing.assert_close(model(states), states, atol=1e-3, rtol=1e-3)
    latents = model.encode(states)
    assert latents.shape == (200, *SHAPE.latent_shape)
    assert SHAPE.compression == 4.0


def test_leading_dimensions_are_kept():
    model = PatchAutoencoder(SHAPE)
    x = torch.randn(2, 5, 3, 8, 16)
    assert model.encode(x).shape == (2, 5, 12, 2, 4)
    assert model(x).shape == x.shape


def test_patches_must_fit():
    with pytest.raises(ValueError, match="must divide"):
        PatchAutoencoder(PatchShape(3, 9, 16, 4, 12, 8, 1))
    with pytest.raises(ValueError, match="must divide"):
        LinearPathTransformer(LinearPathShape((4, 2, 4), 5, 5, 3, 16, 2, 2))


def condition(batch=2):
    mask = torch.zeros(batch, 6, 1, 1, 1)
    mask[:, :2] = 1
    return Condition(torch.randn(batch, 6, 4, 2, 4), mask, torch.randn(batch, 6, 4, 2, 4))


def test_tokens_keep_their_place():
    """With attention and local mixing at zero, an output depends on its own token alone."""
    net = LinearPathTransformer(BACKBONE)
    torch.nn.init.normal_(net.unembed.weight)
    x, context = torch.randn(1, 6, 4, 2, 4), torch.zeros(1, 6, 5, 2, 4)
    out = net(x, context, torch.zeros(1))
    changed = x.clone()
    changed[0, 4, :, 1, 2] += 1
    moved = (net(changed, context, torch.zeros(1)) - out).abs().sum(dim=2)[0] > 0
    assert moved[3:, 1, 2].all()
    assert moved.sum() == 3


def test_known_states_come_back_and_unknown_ones_are_preconditioned():
    given = condition()
    denoiser = Denoiser(LinearPathTransformer(BACKBONE))
    x_t, sigma = torch.randn(2, 6, 4, 2, 4), torch.tensor([0.5, 2.0])
    mean = denoiser(x_t, sigma, given)
    torch.testing.assert_close(mean[:, :2], given.known[:, :2])
    # the untrained backbone gives zero, so that the mean is c_skip x_t
    c_skip = 1 / (1 + sigma**2)
    torch.testing.assert_close(mean[:, 2:], c_skip[:, None, None, None, None] * x_t[:, 2:])


def test_noise_at_known_states_does_not_matter():
    given, net = condition(), LinearPathTransformer(BACKBONE)
    torch.nn.init.normal_(net.unembed.weight)
    x_t = torch.randn(2, 6, 4, 2, 4)
    other = x_t.clone()
    other[:, :2] = 99.0
    sigma = torch.ones(2)
    denoiser = Denoiser(net)
    assert torch.equal(denoiser(x_t, sigma, given), denoiser(other, sigma, given))


class Recording(torch.nn.Module):
    """Keeps what it is told."""

    def forward(self, x, context, _noise_time):
        self.told = context[:, :, -1:]
        return torch.zeros_like(x)


def test_networks_are_told_how_far_known_states_can_be_trusted():
    given, net = condition(), Recording()
    x_t, sigma = torch.randn(2, 6, 4, 2, 4), torch.ones(2)
    denoiser = Denoiser(net)
    exact = denoiser(x_t, sigma, given)
    assert torch.equal(net.told, given.mask.expand(2, 6, 1, 2, 4))
    doubt = torch.tensor([0.0, 0.25])[:, None, None, None, None]
    assert torch.equal(denoiser(x_t, sigma, dataclasses.replace(given, doubt=doubt)), exact)
    assert torch.equal(net.told[0, :, 0, 0, 0], torch.tensor([1.0, 1, 0, 0, 0, 0]))
    assert torch.equal(net.told[1, :, 0, 0, 0], torch.tensor([0.75, 0.75, 0, 0, 0, 0]))
    row = dataclasses.replace(given, doubt=doubt).rows(torch.tensor([1]))
    assert torch.equal(row.doubt, doubt[1:])


def test_half_of_the_blankets_have_exact_known_states():
    generator = np.random.default_rng(0)
    shares = MaskShares({2: 1.0}, scattered=0.0, scattered_share=0.5, noise=0.4)
    doubts = np.array([shares.draw_doubt(generator) for _ in range(4000)])
    assert abs((doubts == 0).mean() - 0.5) < 0.03
    assert abs(doubts[doubts > 0].mean() - 0.2) < 0.01
    assert doubts.max() <= 0.4


def test_loss_weight_undoes_the_output_scale():
    sigma = torch.tensor([0.1, 1.0, 10.0])
    c_out = sigma / (1 + sigma**2).sqrt()
    torch.testing.assert_close(loss_weight(sigma) * c_out**2, torch.ones(3))


def test_masks_have_their_shares():
    shares = MaskShares({1: 0.2, 2: 0.5}, scattered=0.2, scattered_share=0.5)
    generator = np.random.default_rng(0)
    masks = np.stack([shares.draw(6, generator) for _ in range(20_000)])
    two = (masks == [1, 1, 0, 0, 0, 0]).all(1).mean()
    none = (masks == 0).all(1).mean()
    assert two == pytest.approx(0.5 + 0.2 / 64, abs=0.015)
    assert none == pytest.approx(0.1 + 0.2 / 64, abs=0.01)


def test_reference_hour_encodings(shared_data):
    oracle = np.load(shared_data / "vectors" / "appa_reference" / "oracle.npz")
    stamps = oracle["timestamps"].reshape(-1, 4)
    times = np.array(
        [f"{y:04d}-{m:02d}-{d:02d}T{h:02d}" for y, m, d, h in stamps], "datetime64[s]"
    )
    ours = date_encoding(times, np.array([0.0, 90.0, -120.0]))[:, 2:]
    theirs = oracle["hour_encoding"].reshape(len(times), 3, 2).transpose(0, 2, 1)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
