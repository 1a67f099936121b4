"""Moist air: relations of temperature, humidity and pressure, differentiable, SI units."""

from __future__ import annotations

import torch
from torch import Tensor

from appa_core.constants import EPSILON

_ZERO_CELSIUS = 273.15


def saturation_vapour_pressure(temperature: Tensor) -> Tensor:
    """Over water in Pa, from a temperature in K (Bolton 1980, equation 10)."""
    celsius = temperature - _ZERO_CELSIUS
    return 611.2 * torch.exp(17.67 * celsius / (celsius + 243.5))


def vapour_pressure(specific_humidity: Tensor, pressure: Tensor) -> Tensor:
    """In Pa, from a specific humidity and a pressure in Pa."""
    q = specific_humidity
    return q * pressure / (EPSILON + (1 - EPSILON) * q)


def specific_humidity(vapour_pressure: Tensor, pressure: Tensor) -> Tensor:
    """In kg/kg, from a vapour pressure and a pressure in Pa; the inverse of `vapour_pressure`."""
    return EPSILON * vapour_pressure / (pressure - (1 - EPSILON) * vapour_pressure)


def relative_humidity(temperature: Tensor, specific_humidity: Tensor, pressure: Tensor) -> Tensor:
    """As a share of saturation over water."""
    return vapour_pressure(specific_humidity, pressure) / saturation_vapour_pressure(temperature)


def virtual_temperature(temperature: Tensor, specific_humidity: Tensor) -> Tensor:
    """In K, of moist air."""
    return temperature * (1 + (1 / EPSILON - 1) * specific_humidity)
