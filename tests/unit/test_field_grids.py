"""Grids in one orientation, and means over cells of which a part is missing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appa_core.errors import DataError
from appa_core.io.grids import oriented, regrid_fields, regridder_between, same_grid
from appa_core.regrid import ConservativeRegridder
from appa_core.schema import Grid

GRIDS = (Grid.equiangular(16, 32), Grid.equiangular(5, 9))


def test_a_gaussian_grid_is_a_grid():
    latitudes = np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(32)[0]))
    grid, rows, columns = oriented(latitudes[::-1], np.arange(64) * 5.625, "here")
    np.testing.assert_allclose(grid.latitudes, latitudes)
    assert (rows[0], columns[0]) == (31, 0)
    assert not same_grid(grid, Grid.equiangular(32, 64))
    assert same_grid(grid, Grid(tuple(latitudes + 4e-5), grid.longitudes))


@pytest.mark.parametrize(
    ("latitudes", "longitudes", "message"),
    [
        (np.linspace(-60, 60, 13), np.arange(36) * 10.0, "does not cover the globe"),
        (np.linspace(-90, 90, 19), np.arange(18) * 10.0, "does not cover the globe"),
        (np.asarray([-90.0, 30.0, 0.0, 90.0]), np.arange(36) * 10.0, "neither ascend"),
        (np.asarray([-90.0, 0.0, 0.0, 90.0]), np.arange(36) * 10.0, "must ascend"),
        (np.linspace(-90, 90, 19), np.arange(36)[::-1] * 10.0, "do not ascend"),
        (np.linspace(-90, 90, 19), np.repeat(np.arange(18), 2) * 20.0, "ascend"),
        (np.linspace(-95, 95, 19), np.arange(36) * 10.0, "must ascend within"),
        (np.full(19, np.nan), np.arange(36) * 10.0, "missing in part"),
    ],
)
def test_what_is_no_global_grid_is_refused(latitudes, longitudes, message):
    with pytest.raises(DataError, match=message):
        oriented(latitudes, longitudes, "here")


def test_means_are_over_the_valid_part_alone():
    """Half of a cell is enough, less is not; where all is valid nothing changes."""
    source, target = Grid.equiangular(8, 16), Grid.equiangular(4, 4)
    regridder = ConservativeRegridder.between(source, target)
    rng = np.random.default_rng(0)
    whole = rng.normal(280.0, 5.0, (2, 8, 16)).astype(np.float32)
    np.testing.assert_array_equal(regrid_fields(whole, regridder), regridder(whole))
    # the first cell of four lies around 0 degrees: columns 14, 15, 0, 1 and halves of 13 and 2
    for missing, is_there in (([0, 1, 15], False), ([0, 1], True)):
        values = whole.copy()
        values[..., missing] = np.nan
        found = regrid_fields(values, regridder)
        assert found.dtype == np.float32
        assert np.isfinite(found[..., 0]).all() == is_there
        np.testing.assert_allclose(found[..., 2], regridder(whole)[..., 2], rtol=1e-6)
    weights = np.where(np.isin(np.arange(16), [0, 1]), 0.0, regridder.longitude_weights[0])
    by_hand = regridder.latitude_weights @ whole[0] @ (weights / weights.sum())
    np.testing.assert_allclose(found[0, :, 0], by_hand, rtol=1e-6)


@given(st.integers(0, 10_000), st.floats(0.0, 0.9))
def test_regridded_values_stay_among_the_valid_ones(seed, share):
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((16, 32)) < share, np.nan, rng.normal(size=(16, 32)))
    regridder = regridder_between(*GRIDS)
    found = regrid_fields(values, regridder)
    there = found[np.isfinite(found)]
    assert (there >= np.nanmin(values) - 1e-9).all()
    assert (there <= np.nanmax(values) + 1e-9).all()
    assert (np.isfinite(found) == (regridder(np.isfinite(values) * 1.0) >= 0.5 - 1e-9)).all()


def test_weights_are_made_once():
    assert regridder_between(*GRIDS) is regridder_between(*GRIDS)
    assert regridder_between(GRIDS[0], GRIDS[0]) is None
