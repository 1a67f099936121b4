"""Covariances of errors against their dense matrices."""

import pytest
import torch

from appa_core.errors import DataError
from appa_core.guidance.block_covariance import BlockCovariance
from appa_core.guidance.covariance import (
    DiagonalCovariance,
    LowRankCovariance,
    scalar_covariance,
)

ROWS, SIZE = 5, 7


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def positive(*shape, seed=0):
    return normal(*shape, seed=seed).abs() + 0.1


def definite(*shape, seed=0):
    root = normal(*shape, shape[-1], seed=seed)
    return root @ root.mT + 0.5 * torch.eye(shape[-1])


def dense(cov, size=SIZE):
    """Sigma of every row by the definition of each kind, (1 or B, M, M)."""
    if isinstance(cov, DiagonalCovariance):
        return torch.diag_embed(cov.variances.expand(*cov.variances.shape[:-1], size)).reshape(
            -1, size, size
        )
    if isinstance(cov, LowRankCovariance):
        sigma = torch.diag_embed(cov.diagonal) + cov.factors @ cov.factors.mT
        return sigma.reshape(-1, size, size)
    rows = max([len(g.matrix) for g in cov.groups if g.matrix.ndim == 4] or [1])
    out = torch.diag(cov.variances).repeat(rows, 1, 1)
    for group in cov.groups:
        for i, places in enumerate(group.index):
            out[:, places[:, None], places] = group.matrix[..., i, :, :]
    return out


CASES = {
    "scalar": scalar_covariance(0.3, normal(1)),
    "diagonal, shared": DiagonalCovariance(positive(SIZE)),
    "diagonal, one row": DiagonalCovariance(positive(1, SIZE)),
    "diagonal, by row": DiagonalCovariance(positive(ROWS, SIZE)),
    "low rank, shared": LowRankCovariance(positive(SIZE), normal(SIZE, 2, seed=1)),
    "low rank, one row": LowRankCovariance(positive(1, SIZE), normal(1, SIZE, 2, seed=1)),
    "low rank, by row": LowRankCovariance(positive(ROWS, SIZE), normal(ROWS, SIZE, 2, seed=1)),
    "rank above size": LowRankCovariance(positive(SIZE), normal(SIZE, SIZE + 2, seed=1)),
    "rank zero": LowRankCovariance(positive(SIZE), normal(SIZE, 0)),
    "blocks, shared": BlockCovariance.of([definite(3), definite(1), definite(3, seed=1)]),
    "blocks, by row": BlockCovariance.of([definite(ROWS, 3), definite(ROWS, 4)]),
    "blocks, mixed": BlockCovariance.of([definite(3), definite(ROWS, 4)]),
    "blocks, scattered": BlockCovariance.of(
        [definite(2), definite(3, seed=1), definite(1)],
        [torch.tensor([5, 1]), torch.tensor([0, 6, 2]), torch.tensor([3])],
        positive(SIZE),
    ),
    "blocks, none": BlockCovariance.of([], [], positive(SIZE)),
}
MAPS = ("apply", "colour", "whiten", "whiten_transposed", "solve")


@pytest.fixture(params=CASES)
def cov(request):
    return CASES[request.param]


def matrix_of(function):
    """Matrices of a linear map of (B, M) by its columns, (B, M, M)."""
    columns = [function(column.expand(ROWS, SIZE)) for column in torch.eye(SIZE).double()]
    return torch.stack(columns, dim=-1)


def close(a, b):
    torch.testing.assert_close(*torch.broadcast_tensors(a, b), rtol=1e-10, atol=1e-10)


def test_apply_is_the_product_with_the_matrix(cov):
    close(matrix_of(cov.apply), dense(cov))


def test_colour_is_a_square_root(cov):
    root = matrix_of(cov.colour)
    close(root @ root.mT, dense(cov))


def test_whiten_undoes_colour(cov):
    v = normal(ROWS, SIZE, seed=2)
    close(cov.whiten(cov.colour(v)), v)
    close(cov.colour(cov.whiten(v)), v)


def test_whiten_transposed_is_the_transpose_of_whiten(cov):
    close(matrix_of(cov.whiten_transposed), matrix_of(cov.whiten).mT)


def test_whitened_errors_have_unit_covariance(cov):
    whiten = matrix_of(cov.whiten)
    close(whiten @ dense(cov) @ whiten.mT, torch.eye(SIZE).double())


def test_solve_is_the_inverse(cov):
    v = normal(ROWS, SIZE, seed=2)
    expected = torch.linalg.solve(dense(cov).expand(ROWS, -1, -1), v[..., None])[..., 0]
    close(cov.solve(v), expected)


def test_variance_is_the_diagonal(cov):
    out = cov.variance(normal(ROWS, SIZE))
    assert out.shape == (ROWS, SIZE)
    close(out, dense(cov).diagonal(dim1=1, dim2=2))


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("index", [[3], [4, 0], [1, 1, 2]])
def test_rows_are_those_of_the_batch(cov, name, index):
    index = torch.tensor(index)
    v = normal(ROWS, SIZE, seed=2)
    ours, theirs = getattr(cov.rows(index), name), getattr(cov, name)
    close(ours(v[index]), theirs(v)[index])


def test_rows_have_their_variances(cov):
    index, v = torch.tensor([4, 0]), normal(ROWS, SIZE)
    close(cov.rows(index).variance(v[index]), cov.variance(v)[index])


USED = torch.tensor([[1.0, 0, 1, 1, 0, 0, 1], [1] * 7, [0] * 7, [0, 0, 0, 0, 0, 0, 1]]).double()
USED = torch.cat([USED, 1 - USED[:1]])


@pytest.mark.parametrize("used", [USED, USED[:1]], ids=["by row", "shared"])
def test_what_is_left_out_is_left_out_with_its_error(cov, used):
    """The marginal of the used ones is their part of the matrix; the others go alone."""
    marginal = cov.marginal(used)
    sigma = matrix_of(marginal.apply)
    both = used[:, :, None] * used[:, None, :]
    close(sigma * both, dense(cov) * both)
    mixed = used[:, :, None] * (1 - used[:, None, :])
    assert not (sigma * mixed).any()
    v = normal(ROWS, SIZE) * used
    close(marginal.whiten(v) * (1 - used), torch.zeros(ROWS, SIZE).double())
    whiten = matrix_of(marginal.whiten)
    close(whiten @ sigma @ whiten.mT, torch.eye(SIZE).double())


@pytest.mark.parametrize("column", [0, 3, 6])
def test_errors_that_go_together_are_found(cov, column):
    """Those that a chain of correlations joins, of each row."""
    chosen = torch.zeros(ROWS, SIZE, dtype=torch.bool)
    chosen[:, column] = True
    joined = (dense(cov).expand(ROWS, -1, -1) != 0).double().matrix_power(SIZE) > 0
    assert torch.equal(cov.coupled(chosen).expand(ROWS, -1), joined[:, column])
    assert not cov.coupled(torch.zeros(ROWS, SIZE, dtype=torch.bool)).any()


def test_factors_join_by_way_of_others():
    factors = torch.tensor([[1.0, 0], [1, 1], [0, 1], [0, 0]])
    cov = LowRankCovariance(torch.ones(4), factors)
    first = torch.tensor([[True, False, False, False]])
    assert cov.coupled(first).tolist() == [[True, True, True, False]]


def test_rows_with_their_own_covariance_differ():
    """So that the tests of rows above could fail."""
    for name in ("diagonal, by row", "low rank, by row", "blocks, by row"):
        sigma = dense(CASES[name])
        assert (sigma[0] - sigma[1]).abs().max() > 0.1


def test_precision_of_the_data_is_kept():
    v = torch.ones(2, 3)
    for like in (v, v.double()):
        assert scalar_covariance(0.1, like).whiten(like).dtype == like.dtype


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan")])
def test_variances_must_be_positive(bad):
    values = torch.tensor([1.0, bad, 2.0])
    with pytest.raises(DataError, match="must be positive"):
        DiagonalCovariance(values)
    with pytest.raises(DataError, match="must be positive"):
        LowRankCovariance(values, torch.ones(3, 1))


@pytest.mark.parametrize(("diagonal", "factors"), [((3,), (2, 1)), ((2, 3), (3, 1)), ((3,), (3,))])
def test_factors_must_fit_the_diagonal(diagonal, factors):
    with pytest.raises(DataError, match=r"shape \(\.\.\., M, rank\)"):
        LowRankCovariance(torch.ones(diagonal), torch.ones(factors))


def test_blocks_must_be_symmetric_and_positive():
    with pytest.raises(DataError, match=r"block 1 .* not symmetric"):
        BlockCovariance.of([torch.eye(2), torch.tensor([[1.0, 0.5], [0.0, 1.0]])])
    with pytest.raises(DataError, match=r"block 0 .* not symmetric"):
        BlockCovariance.of([torch.ones(2, 3)])
    with pytest.raises(DataError, match=r"block 0 .* not positive definite"):
        BlockCovariance.of([torch.tensor([[1.0, 2.0], [2.0, 1.0]])])
    one_bad_row = torch.stack([torch.eye(2), -torch.eye(2)])
    with pytest.raises(DataError, match=r"block 0 .* not positive definite"):
        BlockCovariance.of([one_bad_row])


def test_blocks_are_where_they_were_put():
    """Two reports of two rows each, and a row between them, by hand."""
    blocks = [torch.tensor([[4.0, 1.0], [1.0, 2.0]]), torch.tensor([[3.0, -1.0], [-1.0, 5.0]])]
    places = [torch.tensor([0, 3]), torch.tensor([4, 1])]
    cov = BlockCovariance.of(blocks, places, torch.tensor([9.0, 9.0, 7.0, 9.0, 9.0]))
    expected = [
        [4.0, 0, 0, 1, 0],
        [0.0, 5, 0, 0, -1],
        [0.0, 0, 7, 0, 0],
        [1.0, 0, 0, 2, 0],
        [0.0, -1, 0, 0, 3],
    ]
    assert cov.apply(torch.eye(5)).tolist() == expected
    assert len(cov.groups) == 1, "blocks of one size are applied together"


USED = {
    "whole and part": torch.tensor([[1, 1, 1, 0, 1, 0, 0]]),
    "by row": torch.tensor([[1, 0, 1, 1, 0, 1, 1]]).repeat(ROWS, 1),
    "nothing": torch.zeros(1, SIZE),
}
USED["by row"][1:, :3] = torch.tensor([0, 1, 1])


@pytest.mark.parametrize("used", USED.values(), ids=USED)
def test_what_is_left_out_is_as_if_it_had_never_been(cov, used):
    used = used.double()
    masked = matrix_of(cov.marginal(used).apply)
    whole = dense(cov).expand(ROWS, -1, -1)
    for row in range(ROWS):
        here = used[row if len(used) > 1 else 0] > 0
        close(masked[row][here][:, here], whole[row][here][:, here])
        assert (masked[row][here][:, ~here] == 0).all()
        assert (masked[row][~here][:, here] == 0).all()
        outside = masked[row][~here][:, ~here]
        assert (outside == torch.diag(outside.diagonal())).all()
        assert (outside.diagonal() > 0).all()
    v = normal(ROWS, SIZE, seed=2) * used
    weights = cov.marginal(used).solve(v)
    for row in range(ROWS):
        here = used[row if len(used) > 1 else 0] > 0
        close(weights[row][here], torch.linalg.solve(whole[row][here][:, here], v[row][here]))
        close(weights[row][~here], torch.zeros(()).double())


def test_blocks_must_cover_all_observations():
    with pytest.raises(DataError, match="blocks cover 2 observations of 3"):
        BlockCovariance.of([torch.eye(2)]).apply(torch.ones(1, 3))
