"""What reports would read: right, differentiable, and alike in windows and wholes."""

import numpy as np
import pandas as pd
import pytest
import torch

from appa_core import thermodynamics
from appa_core.climatology import Normalisation, SeasonalClimatology
from appa_core.constants import EPSILON
from appa_core.observe import physics
from appa_core.observe.quantities import OWN, QUANTITIES
from appa_core.observe.reports import ReportOperator
from appa_core.observe.terms import ObservedRows, unusable
from appa_core.schema import Grid, StateSchema

SCHEMA = StateSchema.build(
    (
        "2m_temperature",
        "10m_u_component_of_wind",
        "10m_v_component_of_wind",
        "mean_sea_level_pressure",
        "sea_surface_temperature",
        "total_precipitation_6hr",
    ),
    (
        "temperature",
        "u_component_of_wind",
        "v_component_of_wind",
        "geopotential",
        "specific_humidity",
    ),
    (300, 500, 850),
    Grid.equiangular(8, 16),
    6,
)
TIMES = pd.date_range("2024-01-01", periods=5, freq="6h").values
#: What this operator reads; a user's own operator reads the rest.
READ = sorted(set(QUANTITIES) - {OWN})
BASES = {"K": 270.0, "m s-1": 5.0, "Pa": 1e5, "m2 s-2": 3e4, "kg kg-1": 4e-3, "m": 1e-3}
SPREADS = {"K": 6.0, "m s-1": 4.0, "Pa": 900.0, "m2 s-2": 500.0, "kg kg-1": 5e-4, "m": 1e-4}


def normalisation():
    rng = np.random.default_rng(0)
    units = [c.units for c in SCHEMA.channels]
    base = np.array([BASES[u] for u in units], np.float32)[:, None, None]
    spread = np.array([SPREADS[u] for u in units], np.float32)
    fields = base + spread[:, None, None] * rng.normal(size=(len(units), 8, 16))
    return Normalisation(SeasonalClimatology(fields[None, None].astype(np.float32)), spread)


NORMALISATION = normalisation()


def rows(quantities=None, per_quantity=6, seed=0):
    rng = np.random.default_rng(seed)
    names = np.repeat(quantities or READ, per_quantity).astype(object)
    count = len(names)
    mean = [QUANTITIES[n].low / 2 + QUANTITIES[n].high / 2 for n in names]
    state = rng.uniform(0, 4, count)
    return ObservedRows(
        quantity=names,
        state=np.where(names == "total_precipitation_6hr", np.round(state), state),
        latitude=rng.uniform(-90, 90, count),
        longitude=rng.uniform(0, 360, count),
        level=np.where(names == "layer_thickness", 850.0, rng.uniform(300, 850, count)),
        top_level=np.where(names == "layer_thickness", rng.uniform(300, 600, count), np.nan),
        weighting_width=np.where(names == "brightness_temperature", 0.3, np.nan),
        elevation_m=np.where(names == "surface_pressure", rng.uniform(0, 700, count), np.nan),
        footprint_km=np.where(rng.random(count) < 0.2, 2500.0, np.nan),
        value=np.asarray(mean),
    )


def operator(table, decode=lambda z: z, schema=SCHEMA):
    return ReportOperator.build(decode, table, schema, NORMALISATION, TIMES)


def trajectories(batch=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shape = (batch, 5, len(SCHEMA.channels), 8, 16)
    return torch.randn(shape, generator=generator).to(dtype)


def channel(variable, level=None):
    return SCHEMA.index(variable, level)


def physical(x):
    return torch.from_numpy(NORMALISATION.restore(x.numpy(), TIMES))


def at(quantity, latitude=None, state=2.0, **columns):
    """One report at the centre of a cell, unless it says otherwise."""
    grid = SCHEMA.grid
    given = {
        "quantity": np.array([quantity], object),
        "state": np.array([state]),
        "latitude": np.array([grid.latitudes[5] if latitude is None else latitude]),
        "longitude": np.array([grid.longitudes[3]]),
    }
    empty = {n: np.array([np.nan]) for n in ObservedRows.__dataclass_fields__ if n not in given}
    changed = {n: np.array([v], dtype=float) for n, v in columns.items()}
    return ObservedRows(**(empty | given | changed))


def read(table, x):
    found = operator(table)
    return (found(x) * found.scale)[:, 0]


def test_fields_are_read_in_physical_units():
    x = trajectories()
    fields = physical(x)
    value = read(at("temperature", level=500.0), x)
    torch.testing.assert_close(value, fields[:, 2, channel("temperature", 500), 5, 3])
    between = read(at("temperature", level=np.sqrt(500.0 * 850.0), state=1.25), x)
    mean = fields[:, :, [channel("temperature", n) for n in (500, 850)], 5, 3].mean(dim=2)
    torch.testing.assert_close(between, 0.75 * mean[:, 1] + 0.25 * mean[:, 2])


def test_values_follow_from_fields():
    x = trajectories()
    fields = physical(x)[:, 2, :, 5, 3].double()

    def field(*name):
        return fields[:, channel(*name)]

    t, q = field("temperature", 500), field("specific_humidity", 500)
    u, v = (field(f"{c}_component_of_wind", 500) for c in "uv")
    e = q * 5e4 / (0.621981 + 0.378019 * q)
    es = 611.2 * torch.exp(17.67 * (t - 273.15) / (t - 273.15 + 243.5))
    z = [field("geopotential", n) for n in (850, 300)]
    p, t2 = field("mean_sea_level_pressure"), field("2m_temperature")
    humidity = torch.stack([field("specific_humidity", n) for n in (300, 500, 850)], dim=1)
    column = ((humidity[:, 1:] + humidity[:, :-1]) / 2 * torch.tensor([2e4, 3.5e4])).sum(
        dim=1
    ) / 9.80665
    heat = torch.stack([field("temperature", n) for n in (300, 500, 850)], dim=1)
    weights = torch.exp(
        -0.5 * (torch.log(torch.tensor([300.0, 500, 850]) / 500) / 0.3) ** 2
    ).double()
    expected = {
        ("wind_speed",): (u**2 + v**2 + 0.01).sqrt(),
        ("wind_direction",): torch.rad2deg(torch.atan2(-u, -v)) % 360,
        ("virtual_temperature",): t * (1 + 0.6077 * q),
        ("relative_humidity",): e / es,
        ("layer_thickness",): (z[1] - z[0]) / 9.80665,
        ("total_column_water_vapour",): column,
        ("brightness_temperature",): (heat * weights).sum(dim=1) / weights.sum(),
        ("surface_pressure",): p * torch.exp(-9.80665 * 400 / (287.0597 * (t2 + 0.00325 * 400))),
        ("10m_wind_speed",): (
            field("10m_u_component_of_wind") ** 2 + field("10m_v_component_of_wind") ** 2 + 0.01
        ).sqrt(),
    }
    for (name,), value in expected.items():
        place = {"level": 850.0 if name == "layer_thickness" else 500.0, "top_level": 300.0}
        more = {"weighting_width": 0.3, "elevation_m": 400.0, "value": 180.0}
        found = read(at(name, **place, **more), x).double()
        torch.testing.assert_close(
            found % 360 if "direction" in name else found, value, rtol=2e-4, atol=1e-4, msg=name
        )
    dew = read(at("dew_point_temperature", level=500.0), x).double()
    celsius = dew - 273.15
    torch.testing.assert_close(
        611.2 * torch.exp(17.67 * celsius / (celsius + 243.5)), e, rtol=1e-3, atol=0
    )


def test_saturated_air_has_its_dew_point_at_its_temperature():
    t = torch.linspace(230, 305, 20, dtype=torch.float64)
    pressure = torch.tensor(8.5e4, dtype=torch.float64)
    e = thermodynamics.saturation_vapour_pressure(t)
    q = EPSILON * e / (pressure - (1 - EPSILON) * e)
    torch.testing.assert_close(
        thermodynamics.relative_humidity(t, q, pressure), torch.ones_like(t), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(physics.dew_point(q, pressure), t, rtol=1e-3, atol=0)


@pytest.mark.parametrize(("observed", "difference"), [(350.0, 20.0), (10.0, 0.0), (200.0, 170.0)])
def test_directions_differ_on_the_circle(observed, difference):
    angle = torch.tensor(np.deg2rad(10.0))
    found = physics.wind_direction_near(
        -torch.sin(angle), -torch.cos(angle), torch.tensor(observed)
    )
    assert abs(float(found) - observed) == pytest.approx(difference, abs=1e-3)


def test_the_adjoint_is_the_transpose():
    table = rows()
    found = operator(table)
    x = trajectories(1, torch.float32)
    generator = torch.Generator().manual_seed(1)
    u = torch.randn(x.shape, generator=generator)
    v = torch.randn(1, len(table), generator=generator)
    value, change = torch.func.jvp(found, (x,), (u,))
    (pulled,) = torch.func.vjp(found, x)[1](v)
    left, right = (change * v).sum().double(), (pulled * u).sum().double()
    assert abs(left - right) < 1e-4 * change.norm() * v.norm()
    assert torch.isfinite(value).all()
    assert (change.abs() > 0).all()


@pytest.mark.parametrize("name", READ)
def test_derivatives_agree_with_differences(name):
    table = rows([name], 8)
    found = operator(table)
    x = trajectories(1)
    u = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    _, change = torch.func.jvp(found, (x,), (u,))
    step = 1e-2
    with torch.no_grad():
        difference = (found(x + step * u) - found(x - step * u)) / (2 * step)
    np.testing.assert_allclose(
        difference, change, rtol=0.05, atol=0.02 * float(change.abs().max())
    )


def test_windows_read_what_depends_on_them_alone():
    table = rows()
    whole = operator(table)
    x = trajectories()
    part, inside = whole.window(1, 4)
    full = whole(x)
    here = inside[0]
    assert 0 < here.sum() < len(table)
    torch.testing.assert_close(part(x[:, 1:4])[:, here], full[:, here])
    assert (part(x[:, 1:4])[:, ~here] == 0).all()
    expected = (np.floor(table.state) >= 1) & (np.ceil(table.state) <= 3)
    assert here.tolist() == expected.tolist()
    nothing, inside = whole.window(2, 2)
    assert not inside.any()
    assert nothing(x[:, 2:3]).shape == (2, len(table))


def test_only_states_that_are_read_are_decoded():
    seen = []

    def decode(z):
        seen.append(len(z))
        return z

    operator(at("2m_temperature", state=3.0), decode)(trajectories())
    assert seen == [2]  # one state of two rows


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (at("2m_temperature", state=4.1), "outside the period"),
        (at("2m_temperature", state=-0.1), "outside the period"),
        (at("temperature", level=900.0), "outside the model's levels"),
        (at("temperature", level=100.0), "outside the model's levels"),
        (at("layer_thickness", level=500.0, top_level=850.0), "top below the bottom"),
        (at("layer_thickness", level=500.0, top_level=250.0), "outside the model's levels"),
        (at("surface_pressure", elevation_m=2000.0), "station too high"),
        (at("total_precipitation_6hr", state=1.5), "between accumulations"),
        (at("sea_surface_temperature"), "no value there"),
        (at("sea_surface_temperature", latitude=-60.0), ""),
        (at("temperature", level=850.0), ""),
    ],
)
def test_rows_that_cannot_be_read(table, reason):
    missing = np.zeros((len(SCHEMA.channels), 8, 16), bool)
    missing[channel("sea_surface_temperature"), 4:] = True
    assert unusable(table, SCHEMA, 5, missing).tolist() == [reason]


def test_fields_that_a_model_lacks():
    dry = StateSchema.build(("2m_temperature",), ("temperature",), (500,), SCHEMA.grid, 6)
    table = at("total_column_water_vapour")
    assert unusable(table, dry, 5, None).tolist() == ["no such field in the model"]
