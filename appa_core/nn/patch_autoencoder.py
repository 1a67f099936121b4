"""Compressing a state into a small latent grid, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from appa_core.nn.bases import Autoencoder
from appa_core.nn.layers import ConvBlock, RowLinear, SphereConv


@dataclass(frozen=True)
class PatchShape:
    """Sizes of an autoencoder.

    Args:
        channels: Channels of a state.
        rows: Latitudes of a state.
        columns: Longitudes of a state.
        patch: Side of the square of cells that becomes one latent position.
        latent_channels: Channels of the latent.
        hidden_channels: Channels of the residual networks.
        blocks: Residual blocks in the encoder and in the decoder.
    """

    channels: int
    rows: int
    columns: int
    patch: int
    latent_channels: int
    hidden_channels: int
    blocks: int

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns) of a latent."""
        return self.latent_channels, self.rows // self.patch, self.columns // self.patch

    @property
    def compression(self) -> float:
        """Values of a state per value of its latent."""
        c, h, w = self.latent_shape
        return self.channels * self.rows * self.columns / (c * h * w)


class _Half(nn.Module):
    """A row-wise linear map plus a convolutional network that starts as zero."""

    def __init__(self, shape: PatchShape, fan_in: int, fan_out: int) -> None:
        super().__init__()
        rows, hidden = shape.latent_shape[1], shape.hidden_channels
        self.linear = RowLinear(rows, fan_in, fan_out)
        self.stem = SphereConv(fan_in, hidden, 1)
        self.blocks = nn.Sequential(*(ConvBlock(hidden, rows) for _ in range(shape.blocks)))
        self.head = SphereConv(hidden, fan_out, 1, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x) + self.head(self.blocks(self.stem(x)))
        return out


class PatchAutoencoder(Autoencoder):
    """Encoder and decoder between standardised states and latents.

    Patches of cells become channels (pixel unshuffle); each half is a linear map of its own for
    every latitude row, which principal components initialise, plus a residual convolutional
    network that mends what neighbouring patches and nonlinear relations explain.

    Args:
        shape: Sizes; the patch must divide the grid.
    """

    def __init__(self, shape: PatchShape) -> None:
        super().__init__()
        if shape.rows % shape.patch or shape.columns % shape.patch:
            raise ValueError(f"patch {shape.patch} must divide {shape.rows} x {shape.columns}")
        self.shape = shape
        patch_values = shape.channels * shape.patch**2
        self.encoder = _Half(shape, patch_values, shape.latent_channels)
        self.decoder = _Half(shape, shape.latent_channels, patch_values)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns) of a latent."""
        return self.shape.latent_shape

    @property
    def units(self) -> list[nn.Module]:
        """The residual blocks of both halves."""
        return [*self.encoder.blocks, *self.decoder.blocks]

    def encode(self, x: Tensor) -> Tensor:
        """Standardised states (..., C, H, W) to latents (..., c, h, w)."""
        lead = x.shape[:-3]
        z: Tensor = self.encoder(F.pixel_unshuffle(x.flatten(0, -4), self.shape.patch))
        return z.reshape(*lead, *z.shape[1:])

    def decode(self, z: Tensor) -> Tensor:
        """Latents (..., c, h, w) to standardised states (..., C, H, W)."""
        lead = z.shape[:-3]
        x = F.pixel_shuffle(self.decoder(z.flatten(0, -4)), self.shape.patch)
        return x.reshape(*lead, *x.shape[1:])

    @torch.no_grad()
    def initialise_from(self, parts: Iterable[Tensor], channel_weights: Tensor) -> None:
        """Set the linear maps to the principal components of the patches of each row.

        Each row's components are rotated within their span towards those of all rows together,
        so that a latent channel means much the same everywhere.

        Args:
            parts: Standardised states (N, C, H, W), a sample of the training data in parts.
            channel_weights: (C,) importance of each channel in the loss; the components are
                those of the fields times its square root.
        """
        keep = self.shape.latent_channels
        root = channel_weights.sqrt().repeat_interleave(self.shape.patch**2)
        covariance = sum(self._second_moments(states, root) for states in parts)
        assert isinstance(covariance, Tensor)
        common = torch.linalg.eigh(covariance.mean(0))[1].flip(-1)[:, :keep]
        leading = torch.linalg.eigh(covariance)[1].flip(-1)[..., :keep]
        u, _, vh = torch.linalg.svd(leading.mT @ common)
        basis = (leading @ u @ vh).float()
        scale = (len(root) / keep) ** 0.5  # latents of order one
        self.encoder.linear.weight.copy_(basis.mT * root / scale)
        self.decoder.linear.weight.copy_(basis * scale / root[:, None])

    def _second_moments(self, states: Tensor, root: Tensor) -> Tensor:
        """Sums of products of the values of patches, by row: (rows, values, values) float64."""
        patches = F.pixel_unshuffle(states, self.shape.patch)
        patches = patches.permute(2, 0, 3, 1).flatten(1, 2)  # rows, samples, values
        weighted = (patches * root).double()
        return weighted.mT @ weighted
