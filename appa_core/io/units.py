"""Names, units and plausible values of fields, as data sets of the world have them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from appa_core.constants import STANDARD_GRAVITY
from appa_core.errors import DataError
from appa_core.schema import MASKED, VARIABLES

#: Names that data sets give to a variable, the preferred first; compared without case.
NAMES: dict[str, tuple[str, ...]] = {
    "temperature": ("temperature", "t", "ta", "air_temperature"),
    "u_component_of_wind": ("u_component_of_wind", "u", "ua"),
    "v_component_of_wind": ("v_component_of_wind", "v", "va"),
    "geopotential": ("geopotential", "z", "geopotential_height", "gh", "zg", "hgt"),
    "specific_humidity": ("specific_humidity", "q", "hus", "shum"),
    "2m_temperature": ("2m_temperature", "2t", "t2m", "tas"),
    "10m_u_component_of_wind": ("10m_u_component_of_wind", "10u", "u10", "uas"),
    "10m_v_component_of_wind": ("10m_v_component_of_wind", "10v", "v10", "vas"),
    "mean_sea_level_pressure": ("mean_sea_level_pressure", "msl", "mslp", "prmsl", "psl"),
    "sea_surface_temperature": ("sea_surface_temperature", "sst", "tos"),
    "total_precipitation_6hr": ("total_precipitation_6hr", "tp6h", "tp06"),
    "total_precipitation": ("total_precipitation", "tp"),
}

#: Variables on pressure levels; the others are of the surface.
UPPER_AIR = frozenset(
    {
        "temperature",
        "u_component_of_wind",
        "v_component_of_wind",
        "geopotential",
        "specific_humidity",
    }
)

_HEIGHTS = frozenset({"geopotential_height", "gh", "zg", "hgt"})
_RAIN = frozenset({"total_precipitation", "total_precipitation_6hr"})

# factor and offset to SI, by SI unit and then by unit as `_normalised` spells it
_TO_SI: dict[str, dict[tuple[str, ...], tuple[float, float]]] = {
    "K": {
        ("k", "kelvin", "degk", "degrees kelvin"): (1.0, 0.0),
        ("c", "degc", "°c", "celsius", "deg c", "degree celsius", "degrees celsius"): (
            1.0,
            273.15,
        ),
        ("f", "degf", "°f", "fahrenheit", "degrees fahrenheit"): (5 / 9, 459.67 * 5 / 9),
    },
    "m s-1": {
        ("m s-1", "m/s", "ms-1", "meter second-1", "meters per second", "metres per second"): (
            1.0,
            0.0,
        ),
        ("km h-1", "km/h", "kmh-1", "km hr-1"): (1 / 3.6, 0.0),
        ("knot", "knots", "kt", "kts", "kn"): (1852 / 3600, 0.0),
    },
    "Pa": {
        ("pa", "pascal", "pascals", "n m-2"): (1.0, 0.0),
        ("hpa", "mbar", "mb", "millibar", "millibars", "hectopascal"): (100.0, 0.0),
        ("kpa",): (1000.0, 0.0),
    },
    "m2 s-2": {
        ("m2 s-2", "m2/s2", "m2s-2", "j kg-1", "j/kg"): (1.0, 0.0),
        ("gpm", "m", "meter", "metre", "meters", "metres", "geopotential meter"): (
            STANDARD_GRAVITY,
            0.0,
        ),
        ("gpdam", "dam", "gpdm"): (10 * STANDARD_GRAVITY, 0.0),
        ("gpkm", "km"): (1000 * STANDARD_GRAVITY, 0.0),
    },
    "kg kg-1": {
        ("kg kg-1", "kg/kg", "g g-1", "g/g", "1", "dimensionless"): (1.0, 0.0),
        ("g kg-1", "g/kg"): (1e-3, 0.0),
        ("mg kg-1", "mg/kg"): (1e-6, 0.0),
    },
    "m": {
        ("m", "meter", "metre", "meters", "metres", "m of water equivalent"): (1.0, 0.0),
        ("mm", "millimeter", "millimeters", "kg m-2", "kg/m2", "mm of water equivalent"): (
            1e-3,
            0.0,
        ),
        ("cm",): (1e-2, 0.0),
        ("gpm", "geopotential meter"): (1.0, 0.0),
        ("km",): (1000.0, 0.0),
    },
    "kg m-2": {
        ("kg m-2", "kg/m2", "mm", "millimeter", "millimeters"): (1.0, 0.0),
        ("g cm-2", "g/cm2", "cm"): (10.0, 0.0),
    },
    "1": {
        ("1", "dimensionless", "fraction"): (1.0, 0.0),
        ("%", "percent", "per cent"): (1e-2, 0.0),
    },
    "degree": {
        ("degree", "degrees", "deg", "degree true", "°"): (1.0, 0.0),
        ("rad", "radian", "radians"): (180.0 / np.pi, 0.0),
    },
}

# lowest and highest values that a field on Earth can have, in SI units, generously
_PLAUSIBLE: dict[str, tuple[float, float]] = {
    "temperature": (120.0, 360.0),
    "u_component_of_wind": (-300.0, 300.0),
    "v_component_of_wind": (-300.0, 300.0),
    "geopotential": (-12_000.0, 900_000.0),
    "specific_humidity": (-5e-3, 0.06),
    "2m_temperature": (150.0, 350.0),
    "10m_u_component_of_wind": (-150.0, 150.0),
    "10m_v_component_of_wind": (-150.0, 150.0),
    "mean_sea_level_pressure": (70_000.0, 125_000.0),
    "sea_surface_temperature": (255.0, 325.0),
    "total_precipitation": (-1e-3, 2.0),
    "total_precipitation_6hr": (-1e-3, 2.0),
}

_SEA_LEVEL_HPA = 1013.25
_SCALE_HEIGHT_M = 7000.0


@dataclass(frozen=True)
class Conversion:
    """x_SI = factor * x + offset."""

    factor: float = 1.0
    offset: float = 0.0

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Values of any shape in SI units; the very array if there is nothing to convert."""
        if (self.factor, self.offset) == (1.0, 0.0):
            return values
        return np.asarray(values.astype(np.float64) * self.factor + self.offset)


def conversion(variable: str, name: str, units: str | None) -> Conversion:
    """How to convert a field to the SI unit of its variable.

    Args:
        variable: One of `appa_core.schema.VARIABLES`.
        name: What the data set calls it.
        units: Its `units` attribute; if None, SI, or m for a geopotential height.

    Raises:
        DataError: The unit is unknown, or one of something else.
    """
    if not units:
        return Conversion(STANDARD_GRAVITY if name.lower() in _HEIGHTS else 1.0)
    return unit_conversion(variable, name, units, VARIABLES[variable][0])


def unit_conversion(what: str, name: str, units: str, expected: str) -> Conversion:
    """How to convert values to an SI unit.

    Args:
        what: What is measured.
        name: What the data set calls it.
        units: Of the values.
        expected: The SI unit, such as "m s-1".

    Raises:
        DataError: The unit is unknown, or one of something else.
    """
    spelled = _normalised(units)
    for spellings, (factor, offset) in _TO_SI[expected].items():
        if spelled in spellings:
            return Conversion(factor, offset)
    known = ", ".join(spellings[0] for spellings in _TO_SI[expected])
    raise DataError(
        f"{name} has units {units!r}; expected one of {known}, for {what} in {expected}; "
        "correct the units or convert the data"
    )


def _normalised(units: str) -> str:
    """A unit in one spelling: 'm**2 s**-2', 'M^2.s^-2' and 'm2 s-2' are the same."""
    text = units.strip().lower().replace("**", "").replace("^", "").replace("_", " ")
    text = re.sub(r"(?<=\w)[.·*](?=\w)", " ", text)
    return re.sub(r"\s+", " ", text)


def require_plausible(
    values: np.ndarray,
    variable: str,
    levels: Sequence[int] | None,
    times: pd.DatetimeIndex,
    where: str,
    weights: np.ndarray,
) -> None:
    """Check that fields are whole and can be what they are called.

    It finds missing chunks, fields of zeros, and units that no attribute tells.

    Args:
        values: (T, L, H, W) in SI units; L is 1 at the surface.
        variable: One of `appa_core.schema.VARIABLES`.
        levels: Pressure in hPa (L,); None at the surface.
        times: (T,).
        where: The file or store, for messages.
        weights: Area of each row of latitude (H,), with mean 1.

    Raises:
        DataError: A value is NaN where none may be, a whole field is, all values of a field are
            equal, or some are out of the variable's range.
    """
    for time, fields in zip(times, values, strict=True):
        for i, field in enumerate(fields):
            level = None if levels is None else levels[i]
            problem = _problem(field, variable, level, weights)
            if problem is not None:
                place = "" if level is None else f" at {level} hPa"
                raise DataError(
                    f"{variable}{place}, {time:%Y-%m-%dT%H:%M} UTC in {where}: {problem}"
                )


def _problem(
    field: np.ndarray, variable: str, level: int | None, weights: np.ndarray
) -> str | None:
    """What is wrong with one field (H, W), or None."""
    with np.errstate(invalid="ignore"):
        low, high = float(field.min()), float(field.max())
    if np.isnan(low):
        count = int(np.isnan(field).sum())
        if count == field.size or variable not in MASKED:
            return (
                f"{count} of {field.size} values are missing (NaN); the source holds this state "
                "in part, or not yet: wait for it, or leave this time out"
            )
        low, high = float(np.nanmin(field)), float(np.nanmax(field))
    if low == high and variable not in _RAIN:
        return f"every value is {low:g}; the field was not written"
    lowest, highest = _PLAUSIBLE[variable]
    if not (lowest <= low and high <= highest):
        return (
            f"values are {low:g} to {high:g}, expected {lowest:g} to {highest:g} "
            f"{VARIABLES[variable][0]}; set the right 'units' attribute or convert the data"
        )
    if variable == "geopotential" and level is not None:
        return _height_problem(float((field.mean(axis=1) * weights).mean()), level)
    return None


def _height_problem(mean: float, level: int) -> str | None:
    """Whether the mean geopotential of a level is near that of an isothermal atmosphere."""
    if level > 0.99 * _SEA_LEVEL_HPA:
        return None
    expected = STANDARD_GRAVITY * _SCALE_HEIGHT_M * np.log(_SEA_LEVEL_HPA / level)
    if expected / 3 < mean < 3 * expected:
        return None
    return (
        f"the mean is {mean:.0f}, expected about {expected:.0f} m2 s-2; is it a height in m? Then "
        "set its 'units' attribute to 'm'"
    )
