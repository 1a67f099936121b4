"""Units and names that people read, for fields stored in SI units."""

from __future__ import annotations

from dataclasses import dataclass

from appa_core.constants import STANDARD_GRAVITY

#: Variables that are shown as another quantity: what is in metres is no geopotential.
RENAMED = {"geopotential": "geopotential height"}


@dataclass(frozen=True)
class Display:
    """How values are shown: `scale * value + offset` in `units`.

    Args:
        units: Unit of the shown values.
        scale: Factor for values and for their differences.
        offset: Addend, which differences do not get.
        difference_units: Unit of errors and spreads; `units` where empty.
    """

    units: str
    scale: float = 1.0
    offset: float = 0.0
    difference_units: str = ""

    @property
    def units_of_differences(self) -> str:
        """Unit of errors, spreads and scores."""
        return self.difference_units or self.units

    @property
    def units_of_power(self) -> str:
        """Unit of power spectra of the shown values."""
        units = self.units_of_differences
        return f"{units}²" if units.isalnum() else f"({units})²"


_BY_SI_UNIT = {
    "K": Display("°C", offset=-273.15, difference_units="K"),
    "m2 s-2": Display("m", scale=1 / STANDARD_GRAVITY),  # see `RENAMED`
    "Pa": Display("hPa", scale=0.01),
    "kg kg-1": Display("g/kg", scale=1000.0),
    "m s-1": Display("m/s"),
    "m": Display("mm", scale=1000.0),
}


def display_of(si_unit: str) -> Display:
    """The customary display of a unit; the unit itself where none is customary."""
    return _BY_SI_UNIT.get(si_unit, Display(si_unit))


def shown_name(variable: str) -> str:
    """What the values of a variable are called where they are shown as `display_of` says."""
    return RENAMED.get(variable, variable.replace("_", " "))
