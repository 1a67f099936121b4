"""Tapering of covariances with distance."""

import numpy as np
import pytest
import torch

from appa_core.observe.interpolation import unit_vectors
from appa_core.posterior.localisation import Localisation, gaspari_cohn


def test_known_values():
    """Gaspari & Cohn, equation 4.10, worked by hand."""
    r = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 7.0], dtype=torch.float64)
    at_half = 1 - 5 / 12 + 5 / 64 + 1 / 32 - 1 / 128
    at_three_halves = 4 - 7.5 + 3.75 + 2.109375 - 2.53125 + 0.6328125 - 4 / 9
    expected = [1.0, at_half, 5 / 24, at_three_halves, 0.0, 0.0]
    assert gaspari_cohn(r).tolist() == pytest.approx(expected, abs=1e-12)


def test_it_falls_without_a_step():
    r = torch.linspace(0, 2.5, 2001, dtype=torch.float64)
    change = gaspari_cohn(r).diff()
    assert (change <= 1e-12).all()
    assert change.abs().max() < 2e-3


def test_products_of_factors_are_covariances():
    """Of places anywhere on the sphere, at any height and time: no negative eigenvalue."""
    rng = np.random.default_rng(0)
    local = Localisation(3000.0, 0.7, 1.5)
    place = torch.from_numpy(
        unit_vectors(np.degrees(np.arcsin(rng.uniform(-1, 1, 300))), rng.uniform(0, 360, 300))
    )
    height, time = (torch.from_numpy(rng.uniform(0, size, 300)) for size in (1.6, 4))
    factor = local.horizontal(place, place) * local.vertical(height, height)
    factor *= local.temporal(time, time)
    assert torch.linalg.eigvalsh(factor).min() > -1e-9
    assert torch.allclose(factor.diagonal(), torch.ones(300, dtype=torch.float64))


def test_lengths_are_where_factors_have_fallen_by_four_fifths():
    local = Localisation(2000.0, 0.5, 2.0)
    one = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    angle = 2 * np.arcsin(2000.0 / 2 / 6371.0)  # whose chord is 2000 km
    other = torch.tensor([[np.cos(angle), np.sin(angle), 0.0]])
    assert local.horizontal(one, other).item() == pytest.approx(5 / 24, rel=1e-6)
    zero = torch.zeros(1, dtype=torch.float64)
    assert local.vertical(zero, zero + 0.5).item() == pytest.approx(5 / 24)
    assert local.temporal(zero, zero + 4.0).item() == 0
