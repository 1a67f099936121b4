"""Tapering of sample covariances with distance.

References:
    Gaspari & Cohn 1999, Construction of correlation functions in two and three dimensions,
        eq. 4.10.
    Houtekamer & Mitchell 2001, A sequential ensemble Kalman filter for atmospheric data
        assimilation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from appa_core.constants import EARTH_RADIUS_M

_EARTH_RADIUS_KM = EARTH_RADIUS_M / 1e3


def gaspari_cohn(r: Tensor) -> Tensor:
    """The piecewise rational correlation of compact support: 1 at 0, 0 from 2 on.

    Args:
        r: Distances over the half-width, 0 or more.
    """
    near = 1 - r**2 * (5 / 3 - r * (5 / 8 + r * (1 / 2 - r / 4)))
    far_r = r.clamp(min=1.0)
    far = 4 - far_r * (5 - far_r * (5 / 3 + far_r * (5 / 8 - far_r * (1 / 2 - far_r / 12))))
    far = far - 2 / (3 * far_r)
    return torch.where(r < 1, near, torch.where(r < 2, far, torch.zeros_like(r))).clamp(min=0)


@dataclass(frozen=True)
class Places:
    """Where the values of states and observations lie.

    Args:
        cells: Unit vectors of the cells of a flattened (H, W), (H W, 3).
        channel_height: -ln of pressure of each channel, (C,); the surface is that of 1000 hPa.
        rows: Unit vectors of observations, (M, 3).
        row_height: -ln of pressure of each, (M,).
        row_state: Valid time of each in states since the first of the trajectory, (M,).
    """

    cells: Tensor
    channel_height: Tensor
    rows: Tensor
    row_height: Tensor
    row_state: Tensor


@dataclass(frozen=True)
class Localisation:
    """Half-widths of the tapering: covariances vanish at twice these distances.

    Args:
        horizontal_km: Along chords of the sphere, which keeps products positive definite.
        vertical_ln_p: In ln(p).
        states: In time.
    """

    horizontal_km: float
    vertical_ln_p: float
    states: float

    def horizontal(self, one: Tensor, other: Tensor) -> Tensor:
        """Factors between unit vectors (N, 3) and (M, 3), (N, M)."""
        chord = (2 - 2 * one @ other.mT).clamp(min=0).sqrt()
        return gaspari_cohn(_EARTH_RADIUS_KM * chord / self.horizontal_km)

    def vertical(self, one: Tensor, other: Tensor) -> Tensor:
        """Factors between heights (N,) and (M,), (N, M)."""
        return gaspari_cohn((one[:, None] - other[None]).abs() / self.vertical_ln_p)

    def temporal(self, one: Tensor, other: Tensor) -> Tensor:
        """Factors between times (N,) and (M,) in states, (N, M)."""
        return gaspari_cohn((one[:, None] - other[None]).abs() / self.states)
