"""What a commit takes, what it refuses, and what it leaves behind."""

import errno
import os
import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from appa_core.errors import DataError, InputError
from appa_core.io import ledger
from appa_core.io.cube import Block, Cube, CubeVariable
from appa_core.io.shards import Shard
from tests.cubes import (
    FIRST,
    PLANE,
    SEA,
    contents,
    fill,
    is_clean,
    spec,
    states,
)


@pytest.fixture
def cube(tmp_path):
    return Cube.open(tmp_path / "store", spec())


def broken(cube, change):
    data = states(cube, cube.times_of(FIRST))
    return change(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop_vars("temperature"), r"missing \['temperature'\]"),
        (lambda d: d.assign(extra=d["temperature"]), r"unexpected \['extra'\]"),
        (lambda d: d.astype("float64"), "float32.*float64"),
        (lambda d: d.transpose("time", "longitude", ...), "with dimensions"),
        (lambda d: d.isel(latitude=slice(3)), "latitude is not the cube's"),
        (lambda d: d.drop_vars("latitude").isel(latitude=slice(3)), r"shape \(8, 2, 6, 12\)"),
        (lambda d: d.assign_coords(level=[500, 700]), "level is not the cube's"),
        (lambda d: d.assign_coords(longitude=d.longitude - 180), "longitude is not the cube's"),
        (lambda d: d.isel(time=[0, 2]), "consecutive times of block 2020/0000"),
        (lambda d: d.isel(time=[1, 0]), "consecutive times"),
        (lambda d: d.isel(time=[]), "got none"),
        (lambda d: d.assign_coords(time=d.time + np.timedelta64(48, "h")), "consecutive times"),
        (lambda d: d.assign_coords(time=d.time + np.timedelta64(1, "h")), "consecutive times"),
        (lambda d: d.assign_coords(time=np.arange(8)), "standard calendar"),
        (lambda d: d.drop_vars("time"), "times of the states"),
    ],
)
def test_data_that_are_not_the_cubes_are_refused(cube, change, message):
    with pytest.raises(DataError, match=message):
        cube.commit(FIRST, broken(cube, change), {})
    assert cube.record(FIRST) is None
    assert is_clean(cube)


def test_arrays_need_times(cube):
    data = states(cube, cube.times_of(FIRST))
    arrays = {n: data[n].values for n in data.data_vars}
    with pytest.raises(DataError, match="times"):
        cube.commit(FIRST, arrays, {})
    with pytest.raises(DataError, match="shape"):
        cube.commit(FIRST, arrays, {}, times=cube.times_of(FIRST)[:7])
    with pytest.raises(DataError, match="not those of the dataset"):
        cube.commit(FIRST, data, {}, times=cube.times_of(FIRST)[:7])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(cube, value):
    data = states(cube, cube.times_of(FIRST))
    data["temperature"][3, 1, 2, 4] = value
    message = r"temperature at 2020-01-01T18:00, level 850, latitude -15.*longitude 120.*1 of 144"
    with pytest.raises(DataError, match=message):
        cube.commit(FIRST, data, {})
    assert cube.record(FIRST) is None
    assert not list(Path(cube.url).rglob("c.0.0.0*"))


def test_missing_is_not_infinite(cube):
    data = states(cube, cube.times_of(FIRST))
    data[SEA.name][:] = np.nan
    cube.commit(FIRST, data, {})
    assert np.isnan(cube.read(cube.times())[SEA.name]).all()
    data[SEA.name][7, 0, 0] = np.inf
    with pytest.raises(DataError, match=f"{SEA.name} at 2020-01-02T18:00"):
        cube.commit(FIRST, data, {})
    assert cube.check(FIRST) is None


def test_committing_twice_changes_nothing(cube):
    first = fill(cube, FIRST).record(FIRST)
    before = contents(cube)
    second = fill(cube, FIRST).record(FIRST)
    assert second.digest == first.digest
    assert contents(cube) == before


def test_a_block_is_replaced(cube):
    fill(cube, FIRST)
    record = cube.commit(FIRST, states(cube, cube.times_of(FIRST), seed=1), {"source": "final"})
    assert record == cube.record(FIRST) == Cube.load(cube.url).record(FIRST)
    assert record.provenance == {"source": "final"}
    expected = states(cube, cube.times_of(FIRST), seed=1)
    xr.testing.assert_identical(cube.read(cube.times()), expected)
    assert cube.check(FIRST) is None


def test_starts_are_counted_until_the_commit(cube):
    assert [cube.begin(FIRST), cube.begin(FIRST), cube.begin(Block(2020, 1))] == [1, 2, 1]
    assert fill(cube, FIRST).record(FIRST).starts == 2
    assert cube.begin(FIRST) == 1
    assert fill(cube, FIRST).record(FIRST).starts == 1
    assert not list(Path(cube.url).rglob("0000.started.json"))
    assert fill(cube, Block(2020, 2)).record(Block(2020, 2)).starts == 1


def test_a_count_that_outlived_its_commit_does_not_count(cube):
    cube.begin(FIRST)
    path = Path(cube.url) / "ledger/2020/0000.started.json"
    left = path.read_bytes()
    fill(cube, FIRST)
    path.write_bytes(left)
    assert cube.begin(FIRST) == 1


def test_discarding_removes_the_record_first(cube, monkeypatch):
    fill(cube, FIRST, Block(2020, 1))
    cube.begin(FIRST)
    removed = []
    remove = ledger.Folder.remove
    monkeypatch.setattr(
        ledger.Folder, "remove", lambda self, name: (removed.append(name), remove(self, name))
    )
    cube.discard(FIRST)
    assert removed[0] == "ledger/2020/0000.json"
    assert not list(Path(cube.url).rglob("c.0.0.0*")) + list(Path(cube.url).rglob("0000.*"))
    assert cube.times().equals(cube.times_of(Block(2020, 1)))
    cube.discard(FIRST)
    assert fill(cube, FIRST).check(FIRST) is None


def test_a_block_that_is_replaced_while_it_is_read_is_read_again(cube, monkeypatch):
    fill(cube, FIRST)
    decode, is_first = Shard.decode, [True]

    def replacing(self, position, out):
        decode(self, position, out)
        if is_first.pop() if is_first else False:
            fill(Cube.load(cube.url), FIRST, seed=1)

    monkeypatch.setattr(Shard, "decode", replacing)
    expected = states(cube, cube.times_of(FIRST), seed=1)
    xr.testing.assert_identical(cube.read(cube.times_of(FIRST)), expected)


def test_other_processes_are_seen_at_once(cube):
    other = Cube.load(cube.url)
    assert not len(other.times())
    fill(cube, FIRST)
    assert len(other.times()) == 8
    xr.testing.assert_identical(other.read(other.times()), cube.read(other.times()))
    fill(cube, FIRST, seed=1)
    assert other.digest() == cube.digest()
    cube.discard(FIRST)
    with pytest.raises(InputError, match="no state"):
        other.read(cube.times_of(FIRST))


def test_a_full_disk_leaves_what_was_there(cube, monkeypatch):
    """The n-th file that is brought to the disk does not fit, for every n."""
    fill(cube, FIRST)
    data = states(cube, cube.times_of(FIRST), seed=1)
    fsync, left, told = os.fsync, [], []

    def full(descriptor):
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left.pop()
        fsync(descriptor)

    outcomes = []
    while "done" not in outcomes:
        assert len(outcomes) < 40
        left[:] = [None] * len(outcomes)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            try:
                cube.commit(FIRST, data, {})
            except InputError as error:
                outcomes.append(("absent", "whole")[cube.record(FIRST) is not None])
                told.append("No space left" in str(error))
            else:
                outcomes.append("done")
        assert cube.record(FIRST) is None or cube.check(FIRST) is None
        assert is_clean(cube)
    assert all(told)
    assert outcomes[:2] == ["whole", "whole"]  # shards that do not fit are never put in place
    assert "absent" in outcomes
    xr.testing.assert_identical(cube.read(cube.times()), data)


def test_a_file_that_cannot_grow_is_an_input_error(cube):
    cube.prepare([FIRST])
    data = states(cube, cube.times_of(FIRST))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(InputError, match=r"cannot write to .*: File too large"):
            cube.commit(FIRST, data, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert cube.record(FIRST) is None
    assert is_clean(cube)


def test_committing_holds_less_than_another_block(tmp_path):
    axes = {"latitude": np.linspace(-80, 80, 200), "longitude": np.arange(200.0)}
    variables = tuple(CubeVariable(n, PLANE, {}) for n in "uvt")
    cube = Cube.open(tmp_path, spec(coordinates=axes, variables=variables, block_states=24))
    times = cube.times_of(FIRST)
    shape = (len(times), 200, 200)
    noise = {n: np.random.default_rng(0).random(shape, np.float32) for n in "uvt"}
    tracemalloc.start()
    try:
        cube.commit(FIRST, noise, {}, times=times)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < sum(x.nbytes for x in noise.values())
