"""A space-time transformer modulated by the noise level, beside a linear path."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from appa_core.nn.bases import BlanketBackbone
from appa_core.nn.layers import SphereConv, fourier_features


@dataclass(frozen=True)
class LinearPathShape:
    """Sizes of a space-time transformer.

    Args:
        latent_shape: (c, h, w) of one latent.
        states: States K of a blanket.
        context_channels: Channels that go with each state besides its latent.
        time_patch: Consecutive states that share a token; divides `states`.
        width: Features of a token.
        depth: Blocks.
        heads: Attention heads; divides the width.
        expansion: Width of the feed-forward network over that of the token.
        noise_features: Features of the noise-level embedding.
        skip_kernel: Neighbourhood of the linear path from input to output.
    """

    latent_shape: tuple[int, int, int]
    states: int
    context_channels: int
    time_patch: int
    width: int
    depth: int
    heads: int
    expansion: int = 4
    noise_features: int = 64
    skip_kernel: int = 1

    @property
    def token_grid(self) -> tuple[int, int, int]:
        """Tokens along (time, latitude, longitude)."""
        return (self.states // self.time_patch, *self.latent_shape[1:])


class RotaryAttention(nn.Module):
    """Multi-head attention with query-key normalisation and learned rotary positions."""

    def __init__(self, shape: LinearPathShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        self.gain = nn.Parameter(torch.full((shape.heads, 1, 1), 4.0))
        pairs = shape.width // shape.heads // 2
        grid = torch.meshgrid(*(torch.arange(n) for n in shape.token_grid), indexing="ij")
        position = torch.stack(grid, dim=-1).flatten(0, 2).float()
        self.register_buffer("position", position, persistent=False)
        spread = torch.linspace(0, 1, shape.heads * pairs).reshape(shape.heads, 1, pairs)
        octaves = torch.stack([1.6180 * spread, 2.4142 * spread, 3.3028 * spread], dim=1)
        self.frequency = nn.Parameter(torch.sin(2 * math.pi * 7 * octaves)[:, :, 0])

    def _rotate(self, x: Tensor, angle: Tensor) -> Tensor:
        even, odd = x[..., ::2], x[..., 1::2]
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)

    def forward(self, x: Tensor) -> Tensor:
        """Mix tokens (B, N, D)."""
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        angle = torch.einsum("na,hap->hnp", self.position, self.frequency)
        q = self._rotate(F.normalize(q, dim=-1) * self.gain, angle)
        k = self._rotate(F.normalize(k, dim=-1), angle)
        y = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        out: Tensor = self.out(y.transpose(1, 2).flatten(-2))
        return out


class Block(nn.Module):
    """Attention, local mixing and a feed-forward network, each gated by the noise level."""

    def __init__(self, shape: LinearPathShape) -> None:
        super().__init__()
        self.grid = shape.token_grid
        hidden = shape.expansion * shape.width
        self.norm = nn.LayerNorm(shape.width, elementwise_affine=False)
        self.attention = RotaryAttention(shape)
        self.expand = nn.Linear(shape.width, hidden)
        self.local = nn.Conv2d(hidden, hidden, 3, groups=hidden, bias=False)
        self.contract = nn.Linear(hidden, shape.width)
        self.modulation = nn.Linear(shape.noise_features, 6 * shape.width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        nn.init.zeros_(self.local.weight)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Tokens (B, N, D) and noise embedding (B, F) to tokens."""
        a, b, c, d, e, f = self.modulation(noise)[:, None].chunk(6, dim=-1)
        x = x + c * self.attention(self.norm(x) * (1 + a) + b)
        y = self.expand(self.norm(x) * (1 + d) + e)
        y = F.gelu(y + self._mix_neighbours(y))
        out: Tensor = x + f * self.contract(y)
        return out

    def _mix_neighbours(self, y: Tensor) -> Tensor:
        _, rows, columns = self.grid
        grid = y.reshape(-1, rows, columns, y.shape[-1]).permute(0, 3, 1, 2)
        grid = F.pad(F.pad(grid, (1, 1, 0, 0), mode="circular"), (0, 0, 1, 1))
        out: Tensor = self.local(grid)
        return out.permute(0, 2, 3, 1).reshape(y.shape)


class LinearPathTransformer(BlanketBackbone):
    """Tokens of a blanket of latents, mixed over time, latitude and longitude.

    Args:
        shape: Sizes.
    """

    def __init__(self, shape: LinearPathShape) -> None:
        super().__init__()
        if shape.states % shape.time_patch or shape.width % (2 * shape.heads):
            raise ValueError(f"time_patch must divide states and 2 heads the width: {shape}")
        self.shape = shape
        channels, rows, columns = shape.latent_shape
        features = (channels + shape.context_channels) * shape.time_patch
        self.embed = nn.Linear(features, shape.width)
        self.place = nn.Parameter(torch.zeros(rows * columns, shape.width))
        self.noise = nn.Sequential(
            nn.Linear(shape.noise_features, shape.noise_features),
            nn.SiLU(),
            nn.Linear(shape.noise_features, shape.noise_features),
            nn.SiLU(),
        )
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width)
        self.unembed = nn.Linear(shape.width, channels * shape.time_patch)
        self.skip = SphereConv(features, channels * shape.time_patch, shape.skip_kernel, zero=True)
        self.gate = nn.Linear(shape.noise_features, features)
        for layer in (self.unembed, self.gate):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @property
    def units(self) -> list[nn.Module]:
        """The blocks."""
        return list(self.blocks)

    def forward(self, x: Tensor, context: Tensor, c_noise: Tensor) -> Tensor:
        """Raw network output, (B, K, c, h, w); see `BlanketBackbone`."""
        time, rows, columns = self.shape.token_grid
        tokens = torch.cat([x, context], dim=2)
        tokens = tokens.reshape(len(x), time, -1, *tokens.shape[2:]).permute(0, 1, 4, 5, 2, 3)
        inputs = tokens.flatten(-2)  # (B, time, h, w, features)
        noise = self.noise(fourier_features(c_noise, self.shape.noise_features))
        tokens = self.embed(inputs.flatten(1, 3)) + self.place.repeat(time, 1)
        for block in self.blocks:
            tokens = block(tokens, noise)
        flat: Tensor = self.unembed(self.norm(tokens))
        out = (flat + self._linear_part(inputs, noise)).reshape(
            -1, time, rows, columns, self.shape.time_patch, x.shape[2]
        )
        return out.permute(0, 1, 4, 5, 2, 3).flatten(1, 2)

    def _linear_part(self, inputs: Tensor, noise: Tensor) -> Tensor:
        """A linear map of neighbouring inputs, gated by noise level: what needs no network.

        Persistence and slow advection of known states, and most of the noise at low levels, are
        linear; without this path they would have to pass the narrow width of the tokens.
        """
        gated = inputs * (1 + self.gate(noise))[:, None, None, None]
        grid = gated.flatten(0, 1).permute(0, 3, 1, 2)
        out: Tensor = self.skip(grid)
        return out.permute(0, 2, 3, 1).reshape(len(inputs), -1, out.shape[1])
