"""What instruments read, from fields of the state: differentiable, in SI units."""

from __future__ import annotations

import torch
from torch import Tensor

from appa_core.constants import GAS_CONSTANT_DRY_AIR, STANDARD_GRAVITY
from appa_core.thermodynamics import vapour_pressure

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


def dew_point(specific_humidity: Tensor, pressure: Tensor) -> Tensor:
    """In K, over water (Bolton 1980, inverted); dry air is read as 1e-6 kg/kg."""
    q = 0.5 * (specific_humidity + torch.sqrt(specific_humidity.square() + 4 * _DRY**2))
    ratio = torch.log(vapour_pressure(q, pressure) / 611.2)
    return _ZERO_CELSIUS + 243.5 * ratio / (17.67 - ratio)


def station_pressure(
    sea_level_pressure: Tensor, temperature_2m: Tensor, elevation: Tensor
) -> Tensor:
    """Pressure in Pa at a height in m, of air that cools by 6.5 K/km.

    The mean temperature of the layer is that at 2 m plus half of what is gained below it.
    """
    mean = temperature_2m + 0.5 * LAPSE_RATE * elevation
    scale = STANDARD_GRAVITY / GAS_CONSTANT_DRY_AIR
    return sea_level_pressure * torch.exp(-scale * elevation / mean)
