"""What instruments read, from fields of the state: differentiable, in SI units."""

from __future__ import annotations

import torch
from torch import Tensor

STANDARD_GRAVITY = 9.80665
GAS_CONSTANT_DRY_AIR = 287.0597
#: Ratio of the gas constants of dry air and of water vapour.
EPSILON = 0.621981
LAPSE_RATE = 0.0065
_ZERO_CELSIUS = 273.15
# smooth floors: square roots and logarithms keep a slope at zero
_CALM = 0.1
_DRY = 1e-6


def wind_speed(u: Tensor, v: Tensor) -> Tensor:
    """Speed of the wind in m/s; calms are read as 0.1 m/s."""
    return torch.sqrt(u.square() + v.square() + _CALM**2)


def wind_direction_near(u: Tensor, v: Tensor, reference: Tensor) -> Tensor:
    """Direction that the wind comes from in degrees, as reference + a turn in (-180, 180].

    So that an observed 350 and a modelled 10 differ by 20.
    """
    turn = torch.rad2deg(torch.atan2(-u, -v)) - reference
    wrapped: Tensor = reference + (turn + 180.0).remainder(360.0) - 180.0
    return wrapped


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


def dew_point(specific_humidity: Tensor, pressure: Tensor) -> Tensor:
    """In K, over water (Bolton 1980, inverted); dry air is read as 1e-6 kg/kg."""
    q = 0.5 * (specific_humidity + torch.sqrt(specific_humidity.square() + 4 * _DRY**2))
    ratio = torch.log(vapour_pressure(q, pressure) / 611.2)
    return _ZERO_CELSIUS + 243.5 * ratio / (17.67 - ratio)


def virtual_temperature(temperature: Tensor, specific_humidity: Tensor) -> Tensor:
    """In K, of moist air."""
    return temperature * (1 + (1 / EPSILON - 1) * specific_humidity)


def station_pressure(
    sea_level_pressure: Tensor, temperature_2m: Tensor, elevation: Tensor
) -> Tensor:
    """Pressure in Pa at a height in m, of air that cools by 6.5 K/km.

    The mean temperature of the layer is that at 2 m plus half of what is gained below it.
    """
    mean = temperature_2m + 0.5 * LAPSE_RATE * elevation
    scale = STANDARD_GRAVITY / GAS_CONSTANT_DRY_AIR
    return sea_level_pressure * torch.exp(-scale * elevation / mean)
