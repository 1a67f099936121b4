"""The convolutional autoencoder whose weights Appa's authors published (v3).

Written from the paper (Andry et al., arXiv 2504.18720), the names and shapes of the weights, and
reference numbers; `tests/golden/test_published_autoencoder.py` holds it to them. Parameters bear
the published names, so that `load_state_dict` takes a published checkpoint as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from appa_core.nn.bases import Autoencoder


@dataclass(frozen=True)
class ConvolutionalShape:
    """Sizes of the autoencoder, under the names of the published configuration.

    Args:
        in_channels: Channels C of a state.
        lat_channels: Channels c of a latent.
        shape: (H, W) of a state; `resize` divides W.
        resize: Side of the square of cells that becomes one latent position, 2^(levels - 1).
        hid_channels: Channels at each level, finest first.
        hid_blocks: Residual blocks at each level.
        ffn_factor: Channels within a residual block over those that enter it.
        saturation: Bound on the latents; only "softclip2" is known to us.
        saturation_bound: Latents stay within plus or minus this.
        noise_level: Standard deviation of the noise that training adds to latents; not used here.
        pixel_shuffle: Resample by moving cells to channels; only True is known to us.
        dropout: Rate in the residual blocks, in training.
        patch_size: Cells per input position; only (1, 1) is known to us.
        checkpointing: Recompute blocks in the backward pass instead of keeping activations.
        identity_init: How training began; not used here.
    """

    in_channels: int
    lat_channels: int
    shape: Sequence[int]
    resize: int
    hid_channels: Sequence[int]
    hid_blocks: Sequence[int]
    ffn_factor: int = 1
    saturation: str = "softclip2"
    saturation_bound: float = 5.0
    noise_level: float = 0.0
    pixel_shuffle: bool = True
    dropout: float = 0.0
    patch_size: Sequence[int] = (1, 1)
    checkpointing: bool = False
    identity_init: bool = True

    def __post_init__(self) -> None:
        if self.saturation != "softclip2" or not self.pixel_shuffle:
            raise ValueError("known only with softclip2 and pixel shuffle")
        if tuple(self.patch_size) != (1, 1):
            raise ValueError("known only with patches of one cell")
        if len(self.hid_channels) != len(self.hid_blocks):
            raise ValueError("hid_channels and hid_blocks must name the same levels")
        if self.resize != 2 ** (len(self.hid_channels) - 1) or self.shape[1] % self.resize:
            raise ValueError(f"resize must be 2^(levels - 1) and divide the longitudes: {self}")

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of a latent, which overlaps itself by a column at either end."""
        rows, columns = self.shape
        return self.lat_channels, -(-rows // self.resize), columns // self.resize + 2


class ChannelNorm(nn.Module):
    """Centre and scale each cell over its channels, by the unbiased variance."""

    eps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("eps", torch.tensor(1e-5))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        variance, mean = torch.var_mean(x, dim=1, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + self.eps)


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(norm(x)))).

    Args:
        channels: Channels that enter and leave.
        shape: Sizes.
    """

    def __init__(self, channels: int, shape: ConvolutionalShape) -> None:
        super().__init__()
        self.checkpointing = shape.checkpointing
        self.norm = ChannelNorm()
        self.ffn = nn.Sequential(
            _conv(channels, shape.ffn_factor * channels),
            nn.SiLU(),
            nn.Dropout(shape.dropout),
            _conv(shape.ffn_factor * channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        if self.checkpointing and torch.is_grad_enabled():
            out: Tensor = checkpoint(self._apply_branch, x, use_reentrant=False)
            return out
        return self._apply_branch(x)

    def _apply_branch(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.ffn(self.norm(x))
        return out


def _conv(fan_in: int, fan_out: int) -> nn.Conv2d:
    """3 x 3 with zeros beyond the edge: the state was padded around the globe before."""
    return nn.Conv2d(fan_in, fan_out, 3, padding=1)


def _blocks(level: int, shape: ConvolutionalShape) -> list[nn.Module]:
    channels = shape.hid_channels[level]
    return [ResidualBlock(channels, shape) for _ in range(shape.hid_blocks[level])]


class Encoder(nn.Module):
    """Padded states to latents before saturation, finest level first."""

    def __init__(self, shape: ConvolutionalShape) -> None:
        super().__init__()
        widths = shape.hid_channels
        entries: list[nn.Module] = [_conv(shape.in_channels, widths[0])]
        for fine, coarse in itertools.pairwise(widths):
            entries.append(nn.Sequential(nn.PixelUnshuffle(2), _conv(4 * fine, coarse)))
        levels = [[entry, *_blocks(level, shape)] for level, entry in enumerate(entries)]
        levels[-1].append(_conv(widths[-1], shape.lat_channels))
        self.descent = nn.Sequential(*(nn.Sequential(*level) for level in levels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h resize, w resize) to (B, c, h, w)."""
        out: Tensor = self.descent(x)
        return out


class Decoder(nn.Module):
    """Latents to padded states, coarsest level first."""

    def __init__(self, shape: ConvolutionalShape) -> None:
        super().__init__()
        widths = shape.hid_channels
        exits: list[nn.Module] = [_conv(widths[0], shape.in_channels)]
        for fine, coarse in itertools.pairwise(widths):
            exits.append(nn.Sequential(_conv(coarse, 4 * fine), nn.PixelShuffle(2)))
        levels = [[*_blocks(level, shape), leave] for level, leave in enumerate(exits)][::-1]
        levels[0].insert(0, _conv(shape.lat_channels, widths[-1]))
        self.ascent = nn.Sequential(*(nn.Sequential(*level) for level in levels))

    def forward(self, z: Tensor) -> Tensor:
        """(B, c, h, w) to (B, C, h resize, w resize)."""
        out: Tensor = self.ascent(z)
        return out


class ConvolutionalAutoencoder(Autoencoder):
    """Encoder and decoder between standardised states and latents within a bound.

    A state is padded to whole latent positions, with zeros in latitude (the smaller half before
    the first row) and with one latent column of itself at either end in longitude; decoding crops.

    Args:
        shape: Sizes.
    """

    def __init__(self, shape: ConvolutionalShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns) of a latent."""
        return self.shape.latent_shape

    @property
    def units(self) -> list[nn.Module]:
        """The residual blocks of both halves."""
        return [m for m in self.modules() if isinstance(m, ResidualBlock)]

    def encode(self, x: Tensor) -> Tensor:
        """Standardised states (..., C, H, W) to latents (..., c, h, w)."""
        lead, overlap = x.shape[:-3], self.shape.resize
        above, below = self._missing_rows()
        x = F.pad(x.flatten(0, -4), (overlap, overlap, 0, 0), mode="circular")
        z: Tensor = self.encoder(F.pad(x, (0, 0, above, below)))
        return soft_clip(z, self.shape.saturation_bound).reshape(*lead, *z.shape[1:])

    def decode(self, z: Tensor) -> Tensor:
        """Latents (..., c, h, w) to standardised states (..., C, H, W)."""
        lead, overlap = z.shape[:-3], self.shape.resize
        rows, columns = self.shape.shape
        above, _ = self._missing_rows()
        x: Tensor = self.decoder(z.flatten(0, -4))
        x = x[..., above : above + rows, overlap : overlap + columns]
        return x.reshape(*lead, *x.shape[1:])

    def _missing_rows(self) -> tuple[int, int]:
        missing = self.shape.latent_shape[1] * self.shape.resize - self.shape.shape[0]
        return missing // 2, missing - missing // 2


def soft_clip(z: Tensor, bound: float) -> Tensor:
    """Saturation z / sqrt(1 + (z / bound)^2): the identity near zero, bounded far from it."""
    return z * torch.rsqrt(1 + (z / bound) ** 2)
