"""Krylov solvers of batches against dense linear algebra."""

import pytest
import torch

from appa_core.guidance.solvers import SOLVERS, conjugate_gradient, gmres, minres

ROWS, SIZE = 12, 8
NAMES = sorted(SOLVERS)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def systems():
    """Random positive definite S (B, M, M), of any condition up to 1e3, and b (B, M)."""
    root = normal(ROWS, SIZE, SIZE)
    spread = torch.logspace(0, -2.5, ROWS, dtype=torch.float64)[:, None, None]
    return root @ root.mT / SIZE + spread * torch.eye(SIZE), normal(ROWS, SIZE, seed=1)


def indefinite():
    """Symmetric, with eigenvalues of both signs away from zero."""
    vectors = torch.linalg.qr(normal(ROWS, SIZE, SIZE))[0]
    values = normal(ROWS, SIZE, seed=2)
    values = values.sign() * (values.abs() + 0.5)
    values[:, 0], values[:, 1] = -1.0, 1.0
    return vectors @ torch.diag_embed(values) @ vectors.mT


def product(s):
    return lambda v: (s @ v[..., None])[..., 0]


def true_residual(s, x, b):
    return (b - product(s)(x)).norm(dim=-1) / b.norm(dim=-1)


def krylov_basis(s, b, count):
    """Orthonormal basis of b, S b, ..., S^(count - 1) b, (B, M, count)."""
    columns = [b]
    for _ in range(count - 1):
        columns.append(product(s)(columns[-1] / columns[-1].norm(dim=-1, keepdim=True)))
    return torch.linalg.qr(torch.stack(columns, dim=-1))[0]


@pytest.mark.parametrize("name", NAMES)
def test_converged_solution_is_that_of_dense_algebra(name):
    s, b = systems()
    out = SOLVERS[name](product(s), b, iterations=60, tolerance=1e-12)
    torch.testing.assert_close(out.x, torch.linalg.solve(s, b), rtol=1e-8, atol=1e-8)
    assert out.curved.all()
    assert (out.residual < 1e-12).all()


@pytest.mark.parametrize("name", NAMES)
def test_rows_stop_at_the_tolerance(name):
    s, b = systems()
    s = s + 3 * torch.eye(SIZE)
    out = SOLVERS[name](product(s), b, iterations=60, tolerance=1e-2)
    residual = true_residual(s, out.x, b)
    assert (residual < 1e-2).all()
    assert (residual > 1e-5).all()  # and no later
    assert out.iterations < SIZE


@pytest.mark.parametrize("name", NAMES)
def test_products_are_counted(name):
    s, b = systems()
    calls = []

    def counted(v):
        calls.append(1)
        return product(s)(v)

    for x0 in (None, torch.ones_like(b)):
        calls.clear()
        out = SOLVERS[name](counted, b, iterations=3, tolerance=0.0, x0=x0)
        assert out.iterations == len(calls) == 3 + (x0 is not None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("iterations", [1, 3, 6])
def test_reported_residual_is_the_true_one(name, iterations):
    s, b = systems()
    out = SOLVERS[name](product(s), b, iterations=iterations, tolerance=1e-12)
    torch.testing.assert_close(out.residual, true_residual(s, out.x, b), rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("iterations", [2, 40])
def test_rows_do_not_depend_on_each_other(name, iterations):
    """Rows converge at different iterations, and each is as if it were alone."""
    s, b = systems()
    s[3] = 2 * torch.eye(SIZE)
    together = SOLVERS[name](product(s), b, iterations=iterations, tolerance=1e-10)
    for i in range(ROWS):
        here = slice(i, i + 1)
        alone = SOLVERS[name](product(s[here]), b[here], iterations=iterations, tolerance=1e-10)
        torch.testing.assert_close(together.x[here], alone.x, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(together.residual[here], alone.residual)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["matrix", "right-hand side"])
def test_a_row_that_is_not_finite_leaves_the_others(name, bad, where):
    s, b = systems()
    clean = SOLVERS[name](product(s), b, iterations=20, tolerance=1e-10)
    (s if where == "matrix" else b)[5] = bad
    out = SOLVERS[name](product(s), b, iterations=20, tolerance=1e-10)
    others = torch.arange(ROWS) != 5
    assert torch.equal(out.x[others], clean.x[others])
    assert not out.residual[5] < 1  # reported: nan or no progress


def fails_at(s, call, row=5):
    """A product whose result is not finite for one row, from a call on."""
    calls = []

    def apply(v):
        calls.append(1)
        out = product(s)(v)
        if len(calls) >= call:
            out[row] = float("nan")
        return out

    return apply


@pytest.mark.parametrize("name", NAMES)
def test_a_row_that_fails_on_its_way_stops_where_it_was(name):
    s, b = systems()
    out = SOLVERS[name](fails_at(s, call=4), b, iterations=8, tolerance=1e-10)
    before = SOLVERS[name](product(s), b, iterations=3, tolerance=1e-10)
    torch.testing.assert_close(out.x[5], before.x[5])
    torch.testing.assert_close(out.residual, true_residual(s, out.x, b), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_zero_right_hand_side_gives_zero(name):
    s, b = systems()
    b[2] = 0
    out = SOLVERS[name](product(s), b, iterations=20, tolerance=1e-10)
    assert torch.equal(out.x[2], torch.zeros(SIZE, dtype=torch.float64))
    assert out.residual[2] == 0
    all_zero = SOLVERS[name](product(s), 0 * b, iterations=20, tolerance=0.0)
    assert all_zero.iterations == 0
    assert not all_zero.x.any()


@pytest.mark.parametrize("name", NAMES)
def test_no_system_at_all(name):
    """S = 0 has no solution: the row is left at zero and reported."""
    _, b = systems()
    out = SOLVERS[name](lambda v: 0 * v, b, iterations=4, tolerance=1e-6)
    assert not out.x.any()
    assert (out.residual == 1).all()


@pytest.mark.parametrize("name", NAMES)
def test_warm_start(name):
    s, b = systems()
    x = torch.linalg.solve(s, b)
    done = SOLVERS[name](product(s), b, iterations=20, tolerance=1e-8, x0=x)
    assert torch.equal(done.x, x)
    assert done.iterations == 1  # the first residual
    away = x + normal(ROWS, SIZE, seed=3)
    out = SOLVERS[name](product(s), b, iterations=40, tolerance=1e-12, x0=away)
    torch.testing.assert_close(out.x, x, rtol=1e-8, atol=1e-8)
    assert torch.equal(away, x + normal(ROWS, SIZE, seed=3))  # the caller's start is kept


@pytest.mark.parametrize("name", ["gmres", "minres"])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_residual_is_the_least_over_the_krylov_space(name, count):
    s, b = indefinite(), normal(ROWS, SIZE, seed=1)
    if name == "gmres":
        s = s + 0.3 * normal(ROWS, SIZE, SIZE, seed=4)  # any matrix
    basis = krylov_basis(s, b, count)
    weights = torch.linalg.lstsq(s @ basis, b[..., None]).solution
    best = (basis @ weights)[..., 0]
    out = SOLVERS[name](product(s), b, iterations=count, tolerance=0.0)
    torch.testing.assert_close(out.x, best, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_conjugate_gradients_are_galerkins_solution_over_the_krylov_space(count):
    s, b = systems()
    basis = krylov_basis(s, b, count)
    weights = torch.linalg.solve(basis.mT @ s @ basis, basis.mT @ b[..., None])
    out = conjugate_gradient(product(s), b, iterations=count, tolerance=0.0)
    torch.testing.assert_close(out.x, (basis @ weights)[..., 0], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("solve", [minres, gmres])
def test_indefinite_systems_are_solved(solve):
    s, b = indefinite(), normal(ROWS, SIZE, seed=1)
    out = solve(product(s), b, iterations=40, tolerance=1e-10)
    torch.testing.assert_close(out.x, torch.linalg.solve(s, b), rtol=1e-7, atol=1e-7)


def test_conjugate_gradients_report_negative_curvature():
    s, b = systems()
    s[::2] = indefinite()[::2]
    out = conjugate_gradient(product(s), b, iterations=40, tolerance=1e-10)
    assert not out.curved[::2].any()
    assert out.curved[1::2].all()
    assert torch.isfinite(out.x).all()


@pytest.mark.parametrize("name", NAMES)
def test_more_iterations_than_unknowns_do_no_harm(name):
    s, b = systems()
    out = SOLVERS[name](product(s), b, iterations=5 * SIZE, tolerance=0.0)
    assert (true_residual(s, out.x, b) < 1e-10).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("iterations", [1, 4, 30])
def test_image_of_the_solution_is_the_image_of_its_vectors(name, warm, iterations):
    """Some rows converge early, one has nothing to solve and one is not finite."""
    s, b = systems()
    s[3], b[2], s[5] = 2 * torch.eye(SIZE), 0, float("nan")
    to_image = normal(SIZE, 2 * 3, seed=6)
    images = []

    def apply(v):
        images.append((v @ to_image).reshape(len(v), 2, 3))
        return product(s)(v)

    out = SOLVERS[name](
        apply,
        b,
        iterations=iterations,
        tolerance=1e-6,
        x0=normal(ROWS, SIZE, seed=3) if warm else None,
        image=lambda: images[-1],
    )
    finite = torch.arange(ROWS) != 5
    expected = (out.x @ to_image).reshape(ROWS, 2, 3)
    torch.testing.assert_close(out.image[finite], expected[finite], rtol=1e-9, atol=1e-9)
    assert SOLVERS[name](product(s), b, iterations=1, tolerance=0.0).image is None
