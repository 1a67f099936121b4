"""Blankets side by side make a trajectory, and the folded denoiser has a true transpose."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from appa_core.blankets import FoldPlan
from appa_core.diffusion.denoiser import Condition
from appa_core.diffusion.trajectory import TrajectoryDenoiser

FOLDS = ("symmetrical", "causal", "average")
ROWS, WIDTH = 3, 2


@st.composite
def plans(draw, longest=30):
    blanket = draw(st.integers(1, 9))
    length = draw(st.integers(blanket, longest))
    return FoldPlan(length, blanket, draw(st.integers(1, blanket)), draw(st.sampled_from(FOLDS)))


def shares(plan):
    """Share of every blanket (rows) in every state of the trajectory; None where it has none."""
    table = [[None] * plan.length for _ in plan.starts]
    for row, start, weights in zip(table, plan.starts, plan.weights, strict=True):
        row[start : start + plan.blanket_states] = weights
    return table


@given(plans())
def test_blankets_cover_the_trajectory_and_stay_within_it(plan):
    held = {s + k for s in plan.starts for k in range(plan.blanket_states)}
    assert held == set(range(plan.length))
    steps = [b - a for a, b in zip(plan.starts, plan.starts[1:], strict=False)]
    assert all(0 < step <= plan.stride for step in steps)
    assert steps[:-1] == [plan.stride] * len(steps[:-1])


@given(plans())
def test_shares_of_every_state_sum_to_one(plan):
    for state in zip(*shares(plan), strict=True):
        held = [share for share in state if share is not None]
        assert sum(held) == pytest.approx(1)
        assert all(share >= 0 for share in held)


@given(plans())
def test_states_belong_to_whom_the_fold_says(plan):
    centres = [start + (plan.blanket_states - 1) / 2 for start in plan.starts]
    for position, state in enumerate(zip(*shares(plan), strict=True)):
        holders = [i for i, share in enumerate(state) if share is not None]
        owners = [i for i in holders if state[i] > 0]
        if plan.fold == "average":
            assert owners == holders
            assert len({state[i] for i in holders}) == 1
        elif plan.fold == "causal":
            assert owners == holders[:1]
        else:
            (owner,) = owners
            nearest = min(abs(position - centres[i]) for i in holders)
            assert abs(position - centres[owner]) == nearest


@pytest.mark.parametrize("arguments", [(5, 6, 2), (6, 6, 0), (8, 4, 5), (8, 4, -1)])
def test_impossible_plans_are_refused(arguments):
    with pytest.raises(ValueError, match="0 < stride <= blanket_states <= length"):
        FoldPlan(*arguments)


def normal(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def folded(plan, batch=1 << 30, blanket=None):
    """A denoiser that is linear in x_t, by noise level, known states and context of each row."""
    size = plan.blanket_states * WIDTH
    matrix = normal(size, size, seed=1)

    def linear(x, sigma, condition):
        weight = (sigma[:, None, None] + condition.context) * (1 - condition.mask)
        mixed = ((x * weight).flatten(1) @ matrix.T).reshape(x.shape)
        return mixed + condition.known * condition.mask

    condition = Condition(
        normal(ROWS, plan.length, WIDTH, seed=2),
        (normal(ROWS, plan.length, 1, seed=3) > 1).double(),
        normal(ROWS, plan.length, 1, seed=4),
    )
    return TrajectoryDenoiser(blanket or linear, plan, condition, batch)


def levels():
    return torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64)


@settings(max_examples=40)
@given(plans(longest=14), st.integers(1, 7))
def test_vjp_is_the_transpose_of_the_linear_map(plan, batch):
    x, v, u = (normal(ROWS, plan.length, WIDTH, seed=s) for s in (5, 6, 7))
    denoiser = folded(plan, batch)
    at = denoiser.linearise(x, levels())
    change = denoiser(x + v, levels()) - denoiser(x, levels())
    left, right = (change * u).flatten(1).sum(1), (v * at.vjp(u)).flatten(1).sum(1)
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(at.mean, denoiser(x, levels()))


@settings(max_examples=40)
@given(plans(longest=14), st.integers(1, 7))
def test_pieces_give_what_the_whole_gives(plan, batch):
    x, u = (normal(ROWS, plan.length, WIDTH, seed=s) for s in (5, 6))
    whole, pieces = folded(plan), folded(plan, batch)
    torch.testing.assert_close(pieces(x, levels()), whole(x, levels()))
    ours, theirs = (d.linearise(x, levels()) for d in (pieces, whole))
    torch.testing.assert_close(ours.mean, theirs.mean)
    torch.testing.assert_close(ours.vjp(u), theirs.vjp(u))
    torch.testing.assert_close(ours.vjp(2 * u), 2 * theirs.vjp(u))  # more than once


@settings(max_examples=20)
@given(plans(longest=14), st.integers(1, 7))
def test_no_call_holds_more_blankets_than_allowed(plan, batch):
    sizes = []

    def recorded(x, _sigma, condition):
        assert len(x) == len(condition.known) == len(condition.mask) == len(condition.context)
        sizes.append(len(x))
        return 2 * x

    denoiser = folded(plan, batch, recorded)
    denoiser.linearise(normal(ROWS, plan.length, WIDTH, seed=5), levels())
    assert max(sizes) <= batch
    assert sum(sizes) == denoiser.cost.denoiser_forward == ROWS * len(plan.starts)


@given(plans())
def test_folding_the_identity_is_the_identity(plan):
    x = normal(ROWS, plan.length, WIDTH, seed=5)
    denoiser = folded(plan, blanket=lambda x, *_: 1 * x)
    torch.testing.assert_close(denoiser(x, levels()), x)
    torch.testing.assert_close(denoiser.linearise(x, levels()).vjp(x), x)


@settings(max_examples=20)
@given(plans(longest=14))
def test_rows_are_those_of_the_batch(plan):
    x = normal(ROWS, plan.length, WIDTH, seed=5)
    some = torch.tensor([2, 0])
    denoiser = folded(plan)
    ours = denoiser.rows(some)(x[some], levels()[some])
    torch.testing.assert_close(ours, denoiser(x, levels())[some])


@settings(max_examples=20)
@given(plans(longest=14), st.integers(1, 7))
def test_every_blanket_is_told_the_doubts_of_its_states(plan, batch):
    told = []

    def recorded(x, _sigma, condition):
        told.append(condition.doubt)
        return 1 * x

    doubt = normal(ROWS, plan.length, 1, seed=8)
    whole = folded(plan, batch, recorded)
    whole = dataclasses.replace(whole, condition=dataclasses.replace(whole.condition, doubt=doubt))
    whole(normal(ROWS, plan.length, WIDTH, seed=5), levels())
    k = plan.blanket_states
    expected = [doubt[row, s : s + k] for row in range(ROWS) for s in plan.starts]
    assert torch.equal(torch.cat(told), torch.stack(expected))
