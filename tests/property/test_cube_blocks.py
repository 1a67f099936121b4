"""Laws of the calendar of a cube: blocks tile years, gaps complement what is committed."""

import uuid
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from appa_core.io.cube import Block, BlockRecord, Cube, CubeSpec, CubeVariable

DIVISORS = [1, 2, 3, 4, 6, 8, 12, 24]
years = st.integers(1900, 2100)
steps = st.sampled_from(DIVISORS)
sizes = st.integers(1, 500)
hours = st.integers(0, 3 * 366 * 24)
START = pd.Timestamp("2019-07-01")


def spec(step_hours, block_states):
    return CubeSpec(
        step="states",
        version=1,
        config={},
        parents={},
        step_hours=step_hours,
        block_states=block_states,
        coordinates={"x": np.arange(2)},
        variables=(CubeVariable("a", ("x",), {}),),
    )


@settings(max_examples=50)
@given(years, steps, sizes)
def test_blocks_tile_a_year(year, step, size):
    layout = spec(step, max(size, 24 // step))
    blocks = layout.blocks(pd.Timestamp(year, 1, 1), pd.Timestamp(year + 1, 1, 1))
    assert blocks == [Block(year, i) for i in range(len(blocks))]
    parts = [layout.times_of(year, *layout.bounds(b)) for b in blocks]
    whole = pd.date_range(f"{year}-01-01", f"{year + 1}-01-01", freq=f"{step}h", inclusive="left")
    np.testing.assert_array_equal(np.concatenate(parts), whole.values)
    assert {len(p) for p in parts[:-1]} <= {layout.block_states}
    assert 0 < len(parts[-1]) <= layout.block_states


@given(hours, hours, st.integers(0, 59), steps, sizes)
def test_blocks_of_a_period_are_those_with_a_state_in_it(low, high, minutes, step, size):
    start = START + pd.Timedelta(hours=low)
    end = START + pd.Timedelta(hours=high, minutes=minutes)
    grid = pd.date_range("2019-01-01", "2024-01-01", freq=f"{step}h")
    inside = grid[(grid >= start) & (grid < end)]
    positions = ((inside.day_of_year - 1) * 24 + inside.hour) // step
    expected = sorted(set(zip(inside.year, positions // size, strict=True)))
    found = spec(step, size).blocks(start, end)
    assert [(b.year, b.index) for b in found] == expected


@given(years, steps, sizes, st.data())
def test_every_state_is_found_where_it_is(year, step, size, data):
    layout = spec(step, size)
    states = layout.states_of(year)
    positions = np.array(data.draw(st.lists(st.integers(0, states - 1), min_size=1, max_size=20)))
    times = pd.Timestamp(year, 1, 1) + pd.to_timedelta(positions * step, "h")
    found_years, found = layout.locate(pd.DatetimeIndex(times))
    np.testing.assert_array_equal(found, positions)
    assert (found_years == year).all()


runs = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 8), st.integers(0, 8)), max_size=10)


@settings(max_examples=40)
@given(st.sampled_from([6, 8, 24]), st.integers(1, 9), runs, st.integers(0, 9000),
       st.integers(0, 9000))  # fmt: skip
def test_gaps_complement_what_is_committed(step, size, committed, low, high):
    cube = Cube.open(f"memory://{uuid.uuid4().hex}", spec(step, size))
    everything = cube.blocks("2019-12-01", "2021-01-10")
    for which, a, b in committed:
        block = everything[which % len(everything)]
        times = cube.times_of(block)
        first, last = sorted((a % len(times), b % len(times)))
        record = BlockRecord(block, times[first], times[last], {}, {}, {}, False, 1, "now")
        cube._ledger.add(record)
    start, end = (pd.Timestamp("2019-12-01") + pd.Timedelta(hours=h) for h in (low, high))
    wanted = cube.spec.states_between(start, end)
    gaps = cube.gaps(start, end)
    covered = np.zeros(len(wanted), bool)
    for a, b in gaps:
        assert start <= a < b <= end
        inside = np.asarray((wanted >= a) & (wanted < b))
        assert inside.any()
        assert not (covered & inside).any()
        covered |= inside
    np.testing.assert_array_equal(covered, ~wanted.isin(cube.times()))
    assert all(b < c for (_, b), (c, _) in pairwise(gaps))
    assert cube.times().is_monotonic_increasing
    assert cube.times().is_unique


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    cube = Cube.open(tmp_path_factory.mktemp("cube"), spec(24, 100))
    values = np.random.default_rng(0).random((731, 2), np.float32)
    start = pd.Timestamp("2019-01-01")
    for block in cube.blocks(start, "2021-01-01"):
        times = cube.times_of(block)
        rows = (times - start).days
        cube.commit(block, {"a": values[rows]}, {}, times=times)
    return cube, values


@given(st.lists(st.integers(0, 730), min_size=1, max_size=30))
def test_any_states_in_any_order(filled, rows):
    cube, values = filled
    times = pd.Timestamp("2019-01-01") + pd.to_timedelta(rows, "D")
    got = cube.read(pd.DatetimeIndex(times))
    assert isinstance(got, xr.Dataset)
    np.testing.assert_array_equal(got["a"], values[rows])
    np.testing.assert_array_equal(got.indexes["time"], times)
