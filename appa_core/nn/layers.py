"""Layers on latitude-longitude grids."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SphereConv(nn.Module):
    """Convolution on a latitude-longitude grid: circular in longitude, zeros beyond the poles.

    Args:
        in_channels: Channels of the input (B, C, H, W).
        out_channels: Channels of the output, same grid.
        kernel: Odd kernel size.
        zero: Start from zero weights, so that a residual branch starts as nothing.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, *, zero: bool = False
    ) -> None:
        super().__init__()
        self.pad = kernel // 2
        self.conv = nn.Conv2d(in_channels, out_channels, kernel)
        if zero:
            nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H, W)."""
        if self.pad:
            x = F.pad(x, (self.pad, self.pad, 0, 0), mode="circular")
            x = F.pad(x, (0, 0, self.pad, self.pad))
        out: Tensor = self.conv(x)
        return out


class RowLinear(nn.Module):
    """A linear map over channels with its own weights for every latitude row.

    Cells of a regular grid shrink towards the poles and balances differ with the Coriolis
    parameter, so that one map for all rows wastes channels.

    Args:
        rows: Number of latitude rows.
        in_channels: Channels of the input (B, C, rows, W).
        out_channels: Channels of the output.
    """

    def __init__(self, rows: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, out_channels, in_channels))
        self.bias = nn.Parameter(torch.zeros(rows, out_channels))
        nn.init.normal_(self.weight, std=1 / math.sqrt(in_channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, rows, W) to (B, C', rows, W)."""
        batch, _, rows, width = x.shape
        stacked = x.permute(2, 1, 0, 3).reshape(rows, -1, batch * width)
        out = torch.baddbmm(self.bias[:, :, None], self.weight, stacked)
        return out.reshape(rows, -1, batch, width).permute(2, 1, 0, 3)


class ConvBlock(nn.Module):
    """Pre-normalised residual block: 3 x 3 convolution, then 1 x 1, with a bias by row."""

    def __init__(self, channels: int, rows: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels, affine=False)
        self.row_bias = nn.Parameter(torch.zeros(channels, rows, 1))
        self.mix = SphereConv(channels, channels)
        self.out = SphereConv(channels, channels, 1, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        y = self.mix(self.norm(x)) + self.row_bias
        out: Tensor = x + self.out(F.silu(y))
        return out


def fourier_features(value: Tensor, features: int) -> Tensor:
    """Sine and cosine of a value at geometrically spaced frequencies.

    Args:
        value: (B,) of order 1 to 100.
        features: Even number of features.

    Returns:
        (B, features).
    """
    half = features // 2
    frequencies = torch.exp(
        torch.linspace(math.log(1e-3), math.log(1e-1), half, device=value.device)
    )
    angle = value[:, None].float() * frequencies * 2 * math.pi
    return torch.cat([angle.cos(), angle.sin()], dim=-1)
