"""Where points lie between cells, levels and states."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appa_core.observe.interpolation import (
    EARTH_RADIUS_KM,
    between,
    bilinear,
    footprint,
    in_pressure,
    unit_vectors,
)
from appa_core.schema import Grid

GRIDS = [Grid.equiangular(32, 64), Grid.with_poles(19, 36)]
LATITUDE = st.floats(-90, 90)
LONGITUDE = st.floats(0, 360, exclude_max=True)


def read(weights, field, sign=1.0):
    flipped = np.where(weights.is_across, sign, 1.0)
    return (field.ravel()[weights.index] * weights.weight * flipped).sum(axis=1)


def mesh(grid):
    return np.meshgrid(grid.latitudes, grid.longitudes, indexing="ij")


@pytest.mark.parametrize("grid", GRIDS)
@given(latitude=LATITUDE, longitude=LONGITUDE)
def test_weights_are_shares(grid, latitude, longitude):
    found = bilinear(grid, np.array([latitude]), np.array([longitude]))
    assert found.weight.sum() == pytest.approx(1)
    assert (found.weight >= -1e-12).all()


@pytest.mark.parametrize("grid", GRIDS)
def test_cells_read_themselves(grid):
    field = np.random.default_rng(0).normal(size=grid.shape)
    latitude, longitude = (x.ravel() for x in mesh(grid))
    np.testing.assert_allclose(read(bilinear(grid, latitude, longitude), field), field.ravel())


@pytest.mark.parametrize("grid", GRIDS)
@given(latitude=LATITUDE, longitude=LONGITUDE)
def test_smooth_fields_are_read_well_everywhere(grid, latitude, longitude):
    """A height that is linear in space, read across the date line and the poles."""
    slope = np.array([0.3, -0.5, 0.8])
    field = (unit_vectors(*(x.ravel() for x in mesh(grid))) @ slope).reshape(grid.shape)
    point = np.array([latitude]), np.array([longitude])
    value = read(bilinear(grid, *point), field)
    spacing = np.deg2rad(360 / grid.shape[1])
    assert abs(value - unit_vectors(*point) @ slope)[0] < spacing**2


def test_winds_keep_their_direction_across_a_pole():
    """Flow straight over the pole: v changes its sign where meridians do."""
    grid = Grid.equiangular(32, 64)
    longitude = mesh(grid)[1]
    v = np.cos(np.deg2rad(longitude))  # northwards along 0 degrees, over the pole, southwards
    at = bilinear(grid, np.array([90.0, 89.0]), np.array([0.0, 0.0]))
    assert at.is_across.any()
    np.testing.assert_allclose(read(at, v, sign=-1.0), 1.0, atol=1e-6)


def test_linear_in_time_and_in_the_logarithm_of_pressure():
    found = between(np.arange(4.0), np.array([0.0, 1.25, 3.0, 3.1, -0.1]))
    np.testing.assert_allclose(found.weight[1], [0.75, 0.25])
    assert found.index[1].tolist() == [1, 2]
    assert found.is_inside.tolist() == [True, True, True, False, False]
    levels = np.array([200.0, 500.0, 850.0])
    middle = np.sqrt(500.0 * 850.0)
    found = in_pressure(levels, np.array([middle, 850.0, 200.0, 900.0, 100.0, np.nan]))
    np.testing.assert_allclose(found.weight[0], [0.5, 0.5])
    assert found.is_inside.tolist() == [True, True, True, False, False, False]
    np.testing.assert_allclose((np.log(levels)[found.index[0]] @ [0.5, 0.5]), np.log(middle))


def test_one_state_is_read_as_it_is():
    found = between(np.arange(1.0), np.array([0.0]))
    np.testing.assert_allclose(found.weight.sum(), 1)
    assert found.index.tolist() == [[0, 0]]


def test_footprints_average_by_area():
    grid = Grid.equiangular(32, 64)
    latitude, longitude = np.array([60.0, 0.0]), np.array([0.0, 180.0])
    radius = np.array([1500.0, 10.0])
    found = footprint(grid, latitude, longitude, radius)
    field = np.random.default_rng(1).normal(size=grid.shape)
    centres = unit_vectors(*(x.ravel() for x in mesh(grid)))
    distance = EARTH_RADIUS_KM * np.arccos(
        np.clip(centres @ unit_vectors(latitude, longitude).T, -1, 1)
    )
    inside = distance[:, 0] <= 1500
    area = np.repeat(np.cos(np.deg2rad(grid.latitudes)), 64)
    expected = (field.ravel() * area)[inside].sum() / area[inside].sum()
    np.testing.assert_allclose(read(found, field)[0], expected, rtol=1e-2)
    # no centre within 10 km: the point itself
    at = bilinear(grid, latitude[1:], longitude[1:])
    np.testing.assert_allclose(read(found, field)[1], read(at, field)[0])
