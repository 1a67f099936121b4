"""Observations: linearised operators, rows, what is unused, and messages."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from appa_core.blankets import FoldPlan
from appa_core.diffusion.denoiser import Condition
from appa_core.diffusion.trajectory import NetworkCost, TrajectoryDenoiser
from appa_core.errors import DataError
from appa_core.guidance.covariance import DiagonalCovariance
from appa_core.guidance.gradients import Dps, Sda
from appa_core.guidance.mmps import Mmps
from appa_core.guidance.observation import Observation
from appa_core.guidance.repaint import Repaint

ROWS, STATES, WIDTH, SIZE = 4, 3, 2, 5


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


MATRIX = normal(SIZE, STATES * WIDTH)
USED = torch.tensor([[1.0] * 5, [1, 0, 1, 0, 1], [0] * 5, [0, 0, 0, 0, 1]]).double()


def linear(x):
    return x.flatten(1) @ MATRIX.T


def curved(x):
    return torch.sin(linear(x)) + linear(x) ** 2


@dataclass(frozen=True)
class OwnMatrices:
    """A matrix for each row."""

    matrices: Tensor

    def __call__(self, x):
        return torch.einsum("bmn,bn->bm", self.matrices, x.flatten(1))

    def rows(self, index):
        return OwnMatrices(self.matrices[index])


def observation(operator=linear, y=None, used=None, variances=None):
    y = normal(ROWS, SIZE, seed=1) if y is None else y
    variances = torch.ones(y.shape[-1]).double() if variances is None else variances
    return Observation(y=y, A=operator, cov_y=DiagonalCovariance(variances), used=used)


def dot(a, b):
    return (a * b).flatten(1).sum(1)


@pytest.mark.parametrize("operator", [linear, curved, OwnMatrices(normal(ROWS, SIZE, 6, seed=2))])
@pytest.mark.parametrize("used", [None, USED, USED[1:2]])
def test_vjp_is_the_transpose_of_jvp(operator, used):
    x, v = normal(ROWS, STATES, WIDTH, seed=3), normal(ROWS, STATES, WIDTH, seed=4)
    u = normal(ROWS, SIZE, seed=5)
    at = observation(operator, used=used).linearise(x)
    torch.testing.assert_close(dot(at.jvp(v), u), dot(v, at.vjp(u)))
    assert dot(at.jvp(v), u).abs().max() > 0.1


@pytest.mark.parametrize("used", [None, USED])
def test_jvp_is_the_derivative(used):
    x, v = normal(ROWS, STATES, WIDTH, seed=3), normal(ROWS, STATES, WIDTH, seed=4)
    at = observation(curved, used=used).linearise(x)
    mask = 1 if used is None else used
    difference = mask * (curved(x + 1e-6 * v) - curved(x - 1e-6 * v)) / 2e-6
    torch.testing.assert_close(at.jvp(v), difference, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(at.value, curved(x))


def test_products_do_not_compute_the_operator_again():
    calls = []

    def operator(x):
        calls.append(len(x))
        return linear(x)

    seen = observation(operator)
    at = seen.linearise(normal(ROWS, STATES, WIDTH))
    for seed in range(3):
        at.vjp(normal(ROWS, SIZE, seed=seed))
    assert seen.cost == NetworkCost(operator_forward=ROWS, operator_vjp=3 * ROWS)
    for seed in range(3):
        at.jvp(normal(ROWS, STATES, WIDTH, seed=seed))
    assert calls == [ROWS]
    # the first product with the Jacobian needs one with its transpose
    expected = NetworkCost(operator_forward=ROWS, operator_vjp=4 * ROWS, operator_jvp=3 * ROWS)
    assert seen.cost == expected


def test_residual_is_zero_where_nothing_is_observed():
    x = normal(ROWS, STATES, WIDTH)
    seen = observation(used=USED)
    torch.testing.assert_close(seen.residual(linear(x)), USED * (seen.y - linear(x)))
    assert seen.count.tolist() == [5, 3, 0, 1]
    assert observation().count.tolist() == [5] * ROWS


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("index", [[2], [3, 0], [1, 1]])
def test_rows_are_those_of_the_batch(shared, index):
    """Operators, values, errors and masks that rows have of their own, or all in common."""
    first = slice(0, 1) if shared else slice(None)
    matrices = normal(ROWS, SIZE, 6, seed=2)
    seen = observation(
        linear if shared else OwnMatrices(matrices),
        y=normal(ROWS, SIZE, seed=1)[first],
        used=USED[first],
        variances=normal(ROWS, SIZE, seed=7)[first].abs(),
    )
    x = normal(ROWS, STATES, WIDTH)
    index = torch.tensor(index)
    some = seen.rows(index)
    torch.testing.assert_close(some.predict(x[index]), seen.predict(x)[index])
    residual = seen.residual(seen.predict(x))
    torch.testing.assert_close(some.residual(some.predict(x[index])), residual[index])
    whitened = seen.cov_y.whiten(residual)[index]
    torch.testing.assert_close(some.cov_y.whiten(residual[index]), whitened)
    assert some.count.expand(len(index)).tolist() == seen.count.expand(ROWS)[index].tolist()
    assert some.cost is seen.cost


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_must_be_finite(bad):
    y = normal(ROWS, SIZE)
    y[2, 3] = bad
    with pytest.raises(DataError, match="observation 3 of row 2 is not finite"):
        observation(y=y)


def test_values_have_rows():
    with pytest.raises(DataError, match=r"shape \(rows, observations\), it has \(5,\)"):
        observation(y=normal(SIZE))


def test_operator_must_give_as_many_values():
    seen = observation(y=normal(ROWS, 4))
    observed = seen.predict(normal(ROWS, STATES, WIDTH))
    with pytest.raises(DataError, match=r"operator gives \(5,\) .* y holds \(4,\)"):
        seen.residual(observed)


def through_numpy(x):
    return torch.from_numpy(np.tanh(x.numpy()).reshape(len(x), -1)[:, :SIZE])


def through_detached_numpy(x):
    return through_numpy(x.detach())


@pytest.mark.parametrize("operator", [through_detached_numpy, through_numpy])
def test_operator_without_gradient_is_pointed_to_another_method(operator):
    with pytest.raises(DataError, match=r"no gradient; .*es-mda"):
        observation(operator).linearise(normal(ROWS, STATES, WIDTH))


WEIGHTS = normal(STATES * WIDTH, STATES * WIDTH, seed=8)
GUIDANCES = [
    Mmps(),
    Mmps("cg", covariance="scalar"),
    Mmps("minres", whiten=False, reuse=False),
    Mmps(safeguard=False),
    Sda(),
    Dps(),
    Repaint(),
]


def denoiser():
    empty = torch.zeros(ROWS, STATES, 1)
    return TrajectoryDenoiser(
        lambda x, sigma, _: torch.tanh(x.flatten(1) @ WEIGHTS).reshape(x.shape) / sigma[0],
        FoldPlan(STATES, STATES, STATES),
        Condition(empty, empty, empty),
    )


def positive_linear(x):
    """What repainting accepts too."""
    return x.flatten(1) @ MATRIX.abs().T


@pytest.mark.parametrize("guidance", GUIDANCES, ids=repr)
@pytest.mark.parametrize("kind", ["no columns", "none used", "none used by any row"])
def test_without_observations_the_mean_is_that_of_the_prior(guidance, kind):
    x, sigma = normal(ROWS, STATES, WIDTH), torch.full((ROWS,), 0.7, dtype=torch.float64)
    seen = {
        "no columns": observation(lambda x: linear(x)[:, :0], y=normal(ROWS, 0)),
        "none used": observation(positive_linear, used=0 * USED[:1]),
        "none used by any row": observation(positive_linear, used=0 * USED),
    }[kind]
    assert seen.empty
    prior = denoiser()
    assert torch.equal(guidance(x, sigma, prior, seen), prior(x, sigma))
    assert seen.cost == NetworkCost()


@pytest.mark.parametrize("guidance", GUIDANCES, ids=repr)
def test_rows_without_observations_keep_the_mean_of_the_prior(guidance):
    x, sigma = normal(ROWS, STATES, WIDTH), torch.full((ROWS,), 0.7, dtype=torch.float64)
    seen = observation(positive_linear, used=USED)
    prior = denoiser()
    moved = (guidance(x, sigma, prior, seen) - prior(x, sigma)).flatten(1).abs().sum(1)
    assert moved[2] == 0
    assert (moved[[0, 1, 3]] > 1e-3).all()
