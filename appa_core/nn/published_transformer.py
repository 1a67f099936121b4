"""The space-time diffusion transformer whose weights Appa's authors published (v3).

Written from the paper (Andry et al., arXiv 2504.18720), the names and shapes of the weights, and
reference numbers; `tests/golden/test_published_transformer.py` holds it to them. Parameters bear
the published names, so that `load_state_dict` takes a published checkpoint as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from appa_core.nn.bases import BlanketBackbone

_EPS = 1e-5
#: sin and cos of the year's progress, sin and cos of the hour
_DATE_FEATURES = 4
_DAYS_BEFORE_MONTH = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)


def year_encoding(timestamps: Tensor) -> Tensor:
    """Sine and cosine of the share of the year that has passed.

    Args:
        timestamps: (..., 4) integers: year, month, day, hour (UTC).

    Returns:
        (..., 2) float32.
    """
    year, month, day, hour = timestamps.unbind(-1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    before = torch.tensor(_DAYS_BEFORE_MONTH, device=timestamps.device)[month - 1]
    days = before + (leap & (month > 2)) + day - 1 + hour.double() / 24
    return _circle(days / (365 + leap.double()))


def hour_encoding(timestamps: Tensor, longitudes: Tensor) -> Tensor:
    """Sine and cosine of the share of the local (solar) day that has passed.

    Args:
        timestamps: (..., 4) integers: year, month, day, hour (UTC).
        longitudes: (W,) degrees east.

    Returns:
        (..., W, 2) float32.
    """
    return _circle(timestamps[..., 3, None].double() / 24 + longitudes.double() / 360)


def date_features(timestamps: Tensor) -> Tensor:
    """What the transformer is told of each state's date: year, then hour at Greenwich.

    Args:
        timestamps: (..., 4) integers: year, month, day, hour (UTC).

    Returns:
        (..., 4) float32, each pair sine then cosine.
    """
    greenwich = torch.zeros(1, device=timestamps.device)
    hours = hour_encoding(timestamps, greenwich)[..., 0, :]
    return torch.cat([year_encoding(timestamps), hours], dim=-1)


def _circle(turns: Tensor) -> Tensor:
    angle = 2 * math.pi * turns
    return torch.stack([angle.sin(), angle.cos()], dim=-1).float()


@dataclass(frozen=True)
class DiffusionTransformerShape:
    """Sizes of the transformer, under the names of the published configuration.

    Args:
        latent_shape: (c, h, w) of one latent.
        blanket_size: States K of a blanket.
        mod_features: Features of the noise-level embedding; even.
        hid_channels: Features of a token.
        hid_blocks: Blocks.
        ffn_factor: Width of the feed-forward network over that of a token.
        attention_heads: Heads; twice their number divides `hid_channels`.
        qk_norm: Normalise queries and keys to unit mean square.
        rope: Rotary positions; only True is known to us.
        patch_size: (states, rows, columns) that share a token.
        window_size: Local attention; only None (every token sees every other) is known to us.
        dropout: Rate in the feed-forward networks, in training.
        checkpointing: Recompute blocks in the backward pass instead of keeping activations.
        tells_known: A further channel tells which states are given; none was published.
    """

    latent_shape: Sequence[int]
    blanket_size: int
    mod_features: int
    hid_channels: int
    hid_blocks: int
    ffn_factor: int
    attention_heads: int
    qk_norm: bool = True
    rope: bool = True
    patch_size: Sequence[int] = (2, 1, 1)
    window_size: Sequence[int] | None = None
    dropout: float = 0.0
    checkpointing: bool = False
    tells_known: bool = False

    def __post_init__(self) -> None:
        if not self.rope or self.window_size is not None:
            raise ValueError("known only with rotary positions and global attention")
        grid = (self.blanket_size, *self.latent_shape[1:])
        if any(size % patch for size, patch in zip(grid, self.patch_size, strict=True)):
            raise ValueError(f"patches {self.patch_size} must divide the blanket {grid}")
        if self.hid_channels % (2 * self.attention_heads) or self.mod_features % 2:
            raise ValueError(f"odd features for sine pairs or a head: {self}")

    @property
    def token_grid(self) -> tuple[int, ...]:
        """Tokens along (time, latitude, longitude)."""
        grid = (self.blanket_size, *self.latent_shape[1:])
        return tuple(size // patch for size, patch in zip(grid, self.patch_size, strict=True))

    @property
    def patch_cells(self) -> int:
        """Latent positions that share a token."""
        return math.prod(self.patch_size)


class SineFeatures(nn.Module):
    """Sines, then cosines, of a value at geometrically spaced frequencies (Vaswani et al. 2017).

    Args:
        features: Even number of features F.
        lowest: Lowest frequency, radians per unit; the highest is 1.
    """

    freqs: Tensor

    def __init__(self, features: int, lowest: float) -> None:
        super().__init__()
        self.register_buffer("freqs", lowest ** torch.linspace(0, 1, features // 2))

    def forward(self, value: Tensor) -> Tensor:
        """(...) to (..., F)."""
        angle = value[..., None] * self.freqs
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


class SelfAttention(nn.Module):
    """Multi-head attention over all tokens, positions as rotations (Su et al. 2021)."""

    def __init__(self, shape: DiffusionTransformerShape) -> None:
        super().__init__()
        width = shape.hid_channels
        self.heads = shape.attention_heads
        self.qk_norm = shape.qk_norm
        self.qkv_proj = nn.Linear(width, 3 * width, bias=False)
        self.y_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, angle: Tensor) -> Tensor:
        """Tokens (B, N, D) and rotation angles (N, D / 2) to (B, N, D)."""
        q, k, v = self.qkv_proj(x).reshape(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        turn = angle.reshape(len(angle), self.heads, -1).transpose(0, 1)
        y = F.scaled_dot_product_attention(self._placed(q, turn), self._placed(k, turn), v)
        out: Tensor = self.y_proj(y.transpose(1, 2).flatten(-2))
        return out

    def _placed(self, x: Tensor, turn: Tensor) -> Tensor:
        """Rotate neighbouring pairs of (B, H, N, E) by (H, N, E / 2)."""
        if self.qk_norm:
            x = F.rms_norm(x, x.shape[-1:], eps=_EPS)
        even, odd = x[..., ::2], x[..., 1::2]
        cos, sin = turn.cos(), turn.sin()
        turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
        return turned.flatten(-2).to(x.dtype)


class TransformerBlock(nn.Module):
    """Attention and a feed-forward network in one branch, then a path from the first tokens.

    Scale a, shift b and gates c, d follow from the noise level (AdaLN-zero, Peebles and Xie 2022):
    u = (1 + a) norm(x) + b; y = ffn(u + attention(u)); x' = (x + c y) / sqrt(1 + c^2); and
    (x' + d skip) / sqrt(1 + d^2) leaves the block, of the variance that came in.
    """

    def __init__(self, shape: DiffusionTransformerShape) -> None:
        super().__init__()
        width, noise = shape.hid_channels, shape.mod_features
        self.ada_zero = nn.Sequential(
            nn.Linear(noise, noise), nn.SiLU(), nn.Linear(noise, 4 * width)
        )
        self.msa = SelfAttention(shape)
        self.ffn = nn.Sequential(
            nn.Linear(width, shape.ffn_factor * width),
            nn.SiLU(),
            nn.Dropout(shape.dropout),
            nn.Linear(shape.ffn_factor * width, width),
        )
        #: radians per token along (time, latitude, longitude), for each pair of features
        self.theta = nn.Parameter(torch.empty(3, width // 2))
        nn.init.normal_(self.theta, std=0.1)
        for parameter in self.ada_zero[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, skip: Tensor, noise: Tensor, position: Tensor) -> Tensor:
        """Tokens (B, N, D), first tokens (B, N, D), noise (B, F), positions (N, 3) to tokens."""
        a, b, c, d = self.ada_zero(noise)[:, None].chunk(4, dim=-1)
        u = (1 + a) * F.layer_norm(x, x.shape[-1:], eps=_EPS) + b
        # no matrix product: autocast would round these angles of many radians
        angle = (position[:, :, None] * self.theta).sum(1)
        y = self.ffn(u + self.msa(u, angle))
        x = (x + c * y) * torch.rsqrt(1 + c**2)
        out: Tensor = (x + d * skip) * torch.rsqrt(1 + d**2)
        return out


class DiffusionTransformer(BlanketBackbone):
    """Raw network of the published denoiser: a blanket of latents, its dates and a noise level.

    Args:
        shape: Sizes.
    """

    position: Tensor

    def __init__(self, shape: DiffusionTransformerShape) -> None:
        super().__init__()
        self.shape = shape
        channels, width = shape.latent_shape[0], shape.hid_channels
        inputs = channels + shape.tells_known + _DATE_FEATURES * shape.blanket_size
        axes = (torch.arange(size, dtype=torch.float32) for size in shape.token_grid)
        self.register_buffer("position", torch.cartesian_prod(*axes), persistent=False)
        self.diffusion_time_encoder = SineFeatures(shape.mod_features, 1e-2)
        self.positional_embedding = nn.Sequential(
            SineFeatures(width, 1e-2), nn.Flatten(-2), nn.Linear(3 * width, width)
        )
        self.in_proj = nn.Linear(inputs * shape.patch_cells, width)
        self.blocks = nn.ModuleList(TransformerBlock(shape) for _ in range(shape.hid_blocks))
        self.out_proj = nn.Linear(width, channels * shape.patch_cells)

    @property
    def units(self) -> list[nn.Module]:
        """The blocks."""
        return list(self.blocks)

    def forward(self, x: Tensor, context: Tensor, c_noise: Tensor) -> Tensor:
        """Raw network output, (B, K, c, h, w); see `BlanketBackbone`.

        Dates are taken from the first cell of the context: they must be the same everywhere.
        """
        dates = context[:, :, :_DATE_FEATURES, 0, 0]
        known = context[:, :, _DATE_FEATURES:] if self.shape.tells_known else None
        return self.from_dates(x, c_noise, dates, known)

    def from_dates(
        self, x: Tensor, c_noise: Tensor, dates: Tensor, known: Tensor | None = None
    ) -> Tensor:
        """`forward` in the terms of the published network.

        Args:
            x: Scaled noisy latents (B, K, c, h, w).
            c_noise: Noise level as the network sees it, (B,).
            dates: `date_features` of the states, (B, K, 4).
            known: 1 for given states (B, K, 1, h, w), if the network is told.

        Returns:
            (B, K, c, h, w).
        """
        given = x if known is None else torch.cat([x, known.to(x)], dim=2)
        skip = self.in_proj(torch.cat([self._to_tokens(given), self._spread(dates)], dim=-1))
        noise = self.diffusion_time_encoder(c_noise.to(x.dtype))
        tokens = skip + self.positional_embedding(self.position)
        for block in self.blocks:
            if self.shape.checkpointing and torch.is_grad_enabled():
                inputs = (tokens, skip, noise, self.position)
                tokens = checkpoint(block, *inputs, use_reentrant=False)
            else:
                tokens = block(tokens, skip, noise, self.position)
        return self._from_tokens(self.out_proj(tokens))

    def _spread(self, dates: Tensor) -> Tensor:
        """Dates (B, K, 4) to what every token is told, (B, N, 4 K cells).

        Each token knows the dates of the whole blanket: years of all states, then their hours;
        each number comes once for every cell of the patch.
        """
        told = torch.cat([dates[..., :2].flatten(1), dates[..., 2:].flatten(1)], dim=1)
        told = told.repeat_interleave(self.shape.patch_cells, dim=1)
        return told[:, None].expand(-1, len(self.position), -1)

    def _to_tokens(self, x: Tensor) -> Tensor:
        """(B, K, c, h, w) to (B, N, c cells): channel first, then place in the patch."""
        (t, y, z), (p, q, r) = self.shape.token_grid, self.shape.patch_size
        x = x.reshape(len(x), t, p, -1, y, q, z, r)
        return x.permute(0, 1, 4, 6, 3, 2, 5, 7).flatten(4).flatten(1, 3)

    def _from_tokens(self, tokens: Tensor) -> Tensor:
        """The inverse of `_to_tokens`."""
        (t, y, z), (p, q, r) = self.shape.token_grid, self.shape.patch_size
        x = tokens.reshape(len(tokens), t, y, z, -1, p, q, r).permute(0, 1, 5, 4, 2, 6, 3, 7)
        return x.flatten(6).flatten(4, 5).flatten(1, 2)
