"""From what stations, sondes and aircraft report to quantities of the state: numpy, SI units."""

from __future__ import annotations

import numpy as np
import torch

from appa_core import thermodynamics
from appa_core.constants import STANDARD_GRAVITY
from appa_core.observe import physics

# the standard atmosphere of ICAO (Doc 7488, 1993): sea level, lapse rate, tropopause
_P0 = 101_325.0
_T0 = 288.15
_GAS_CONSTANT = 287.05287
_EXPONENT = STANDARD_GRAVITY / (_GAS_CONSTANT * physics.LAPSE_RATE)
_TROPOPAUSE_M = 11_000.0
_T11 = _T0 - physics.LAPSE_RATE * _TROPOPAUSE_M


def wind_components(speed: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eastward and northward wind; a direction is where it comes from, in degrees from north."""
    angle = np.deg2rad(direction)
    return -speed * np.sin(angle), -speed * np.cos(angle)


def standard_pressure(altitude: np.ndarray) -> np.ndarray:
    """Pressure in Pa at a pressure altitude in m, of the standard atmosphere up to 20 km."""
    low = np.minimum(altitude, _TROPOPAUSE_M)
    pressure = _P0 * (1 - physics.LAPSE_RATE * low / _T0) ** _EXPONENT
    above = np.maximum(altitude - _TROPOPAUSE_M, 0.0)
    scale = STANDARD_GRAVITY / (_GAS_CONSTANT * _T11)
    return np.asarray(pressure * np.exp(-scale * above))


def station_pressure(altimeter_setting: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """Pressure in Pa at a station from its altimeter setting.

    An altimeter set to it shows the elevation of the station on the ground: what it reads is the
    standard atmosphere's altitude, less that of the setting.

    Args:
        altimeter_setting: QNH in Pa.
        elevation: Of the station in m, below the tropopause.
    """
    with np.errstate(invalid="ignore"):  # of a setting below zero
        shift = _T0 / physics.LAPSE_RATE * (1 - (altimeter_setting / _P0) ** (1 / _EXPONENT))
    return standard_pressure(elevation + shift)


def pressure_above_sea_level(
    sea_level_pressure: np.ndarray, temperature: np.ndarray, elevation: np.ndarray
) -> np.ndarray:
    """Pressure in Pa at a station whose report has only that at sea level.

    Args:
        sea_level_pressure: Pa.
        temperature: At 2 m, K.
        elevation: m.
    """
    found = physics.station_pressure(
        _tensor(sea_level_pressure), _tensor(temperature), _tensor(elevation)
    )
    return np.asarray(found.numpy())


def humidity_of_dew_point(dew_point: np.ndarray, pressure: np.ndarray) -> np.ndarray:
    """Specific humidity in kg/kg, from a dew point over water in K and a pressure in Pa."""
    vapour = thermodynamics.saturation_vapour_pressure(_tensor(dew_point))
    return np.asarray(thermodynamics.specific_humidity(vapour, _tensor(pressure)).numpy())


def humidity_of_relative(
    relative: np.ndarray, temperature: np.ndarray, pressure: np.ndarray
) -> np.ndarray:
    """Specific humidity in kg/kg, from a share of saturation over water, K and Pa."""
    vapour = _tensor(relative) * thermodynamics.saturation_vapour_pressure(_tensor(temperature))
    return np.asarray(thermodynamics.specific_humidity(vapour, _tensor(pressure)).numpy())


def pressure_at_heights(
    heights: np.ndarray, known_heights: np.ndarray, known_pressures: np.ndarray
) -> np.ndarray:
    """Pressure at heights within a sounding, its logarithm linear in height; NaN beyond it.

    Args:
        heights: Geopotential m, (N,).
        known_heights: Of levels whose pressure is known, (K,), in any order, NaN where unknown.
        known_pressures: (K,).
    """
    is_known = np.isfinite(known_heights) & np.isfinite(known_pressures) & (known_pressures > 0)
    order = np.argsort(known_heights[is_known], kind="stable")
    axis = known_heights[is_known][order]
    if len(axis) < 2:
        return np.full(len(heights), np.nan)
    logs = np.log(known_pressures[is_known][order])
    return np.asarray(np.exp(np.interp(heights, axis, logs, left=np.nan, right=np.nan)))


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(values, np.float64))
