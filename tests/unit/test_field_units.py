"""Fields come in SI units, and those that cannot be what they are called are refused."""

import numpy as np
import pandas as pd
import pytest

from appa_core.errors import DataError
from appa_core.io.units import NAMES, conversion, require_plausible
from appa_core.schema import VARIABLES

TIMES = pd.date_range("2020-01-01", periods=3, freq="6h")


@pytest.mark.parametrize("variable", NAMES)
def test_every_known_variable_has_names_and_units(variable):
    assert set(NAMES) == set(VARIABLES)
    assert NAMES[variable][0] == variable
    assert conversion(variable, variable, VARIABLES[variable][0])(np.ones(1)) == 1.0


@pytest.mark.parametrize(
    ("variable", "name", "units", "value", "si"),
    [
        ("temperature", "t", "degC", -40.0, 233.15),
        ("2m_temperature", "t2m", "degF", 50.0, 283.15),
        ("mean_sea_level_pressure", "msl", "hPa", 1013.25, 101325.0),
        ("mean_sea_level_pressure", "msl", "millibars", 1000.0, 1e5),
        ("geopotential", "z", "m**2 s**-2", 5.0, 5.0),
        ("geopotential", "z", "gpm", 5500.0, 53936.575),
        ("geopotential", "gh", None, 5500.0, 53936.575),
        ("geopotential", "zg", "m", 1.0, 9.80665),
        ("geopotential", "z", "gpdam", 550.0, 53936.575),
        ("specific_humidity", "q", "g kg**-1", 12.0, 0.012),
        ("specific_humidity", "q", "kg/kg", 0.012, 0.012),
        ("specific_humidity", "q", "1", 0.012, 0.012),
        ("total_precipitation", "tp", "mm", 3.0, 0.003),
        ("total_precipitation", "tp", "kg m-2", 3.0, 0.003),
        ("10m_u_component_of_wind", "u10", "m.s^-1", 3.0, 3.0),
        ("10m_u_component_of_wind", "u10", "km/h", 36.0, 10.0),
        ("10m_u_component_of_wind", "u10", "knots", 1.0, 0.514444),
    ],
)
def test_units_become_si(variable, name, units, value, si):
    assert conversion(variable, name, units)(np.asarray([value])) == pytest.approx(si, rel=1e-6)


@pytest.mark.parametrize(
    ("variable", "units"),
    [
        ("temperature", "Pa"),
        ("total_precipitation", "kg m-2 s-1"),
        ("geopotential", "K"),
        ("specific_humidity", "%"),
        ("temperature", "furlong"),
    ],
)
def test_other_units_are_refused(variable, units):
    with pytest.raises(DataError, match=f"{units!r}; expected one of"):
        conversion(variable, variable, units)


@pytest.mark.parametrize(
    ("variable", "values", "message"),
    [
        ("2m_temperature", (-30.0, 30.0), "expected 150 to 350 K"),
        ("temperature", (-90.0, 30.0), "expected 120 to 360 K"),
        ("mean_sea_level_pressure", (950.0, 1040.0), "expected 70000"),
        ("specific_humidity", (0.0, 18.0), "expected -0.005 to 0.06"),
        ("total_precipitation", (0.0, 40.0), "expected -0.001 to 2 m"),
        ("geopotential", (4900.0, 5900.0), "is it a height in m"),
        ("2m_temperature", (0.0, 0.0), "was not written"),
        ("2m_temperature", (280.0, np.inf), "expected 150"),
        ("2m_temperature", (280.0, np.nan), "1 of 64 values are missing"),
    ],
)
def test_implausible_values_are_refused(variable, values, message):
    field = np.linspace(values[0], np.nan_to_num(values[1], posinf=300.0), 64).reshape(8, 8)
    field[0, 0] = values[1] if not np.isfinite(values[1]) else field[0, 0]
    levels = (500,) if variable in {"temperature", "geopotential", "specific_humidity"} else None
    states = np.stack([np.linspace(270.0, 280.0, 64).reshape(8, 8), field])[1:, None]
    with pytest.raises(DataError, match=message) as error:
        require_plausible(states, variable, levels, TIMES[2:], "here", np.ones(8))
    assert "2020-01-01T12:00 UTC in here" in str(error.value)
    assert ("500 hPa" in str(error.value)) == (levels is not None)


def test_geopotential_of_the_atmosphere_is_plausible():
    for level, height in (
        (1, 47_800.0),
        (50, 20_500.0),
        (500, 5570.0),
        (850, 1457.0),
        (1000, 90.0),
    ):
        field = 9.80665 * height + np.linspace(-900.0, 900.0, 64).reshape(1, 1, 8, 8)
        require_plausible(field, "geopotential", (level,), TIMES[:1], "here", np.ones(8))


def test_a_sea_without_land_is_missing_only_in_part():
    field = np.linspace(272.0, 300.0, 64).reshape(1, 1, 8, 8).copy()
    field[..., :4] = np.nan
    require_plausible(field, "sea_surface_temperature", None, TIMES[:1], "here", np.ones(8))
    with pytest.raises(DataError, match="64 of 64 values are missing"):
        require_plausible(
            field * np.nan, "sea_surface_temperature", None, TIMES[:1], "here", np.ones(8)
        )
