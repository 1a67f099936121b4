"""Columns of air: hydrostatic balance, moisture and mass.

References:
    Wallace & Hobbs 2006, Atmospheric science, eq. 3.29 (the hypsometric equation).
    Bolton 1980, The computation of equivalent potential temperature, eq. 10.
"""

from __future__ import annotations

import numpy as np
import torch

from appa_core import thermodynamics
from appa_core.constants import GAS_CONSTANT_DRY_AIR, STANDARD_GRAVITY

_PA_PER_HPA = 100.0


def virtual_temperature(temperature: np.ndarray, humidity: np.ndarray | None) -> np.ndarray:
    """In K; the temperature itself where no specific humidity is known."""
    if humidity is None:
        return temperature
    parts = (torch.from_numpy(np.asarray(x, np.float64)) for x in (temperature, humidity))
    return np.asarray(thermodynamics.virtual_temperature(*parts).numpy())


def layer_means(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Means over layers of values that are linear in ln p in between.

    Args:
        values: (L, H, W), levels from the top down.
        levels: Pressure (L,), ascending.

    Returns:
        (L - 1, H, W).
    """
    if len(levels) != len(values):
        raise ValueError(f"{len(values)} fields on {len(levels)} levels")
    return np.asarray((values[1:] + values[:-1]) / 2)


def hydrostatic_departure(
    geopotential: np.ndarray, virtual: np.ndarray, levels: np.ndarray
) -> np.ndarray:
    """How much warmer layers are by their thickness than by their temperature.

    (Phi_up - Phi_low) / (R ln(p_low / p_up)) - mean T_v; 0 in hydrostatic balance, but for the
    curvature of T_v between levels.

    Args:
        geopotential: (L, H, W) in m2 s-2, levels from the top down.
        virtual: Virtual temperature (L, H, W) in K.
        levels: Pressure (L,), ascending.

    Returns:
        (L - 1, H, W) in K.
    """
    depth = GAS_CONSTANT_DRY_AIR * np.diff(np.log(levels))[:, None, None]
    return np.asarray(-np.diff(geopotential, axis=0) / depth - layer_means(virtual, levels))


def saturation_humidity(temperature: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Specific humidity of saturation over water; infinite where water would boil.

    Args:
        temperature: (L, H, W) in K.
        levels: (L,) in hPa.
    """
    kelvin = torch.from_numpy(np.asarray(temperature, np.float64))
    pressure = torch.from_numpy(_PA_PER_HPA * np.asarray(levels, np.float64))[:, None, None]
    vapour = thermodynamics.saturation_vapour_pressure(kelvin)
    humidity = thermodynamics.specific_humidity(vapour, pressure)
    return np.asarray(torch.where(vapour < pressure, humidity, torch.inf).numpy())


def column_water(humidity: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Vapour between the highest and the lowest level, (L, H, W) to (H, W) in kg m-2.

    Below the ground too where levels run through mountains.
    """
    depth = _PA_PER_HPA * np.diff(np.asarray(levels, float))[:, None, None] / STANDARD_GRAVITY
    return np.asarray((layer_means(humidity, levels) * depth).sum(axis=0))
