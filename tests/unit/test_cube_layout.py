"""Identity and layout of a cube, and that its stores are zarr."""

import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from appa_core.errors import InputError, IntegrityError
from appa_core.io.cube import Block, Cube, CubeVariable
from appa_core.io.shards import shard_name
from tests.cubes import FIRST, LEVELS, SEA, TEMPERATURE, fill, spec, states


@pytest.fixture
def cube(tmp_path):
    return Cube.open(tmp_path / "store", spec())


@pytest.mark.parametrize(
    "change",
    [
        {"step": "latents"},
        {"version": 2},
        {"config": {}},
        {"parents": {"raw": "abd"}},
        {"step_hours": 12},
        {"block_states": 9},
        {"coordinates": spec().coordinates | {"level": np.array([500, 851])}},
        {"variables": (TEMPERATURE,)},
        {"variables": (SEA, TEMPERATURE)},
        {"variables": (CubeVariable("temperature", TEMPERATURE.dims, {"units": "degC"}), SEA)},
        {"variables": (TEMPERATURE, CubeVariable(SEA.name, SEA.dims, SEA.attrs))},
        {"dtype": "float16"},
        {"attrs": {"level": {"units": "Pa"}}},
    ],
)
def test_everything_in_a_specification_changes_its_key(change):
    assert spec(**change).key != spec().key
    assert spec(**change) != spec()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step_hours": 7}, "24"),
        ({"step_hours": 0}, "24"),
        ({"block_states": 0}, "blocks"),
        ({"dtype": "int32"}, "float16"),
        ({"variables": (SEA, SEA)}, "different names"),
        ({"variables": (CubeVariable("../escape", (), {}),)}, "different names"),
        ({"variables": (CubeVariable("time", (), {}),)}, "different names"),
        ({"variables": (CubeVariable("x", ("depth",), {}),)}, "depth"),
        ({"coordinates": {"level": np.array(["a"])}}, "level"),
        ({"attrs": {"time": {"units": "days since 2000-01-01"}}}, "do not exist: {'time'}"),
    ],
)
def test_a_layout_that_contradicts_itself_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        spec(**change)


def test_a_cube_is_loaded_from_its_manifest(cube):
    fill(cube, FIRST)
    again = Cube.load(cube.url)
    assert again.spec == cube.spec
    assert again.digest() == cube.digest()
    assert (again.spec.coordinates["level"] == LEVELS).all()
    xr.testing.assert_identical(again.read(again.times()), cube.read(cube.times()))
    assert pickle.loads(pickle.dumps(again)).digest() == cube.digest()
    assert len(pickle.dumps(again)) < 4000


def test_opening_twice_writes_once(cube, tmp_path):
    manifest = Path(cube.url) / "manifest.json"
    stamp = manifest.stat().st_mtime_ns
    assert Cube.open(tmp_path / "store", spec()).url == cube.url
    assert manifest.stat().st_mtime_ns == stamp


def test_a_manifest_of_something_else_is_refused(cube, tmp_path):
    manifest = Path(cube.url) / "manifest.json"
    content = json.loads(manifest.read_text())
    for change in ({"format": 1}, {"kind": "other"}):
        manifest.write_text(json.dumps(content | change))
        with pytest.raises(InputError, match="expected a cube in format 2"):
            Cube.open(tmp_path / "store", spec())
        with pytest.raises(InputError, match=r"manifest\.json"):
            Cube.load(cube.url)
    with pytest.raises(InputError, match="there is no cube at"):
        Cube.load(tmp_path / "store")


@pytest.mark.parametrize("text", ["{", "[]", '{"kind": "cube", "format": 2}', None])
def test_a_damaged_manifest_is_found_and_repaired(cube, tmp_path, text):
    manifest = Path(cube.url) / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_text(text or whole.decode().replace("850", "851"))
    with pytest.raises(IntegrityError, match=r"manifest\.json is damaged"):
        Cube.load(cube.url)
    Cube.open(tmp_path / "store", spec())
    assert manifest.read_bytes() == whole


def test_shards_are_those_that_zarr_writes(cube, tmp_path):
    fill(cube, FIRST)
    data = states(cube, cube.times_of(FIRST))
    for variable in cube.spec.variables:
        shape = cube.spec.shape(variable)
        array = zarr.create_array(
            tmp_path / variable.name,
            shape=(1464, *shape),
            dtype="float32",
            chunks=(1, *shape),
            shards=(8, *shape),
            compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"), Crc32cCodec()],
            fill_value=np.nan,
            chunk_key_encoding={"name": "default", "separator": "."},
            config={"write_empty_chunks": True},
        )
        array[:8] = data[variable.name].values
        name = shard_name(FIRST, variable)
        theirs = tmp_path / variable.name / Path(name).name
        assert theirs.read_bytes() == (Path(cube.url) / name).read_bytes()
        ours = zarr.open_array(f"{cube.url}/2020.zarr/{variable.name}")
        assert ours.metadata.codecs == array.metadata.codecs
        assert ours.metadata.chunk_grid == array.metadata.chunk_grid


def test_a_year_opens_in_xarray_as_it_is(cube):
    fill(cube, Block(2020, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        year = xr.open_zarr(f"{cube.url}/2020.zarr", chunks=None)
    expected = pd.date_range("2020", "2021", freq="6h", inclusive="left")
    assert year.indexes["time"].equals(expected.as_unit("ns"))
    got = year.sel(time=cube.times_of(Block(2020, 1))).load().drop_attrs(deep=False)
    assert got["time"].attrs.pop("standard_name") == "time"
    xr.testing.assert_identical(got, states(cube, cube.times_of(Block(2020, 1))))
    assert np.isnan(year["temperature"].isel(time=0)).all()


def test_the_last_block_of_a_year_may_be_shorter(tmp_path):
    cube = Cube.open(tmp_path, spec(block_states=1000))
    last = Block(2020, 1)
    assert len(cube.times_of(last)) == 464
    xr.testing.assert_identical(
        fill(cube, last).read(cube.times_of(last)), states(cube, cube.times_of(last))
    )
    [year] = cube.datasets()
    np.testing.assert_array_equal(
        year["temperature"], states(cube, cube.times_of(last))["temperature"]
    )


def test_datasets_hold_committed_states_by_year(cube):
    fill(cube, Block(2021, 0), Block(2020, 1), Block(2020, 3))
    first, second = cube.datasets()
    assert first.indexes["time"].append(second.indexes["time"]).equals(cube.times())
    expected = states(cube, cube.times_of(Block(2020, 3)))
    xr.testing.assert_equal(first.isel(time=slice(8, 16)).load(), expected)
