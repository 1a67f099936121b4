import numpy as np
import pytest

from appa_core.regrid import ConservativeRegridder
from appa_core.schema import Grid


@pytest.mark.parametrize("target", [(8, 16), (10, 12), (45, 90)])
def test_integrals_and_constants_are_kept(target):
    source, goal = Grid.equiangular(24, 36), Grid.equiangular(*target)
    regrid = ConservativeRegridder.between(source, goal)
    field = np.random.default_rng(0).normal(size=(3, 24, 36))
    out = regrid(field)
    before = (field * source.area_weights[:, None]).mean(axis=(1, 2))
    after = (out * goal.area_weights[:, None]).mean(axis=(1, 2))
    np.testing.assert_allclose(after, before, atol=1e-12)
    np.testing.assert_allclose(regrid(np.full((24, 36), 7.5)), 7.5)


def test_cells_across_the_origin_of_longitude():
    source, goal = Grid.equiangular(2, 8), Grid.equiangular(2, 4)
    field = np.zeros((2, 8))
    field[:, 7] = 1.0  # centred at 315 degrees: half of it lies in the target cell at 0
    out = ConservativeRegridder.between(source, goal)(field)
    np.testing.assert_allclose(out[0], [0.25, 0.0, 0.0, 0.25])


def test_same_grid_is_identity():
    grid = Grid.equiangular(6, 12)
    field = np.random.default_rng(1).normal(size=(6, 12))
    np.testing.assert_allclose(ConservativeRegridder.between(grid, grid)(field), field, atol=1e-12)
