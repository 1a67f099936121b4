"""Noise belongs to what it is for, however work is cut into batches."""

from itertools import combinations

import pytest
import torch

from appa_core.diffusion.noise import KeyedNoise, PooledNoise

CPU = torch.device("cpu")
SHAPE = (2, 3)


def keyed(members=(0, 1, 2), states=(0, 0, 0), length=6, **changes):
    return KeyedNoise(
        **{"seed": 7, "shape": SHAPE, "device": CPU, **changes},
        members=members,
        states=states,
        length=length,
    )


def pooled(rows=20, page=8, **changes):
    index = torch.arange(rows)
    settings = {"seed": 7, "index": index, "length": 4, "shape": SHAPE, "page": page}
    return PooledNoise(**{**settings, **changes})


@pytest.mark.parametrize("draw", [0, 1, 5])
@pytest.mark.parametrize("purpose", [0, 3])
def test_more_members_and_longer_trajectories_leave_values(draw, purpose):
    small = keyed((4, 2), (1, 1), purpose=purpose)(draw)
    large = keyed((2, 9, 4, 0), (1,) * 4, length=8, purpose=purpose)(draw)
    assert torch.equal(large[2, :6], small[0])
    assert torch.equal(large[0, :6], small[1])


@pytest.mark.parametrize("draw", [0, 2])
def test_rows_of_keyed_noise(draw):
    noise = keyed((0, 1, 2), (0, 4, 8))
    assert torch.equal(noise.rows([2, 0])(draw), noise(draw)[[2, 0]])


@pytest.mark.parametrize("draw", [0, 2])
def test_trajectories_shifted_in_time_share_the_noise_of_a_state(draw):
    early, late = keyed((3,), (10,))(draw), keyed((3,), (12,))(draw)
    assert torch.equal(early[:, 2:], late[:, :-2])
    assert not torch.equal(early[:, :-2], late[:, :-2])


@pytest.mark.parametrize("draw", [0, 2])
@pytest.mark.parametrize("purpose", [0, 5])
def test_windows_of_keyed_noise_are_cut_from_its_stream(draw, purpose):
    whole = keyed(states=(3, 4, 5), purpose=purpose)
    window = keyed(states=(3, 4, 5)).window(range(2, 5), purpose)
    assert torch.equal(window(draw), whole(draw)[:, 2:5])
    assert torch.equal(window.rows([1])(draw), whole(draw)[1:2, 2:5])


@pytest.mark.parametrize("make", [keyed, pooled])
def test_states_may_be_single_numbers(make):
    noise = make(shape=())
    assert noise.rows([2, 1])(1).shape == (2, noise.length)


@pytest.mark.parametrize("draw", [0, 2])
def test_members_of_a_pair_have_opposite_noise(draw):
    alone, paired = (keyed((0, 1, 4, 5), (3,) * 4, paired=p) for p in (False, True))
    even = alone(draw)[[0, 2]]
    assert torch.equal(paired(draw)[[0, 2]], even)
    assert torch.equal(paired(draw)[[1, 3]], -even)
    # whoever else is drawn, and whatever part of the trajectory
    assert torch.equal(paired.rows([3])(draw), -even[1:])
    window, whole = (n.window(range(1, 4), 2)(draw) for n in (paired, alone))
    assert torch.equal(window[1], -whole[0])


def test_keyed_noise_differs_by_everything_that_names_it():
    streams = {
        (seed, draw, purpose): keyed(seed=seed, purpose=purpose)(draw)
        for seed in (7, 8)
        for draw in (0, 1, 2)
        for purpose in (0, 1, 2)
    }
    fields = [field for x in streams.values() for row in x for field in row]
    assert len(fields) == 2 * 3 * 3 * 3 * 6
    first = torch.stack(fields)[:, 0, 0]
    assert len(first.unique()) == len(fields)


@pytest.mark.parametrize("make", [keyed, pooled])
def test_noise_is_unit_normal_and_uncorrelated_between_draws(make):
    settings = {"shape": (400,), "dtype": torch.float64}
    a, b = (make(**settings)(draw).flatten() for draw in (0, 1))
    for x in (a, b):
        assert x.mean().abs() < 5 / len(x) ** 0.5
        assert (x.var() - 1).abs() < 8 / len(x) ** 0.5
        assert (x.pow(4).mean() - 3).abs() < 50 / len(x) ** 0.5
    assert (a * b).mean().abs() < 5 / len(a) ** 0.5


def test_noise_has_the_precision_asked_for():
    for dtype in (torch.float32, torch.float64):
        assert keyed(dtype=dtype)(1).dtype == pooled(dtype=dtype)(1).dtype == dtype
    torch.testing.assert_close(keyed(dtype=torch.float64)(1).float(), keyed()(1))


@pytest.mark.parametrize("draw", [0, 3])
def test_more_rows_leave_pooled_noise(draw):
    assert torch.equal(pooled(30)(draw)[:20], pooled(20)(draw))


@pytest.mark.parametrize("draw", [0, 3])
@pytest.mark.parametrize("rows", [[3], [19, 0, 8, 7], [2, 2]])
def test_rows_of_pooled_noise(draw, rows):
    """Also across pages, out of order and again."""
    noise = pooled()
    assert torch.equal(noise.rows(rows)(draw), noise(draw)[rows])
    window = noise.window(range(1, 4), 2)
    assert torch.equal(window.rows(rows)(draw), window(draw)[rows])
    assert torch.equal(noise.rows(rows).window(range(1, 4), 2)(draw), window(draw)[rows])


def test_pooled_noise_differs_by_everything_that_names_it():
    noise = pooled()
    streams = [noise(0), noise(1), pooled(seed=8)(0), pooled(purpose=99)(0)]
    windows = [(range(4), 0), (range(4), 1), (range(1, 5), 0), (range(1, 5), 1)]
    streams += [noise.window(states, purpose)(0) for states, purpose in windows]
    streams.append(noise.window(range(4), 0)(1))
    for a, b in combinations([row for x in streams for row in x[:, 0]], 2):
        assert not torch.equal(a, b)


def test_windows_have_their_length():
    for noise in (keyed(), pooled()):
        assert noise.window(range(2, 5), 1)(0).shape[1:] == (3, *SHAPE)
