"""From terrain-following sigma levels to pressure levels and sea level.

Between model levels, temperature, wind and humidity are linear in ln p and geopotential follows
the hypsometric equation. Below the lowest level, temperature follows the standard lapse rate,
geopotential and sea-level pressure its integral, wind and humidity keep their lowest value: the
conventions of the ECMWF post-processing (IFS documentation, part VI, FULL-POS).
"""

from __future__ import annotations

import numpy as np

from appa_core.constants import GAS_CONSTANT_DRY_AIR as R_DRY
from appa_core.constants import STANDARD_GRAVITY as GRAVITY

LAPSE_RATE = 0.0065  # K m-1
_EXPONENT = R_DRY * LAPSE_RATE / GRAVITY
_HOT, _COLD = 290.5, 255.0  # K, limits of the sea-level reduction


class SigmaColumns:
    """Columns on sigma levels, ready to be read at any pressure.

    Args:
        sigma: (L,) levels from the top down, ascending.
        surface_pressure: (..., H, W) Pa.
    """

    def __init__(self, sigma: np.ndarray, surface_pressure: np.ndarray) -> None:
        if (np.diff(sigma) <= 0).any():
            raise ValueError(f"sigma must ascend from the top down, got {sigma}")
        self.log_p = np.log(sigma)[:, None, None] + np.log(surface_pressure)[..., None, :, :]
        self.surface_pressure = surface_pressure

    def _bracket(self, log_target: float) -> tuple[np.ndarray, np.ndarray]:
        """Index of the level above the target, clipped, and the weight of the one below."""
        levels = self.log_p.shape[-3]
        above = np.clip((self.log_p < log_target).sum(axis=-3, keepdims=True) - 1, 0, levels - 2)
        upper = np.take_along_axis(self.log_p, above, axis=-3)
        lower = np.take_along_axis(self.log_p, above + 1, axis=-3)
        return above, (log_target - upper) / (lower - upper)

    def _at(self, field: np.ndarray, log_target: float, *, extend_top: bool) -> np.ndarray:
        above, weight = self._bracket(log_target)
        weight = np.clip(weight, None if extend_top else 0.0, 1.0)
        upper = np.take_along_axis(field, above, axis=-3)
        lower = np.take_along_axis(field, above + 1, axis=-3)
        return np.asarray(((1 - weight) * upper + weight * lower)[..., 0, :, :])

    def field(self, values: np.ndarray, pressure: float, *, extend_top: bool = True) -> np.ndarray:
        """Wind or humidity (..., L, H, W) at a pressure in Pa; constant below the lowest level."""
        return self._at(values, float(np.log(pressure)), extend_top=extend_top)

    def temperature(self, values: np.ndarray, pressure: float) -> np.ndarray:
        """Temperature (..., L, H, W) in K at a pressure in Pa."""
        log_target = float(np.log(pressure))
        inside = self._at(values, log_target, extend_top=True)
        depth = np.clip(log_target - self.log_p[..., -1, :, :], 0.0, None)
        below = values[..., -1, :, :] * np.exp(_EXPONENT * depth)
        return np.asarray(np.where(depth > 0, below, inside))

    def geopotential(
        self, values: np.ndarray, temperature: np.ndarray, pressure: float
    ) -> np.ndarray:
        """Geopotential (..., L, H, W) in m2 s-2 at a pressure in Pa.

        Inside, the hypsometric integral from the level below, plus the linear share of what that
        integral misses at the level above, so that it passes through the model's own levels.
        """
        log_target = float(np.log(pressure))
        above, weight = self._bracket(log_target)
        take = np.take_along_axis
        t_up, t_low = take(temperature, above, -3), take(temperature, above + 1, -3)
        z_up, z_low = take(values, above, -3), take(values, above + 1, -3)
        span = take(self.log_p, above + 1, -3) - take(self.log_p, above, -3)
        share = 1 - weight  # 0 at the lower level, 1 at the upper
        t_here = t_low + share * (t_up - t_low)
        thickness = R_DRY * (t_low + t_here) / 2 * share * span
        missing = z_up - z_low - R_DRY * (t_low + t_up) / 2 * span
        inside = (z_low + thickness + share * missing)[..., 0, :, :]
        depth = np.clip(log_target - self.log_p[..., -1, :, :], 0.0, None)
        t_bottom = temperature[..., -1, :, :]
        drop = t_bottom * np.expm1(_EXPONENT * depth) * GRAVITY / LAPSE_RATE
        return np.asarray(np.where(depth > 0, values[..., -1, :, :] - drop, inside))

    def sea_level_pressure(
        self, temperature: np.ndarray, surface_geopotential: np.ndarray
    ) -> np.ndarray:
        """Mean sea level pressure in Pa, with the lapse rate eased over hot and cold ground."""
        depth = np.log(self.surface_pressure) - self.log_p[..., -1, :, :]
        t_surface = temperature[..., -1, :, :] * np.exp(_EXPONENT * depth)
        t_sea = t_surface + LAPSE_RATE * surface_geopotential / GRAVITY
        t_surface, t_sea = _ease(t_surface, t_sea)
        warming = t_sea - t_surface
        ratio = surface_geopotential / (R_DRY * t_surface)
        # gamma R / g, with gamma the lapse rate between ground and sea level; 0 / 0 at the sea
        x = np.divide(
            R_DRY * warming,
            surface_geopotential,
            out=np.zeros_like(ratio),
            where=np.abs(surface_geopotential) > 1.0,
        )
        y = x * ratio
        return np.asarray(self.surface_pressure * np.exp(ratio * (1 - y / 2 + y * y / 3)))


def _ease(t_surface: np.ndarray, t_sea: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Limits for hot and cold ground, where the standard lapse rate overshoots."""
    hot = t_sea > _HOT
    t_sea = np.where(hot & (t_surface <= _HOT), _HOT, t_sea)
    very_hot = hot & (t_surface > _HOT)
    t_surface = np.where(very_hot, (_HOT + t_surface) / 2, t_surface)
    t_sea = np.where(very_hot, t_surface, t_sea)
    t_surface = np.where(t_surface < _COLD, (_COLD + t_surface) / 2, t_surface)
    return t_surface, t_sea
