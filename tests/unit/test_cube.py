"""What a cube gives back, and what it says that it holds."""

import os
import uuid

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from appa_core.errors import InputError
from appa_core.io import cube_reading
from appa_core.io.cube import Block, BlockRecord, Cube, CubeVariable
from tests.cubes import FIRST, PLANE, contents, fill, spec, states


@pytest.fixture
def cube(tmp_path):
    return Cube.open(tmp_path / "store", spec())


@pytest.fixture
def remote():
    return Cube.open(f"memory://{uuid.uuid4().hex}", spec())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_round_trip_is_exact(tmp_path, dtype):
    cube = fill(Cube.open(tmp_path, spec(dtype=dtype)), FIRST, Block(2020, 2))
    times = cube.times_of(FIRST).append(cube.times_of(Block(2020, 2)))
    expected = states(cube, times)
    xr.testing.assert_identical(cube.read(times), expected)
    assert cube.read(times)["temperature"].dtype == dtype


@pytest.mark.parametrize("picks", [[5], [3, 0, 3], [7, 6, 5, 4, 3, 2, 1, 0], []])
def test_states_are_read_in_the_order_asked_for(cube, picks):
    times = fill(cube, FIRST).times_of(FIRST)[picks]
    expected = states(cube, cube.times_of(FIRST)).isel(time=picks)
    xr.testing.assert_identical(cube.read(times), expected)


def test_states_are_read_into_arrays_that_are_given(cube):
    fill(cube, FIRST)
    times = cube.times_of(FIRST)[[4, 1]]
    expected = cube.read(times)
    whole = np.full((2, 3, 6, 12), np.nan, np.float32)  # both variables side by side
    arrays = {"temperature": whole[:, :2], "sea_surface_temperature": whole[:, 2]}
    cube.read_into(times, arrays, threads=1)
    np.testing.assert_array_equal(whole[:, :2], expected["temperature"])
    np.testing.assert_array_equal(whole[:, 2], expected["sea_surface_temperature"])
    for wrong in (whole[:, :2].astype("f8"), whole[:1, :2], whole[:, :2, ::-1]):
        with pytest.raises(ValueError, match="temperature"):
            cube.read_into(times, arrays | {"temperature": wrong})


def test_large_reads_are_the_same_as_small_ones(cube, monkeypatch):
    fill(cube, FIRST, Block(2020, 1))
    times = cube.times()
    small = cube.read(times)
    monkeypatch.setattr(cube_reading, "SMALL_BYTES", 0)
    xr.testing.assert_identical(cube.read(times), small)


def test_a_variable_without_dimensions_is_a_number(tmp_path):
    index = CubeVariable("index", (), {"units": "1"})
    cube = Cube.open(tmp_path, spec(variables=(index,)))
    values = np.arange(8, dtype=np.float32)
    cube.commit(FIRST, {"index": values}, {}, times=cube.times_of(FIRST))
    np.testing.assert_array_equal(cube.read(cube.times_of(FIRST))["index"], values)


def test_arrays_that_are_not_contiguous(cube):
    data = states(cube, cube.times_of(FIRST))
    arrays = {n: np.asfortranarray(data[n].values) for n in data.data_vars}
    cube.commit(FIRST, arrays, {}, times=data.indexes["time"])
    np.testing.assert_array_equal(cube.read(cube.times())["temperature"], data["temperature"])


def test_partial_blocks_and_their_extension(cube, tmp_path):
    times = cube.times_of(FIRST)
    cube.commit(FIRST, states(cube, times[2:5]), {}, preliminary=True)
    assert cube.times().equals(times[2:5])
    record = cube.record(FIRST)
    assert (record.first, record.last, record.preliminary) == (times[2], times[4], True)
    xr.testing.assert_identical(cube.read(times[2:5]), states(cube, times[2:5]))
    raw = xr.open_zarr(f"{cube.url}/2020.zarr", chunks=None)["temperature"][:8]
    assert raw.notnull().all(("level", *PLANE)).values.tolist() == [
        i in {2, 3, 4} for i in range(8)
    ]
    xr.testing.assert_equal(cube.datasets()[0].load(), states(cube, times[2:5]))
    assert cube.gaps(times[0], times[7]) == [(times[0], times[2]), (times[5], times[7])]
    with pytest.raises(InputError, match=f"{times[5]:%Y-%m-%dT%H}"):
        cube.read(times[4:6])
    with pytest.raises(InputError, match=f"{times[1]:%Y-%m-%dT%H}"):
        cube.read(times[1:4])
    before = cube.digest()
    cube.commit(FIRST, states(cube, times), {})
    assert cube.digest() != before
    assert cube.gaps(times[0], times[7]) == []
    at_once = fill(Cube.open(tmp_path / "other", spec()), FIRST)
    assert contents(cube) == contents(at_once)
    assert cube.digest() == at_once.digest()


def test_gaps_are_half_open_and_clipped(cube):
    fill(cube, Block(2019, 182), FIRST)
    day = pd.Timestamp("2020-01-03")
    assert cube.gaps("2019-12-31", "2020-01-03") == []
    assert cube.gaps("2020-01-02", "2020-01-03T15:00") == [(day, pd.Timestamp("2020-01-03T15"))]
    assert cube.gaps("2020-01-03T01:00", "2020-01-03T06:00") == []
    assert cube.gaps("2030-01-01", "2030-01-01") == []


def test_absent_states_are_an_input_error(cube):
    fill(cube, FIRST)
    for time in ("2020-01-03", "1999-01-01"):
        with pytest.raises(InputError, match=rf"no state at {time}.*flows\.ingest"):
            cube.read(pd.DatetimeIndex([time]))
    with pytest.raises(InputError, match="6 h apart"):
        cube.read(pd.DatetimeIndex(["2020-01-01T03:00"]))
    with pytest.raises(InputError, match="no block 2020/0183"):
        cube.times_of(Block(2020, 183))


def test_times_with_a_zone_are_utc(cube):
    fill(cube, FIRST)
    times = cube.times_of(FIRST)
    berlin = times.tz_localize("UTC").tz_convert("Europe/Berlin")
    xr.testing.assert_identical(cube.read(berlin), cube.read(times))
    assert cube.blocks(berlin[0], berlin[-1]) == [FIRST]


def test_digests_tell_what_is_there_and_nothing_else(cube, tmp_path):
    blocks = [Block(2020, i) for i in range(3)] + [Block(2021, 0)]
    other = Cube.open(tmp_path / "other", spec())
    fill(cube, *blocks)
    empty = other.digest()
    for block in reversed(blocks):
        other.begin(block)
        other.begin(block)
        other.commit(block, states(other, other.times_of(block)), {"host": "elsewhere"})
    assert other.digest() == cube.digest()
    assert contents(other) == contents(cube)
    assert cube.digest("2020-01-03", "2020-01-05") == other.digest("2020-01-03", "2020-01-05")
    assert cube.digest("2020-01-03", "2020-01-05") != cube.digest("2020-01-03", "2020-01-06")
    assert cube.digest("2022-01-01", "2023-01-01") == empty
    fill(other, Block(2020, 1), seed=1)
    assert other.digest() != cube.digest()
    assert other.digest("2020-01-05", "2022-01-01") == cube.digest("2020-01-05", "2022-01-01")


def test_records_are_those_of_a_period(cube):
    fill(cube, FIRST, Block(2020, 1), Block(2021, 0))
    assert [r.block for r in cube.records()] == [FIRST, Block(2020, 1), Block(2021, 0)]
    assert [r.block for r in cube.records("2020-01-02T18:00", "2020-01-03")] == [FIRST]
    assert [r.block for r in cube.records("2020-01-03")] == [Block(2020, 1), Block(2021, 0)]
    assert [r.block for r in cube.records(end="2020-01-01")] == []


def test_reading_neither_lists_folders_nor_reads_other_records(cube, monkeypatch):
    fill(cube, *(Block(2020, i) for i in range(5)))
    other, parsed = Cube.load(cube.url), []
    parse = BlockRecord.parse
    monkeypatch.setattr(BlockRecord, "parse", lambda text: (parsed.append(1), parse(text))[1])
    monkeypatch.setattr(os, "scandir", None)
    monkeypatch.setattr(os, "listdir", None)
    for _ in range(3):
        other.read(cube.times_of(Block(2020, 3))[2:3])
    assert len(parsed) == 1


def test_records_are_read_once_unless_they_change(cube, monkeypatch):
    fill(cube, *(Block(2020, i) for i in range(5)))
    other, parsed = Cube.load(cube.url), []
    parse = BlockRecord.parse
    monkeypatch.setattr(BlockRecord, "parse", lambda text: (parsed.append(1), parse(text))[1])
    other.digest("2020-01-01", "2021-01-01")
    other.times()
    assert len(parsed) == 5
    fill(cube, Block(2020, 2), seed=1)
    parsed.clear()
    assert other.digest() == cube.digest()
    assert len(parsed) - 1 <= 5  # one of `other`, the rest of `cube`, which had none in memory


def test_remote_cubes_work_alike(remote, cube):
    blocks = [FIRST, Block(2020, 1), Block(2021, 0)]
    fill(cube, *blocks)
    for block in blocks:
        remote.begin(block)
    fill(remote, *blocks)
    assert remote.digest() == cube.digest()
    assert remote.times().equals(cube.times())
    assert remote.record(FIRST).starts == 1
    for times in (cube.times(), cube.times()[[9, 3]], cube.times()[:1]):
        xr.testing.assert_identical(remote.read(times), cube.read(times))
    for ours, theirs in zip(remote.datasets(), cube.datasets(), strict=True):
        xr.testing.assert_identical(ours.load(), theirs.load())
    again = Cube.load(remote.url)
    assert again.check(FIRST) is None
    assert again.gaps("2020-01-01", "2020-01-06") == cube.gaps("2020-01-01", "2020-01-06")
    again.discard(FIRST)
    assert remote.record(FIRST) is None
    assert again.gaps("2020-01-01", "2020-01-03") == [
        (pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-03"))
    ]
