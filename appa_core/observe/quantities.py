"""What instruments measure: units, plausible values, and where it is measured."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from appa_core.errors import InputError

#: Where a quantity is measured: at a pressure level, at the surface (2 m, 10 m or sea level), at
#: the elevation of a station, between two levels, through the whole column, weighted over levels
#: around a peak, or as a user's own operator has it.
Place = Literal["level", "surface", "station", "layer", "column", "weighted", "own"]
#: What rows that a user's own operator reads call their quantity.
OWN = "own"


@dataclass(frozen=True)
class Quantity:
    """Something that can be observed.

    Args:
        name: ERA5's name for fields of a state; the field's usual name for what follows from them.
        units: SI units of values and errors.
        low: Smallest value that is physically plausible on Earth.
        high: Largest one.
        spread: Typical departure from the season's mean, to weigh unlike quantities alike.
        place: Where it is measured.
        fields: Variables of a state that it follows from.
        is_angle: Whether values are degrees on a circle.
    """

    name: str
    units: str
    low: float
    high: float
    spread: float
    place: Place
    fields: tuple[str, ...]
    is_angle: bool = False


def _level(
    name: str, units: str, low: float, high: float, spread: float, *fields: str
) -> Quantity:
    return Quantity(name, units, low, high, spread, "level", fields or (name,))


def _surface(
    name: str, units: str, low: float, high: float, spread: float, *fields: str
) -> Quantity:
    return Quantity(name, units, low, high, spread, "surface", fields or (name,))


_U10, _V10 = "10m_u_component_of_wind", "10m_v_component_of_wind"
_WIND = ("u_component_of_wind", "v_component_of_wind")
_MOIST = ("temperature", "specific_humidity")

QUANTITIES: dict[str, Quantity] = {
    q.name: q
    for q in (
        _level("temperature", "K", 150, 330, 4),
        _level("u_component_of_wind", "m s-1", -150, 150, 7),
        _level("v_component_of_wind", "m s-1", -150, 150, 7),
        _level("geopotential", "m2 s-2", -10_000, 500_000, 600),
        _level("specific_humidity", "kg kg-1", 0, 0.04, 1e-3),
        _level("virtual_temperature", "K", 150, 340, 4, *_MOIST),
        _level("relative_humidity", "1", 0, 1.2, 0.2, *_MOIST),
        _level("dew_point_temperature", "K", 120, 310, 6, "specific_humidity"),
        _level("wind_speed", "m s-1", 0, 150, 6, *_WIND),
        Quantity("wind_direction", "degree", 0, 360, 40, "level", _WIND, is_angle=True),
        _surface("2m_temperature", "K", 180, 340, 4),
        _surface(_U10, "m s-1", -80, 80, 4),
        _surface(_V10, "m s-1", -80, 80, 4),
        _surface("10m_wind_speed", "m s-1", 0, 80, 3, _U10, _V10),
        Quantity(
            "10m_wind_direction", "degree", 0, 360, 50, "surface", (_U10, _V10), is_angle=True
        ),
        _surface("mean_sea_level_pressure", "Pa", 85_000, 110_000, 800),
        _surface("sea_surface_temperature", "K", 265, 315, 1.5),
        _surface("total_precipitation_6hr", "m", 0, 1, 2e-3),
        Quantity(
            "surface_pressure",
            "Pa",
            40_000,
            110_000,
            800,
            "station",
            ("mean_sea_level_pressure", "2m_temperature"),
        ),
        Quantity("layer_thickness", "m", 0, 40_000, 60, "layer", ("geopotential",)),
        Quantity(
            "total_column_water_vapour", "kg m-2", 0, 100, 5, "column", ("specific_humidity",)
        ),
        Quantity("brightness_temperature", "K", 130, 340, 3, "weighted", ("temperature",)),
        Quantity(OWN, "as its operator has it", -inf, inf, 1, "own", ()),
    )
}


def quantity(name: str) -> Quantity:
    """A quantity by name.

    Raises:
        InputError: It is unknown.
    """
    if name not in QUANTITIES:
        raise InputError(f"unknown quantity {name!r}; there are: {', '.join(sorted(QUANTITIES))}")
    return QUANTITIES[name]
