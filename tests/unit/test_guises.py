"""One state of the world, however it is stored, becomes the same cube."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from appa_core.io.cube import Cube
from appa_core.io.sources import SourceSpec
from appa_core.schema import Grid, StateSchema
from appa_core.steps.ingest import IngestJob, ingest_unit, plan_ingest
from tests.era5_like import era5_like

HOURS = pd.date_range("2019-12-31T19", "2020-01-02T00", freq="h")
START, END = pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-02T06")
SURFACE = ("2m_temperature", "mean_sea_level_pressure", "sea_surface_temperature")
UPPER = ("temperature", "geopotential")
SHAPE = (9, 12)
NATIVE = Grid(tuple(np.linspace(-90, 90, 9)), tuple(np.arange(12) * 30.0))
SCHEMA = StateSchema.build((*SURFACE, "total_precipitation_6hr"), UPPER, (500, 850), NATIVE, 6)


@pytest.fixture(scope="module")
def world():
    """Hourly, as ARCO-ERA5 has it: from north to south, from Greenwich to the east."""
    return era5_like(HOURS, (*UPPER, *SURFACE, "total_precipitation"), (500, 850), SHAPE)


def cube_of(dataset, folder, **options):
    path = folder / "source.zarr"
    dataset.drop_encoding().to_zarr(path, zarr_format=3, consolidated=False)
    source = SourceSpec("world", "zarr", (str(path),), fingerprint="x", **options)
    job = IngestJob(str(folder / "store"), source, SCHEMA, 4)
    for unit in plan_ingest(job, START, END):
        ingest_unit(unit)
    return job.cube()


@pytest.fixture(scope="module")
def expected(world, tmp_path_factory):
    return cube_of(world, tmp_path_factory.mktemp("expected"))


def pascals(d):
    d = d.assign_coords(level=d["level"] * 100.0).rename(level="plev")
    d["plev"].attrs["units"] = "Pa"
    return d


def scaled(d, name, factor, units, offset=0.0, rename=None):
    values = (d[name].astype("f8") * factor + offset).astype("f4").assign_attrs(units=units)
    return d.assign({name: values}).rename({name: rename} if rename else {})


# the very same values
LAYOUTS = {
    "from south to north": lambda d: d.sortby("latitude"),
    "from 180 west to 180 east": lambda d: d.assign_coords(
        longitude=(d.longitude + 180) % 360 - 180
    ).sortby("longitude"),
    "from 180 to 540": lambda d: d.assign_coords(longitude=(d.longitude + 180) % 360 + 180).sortby(
        "longitude"
    ),
    "Greenwich at both ends": lambda d: xr.concat(
        [d, d.isel(longitude=[0]).assign_coords(longitude=[360.0])], "longitude"
    ),
    "longitude before latitude": lambda d: d.transpose("time", "level", "longitude", "latitude"),
    "levels upside down in Pa": lambda d: pascals(d.isel(level=[1, 0])),
    "short names": lambda d: d.rename(
        temperature="t", geopotential="z", sea_surface_temperature="sst", total_precipitation="tp",
        latitude="lat", longitude="lon", time="valid_time", level="isobaricInhPa",
        **{"2m_temperature": "t2m", "mean_sea_level_pressure": "msl"},
    ),
}  # fmt: skip

# the same but for rounding
UNITS = {
    "Celsius": lambda d: scaled(d, "2m_temperature", 1.0, "degC", -273.15),
    "a height": lambda d: scaled(d, "geopotential", 1 / 9.80665, "gpm", rename="zg"),
    "hectopascal": lambda d: scaled(d, "mean_sea_level_pressure", 0.01, "hPa"),
    "millimetres": lambda d: scaled(d, "total_precipitation", 1000.0, "mm"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_leaves_no_trace(world, expected, layout, tmp_path):
    assert cube_of(LAYOUTS[layout](world), tmp_path).digest() == expected.digest()


@pytest.mark.parametrize("units", UNITS)
def test_units_are_converted(world, expected, units, tmp_path):
    found = cube_of(UNITS[units](world), tmp_path)
    xr.testing.assert_allclose(everything(found), everything(expected), rtol=2e-6)


def everything(cube):
    return cube.read(cube.times())


def test_totals_of_the_step_are_totals_of_its_hours(world, expected, tmp_path):
    """Accumulations: six hours' rain, by the hour or at once."""
    rain = everything(expected)["total_precipitation_6hr"]
    hourly = world["total_precipitation"].values[:, ::-1].astype("f8")
    sums = np.stack([hourly[6 * i : 6 * i + 6].sum(axis=0) for i in range(5)])
    np.testing.assert_allclose(rain, sums, rtol=1e-6)
    six = world.sel(time=slice(START, None, 6)).isel(time=slice(0, None))
    assert list(six.indexes["time"]) == list(pd.date_range(START, periods=5, freq="6h"))
    six = six.assign(
        total_precipitation=(six["total_precipitation"].dims, sums[:, ::-1], {"units": "m"})
    )
    found = cube_of(six, tmp_path, accumulation="step")
    xr.testing.assert_allclose(everything(found), everything(expected), rtol=1e-6)


def test_another_grid_keeps_the_means(world, expected, tmp_path):
    coarse = StateSchema.build(SURFACE[:2], UPPER, (500, 850), Grid.equiangular(4, 6), 6)
    world.drop_encoding().to_zarr(tmp_path / "w.zarr", zarr_format=3, consolidated=False)
    source = SourceSpec("world", "zarr", (str(tmp_path / "w.zarr"),))
    job = IngestJob(str(tmp_path / "store"), source, coarse, 4)
    for unit in plan_ingest(job, START, END):
        ingest_unit(unit)
    wide, fine = everything(Cube.load(job.cube().url)), everything(expected)
    for name in coarse.variables:
        means = [
            (d[name].mean("longitude") * xr.DataArray(g.area_weights, dims="latitude")).mean(
                "latitude"
            )
            for d, g in ((wide, coarse.grid), (fine.drop_vars("latitude"), NATIVE))
        ]
        np.testing.assert_allclose(means[0], means[1], rtol=2e-6)
