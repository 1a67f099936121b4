"""Damaged files of a cube are found, named and repaired."""

import os
import uuid
from pathlib import Path

import pytest
import xarray as xr

from appa_core.errors import IntegrityError
from appa_core.io import ledger
from appa_core.io.cube import Block, Cube
from appa_core.io.shards import shard_name
from tests.cubes import FIRST, SEA, TEMPERATURE, contents, fill, spec, states


@pytest.fixture
def cube(tmp_path):
    return Cube.open(tmp_path / "store", spec())


@pytest.fixture
def remote():
    return Cube.open(f"memory://{uuid.uuid4().hex}", spec())


def is_told(cube, path):
    """Reading names the file and the remedy; check finds it; another commit repairs it."""
    name = path.relative_to(cube.url).as_posix()
    with pytest.raises(IntegrityError, match=rf"{name}.*flows\.ingest.*repairs"):
        cube.read(cube.times_of(FIRST))
    assert name in cube.check(FIRST)
    fill(cube, FIRST)
    return cube.check(FIRST) is None


@pytest.fixture
def whole(cube):
    fill(cube, FIRST)
    return cube, contents(cube), states(cube, cube.times_of(FIRST))


@pytest.mark.parametrize("variable", [TEMPERATURE, SEA])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.9, 0.999])
def test_a_flipped_bit_is_found_and_repaired(whole, variable, place):
    cube, before, _ = whole
    path = Path(cube.url) / shard_name(FIRST, variable)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)
    assert is_told(cube, path)
    assert contents(cube) == before


@pytest.mark.parametrize("size", [0, 3, 100, -1, 100_000, None])
def test_a_shard_of_another_size_or_deleted_is_found_and_repaired(whole, size):
    cube, before, _ = whole
    path = Path(cube.url) / shard_name(FIRST, TEMPERATURE)
    whole_size = path.stat().st_size
    if size is None:
        path.unlink()
    else:
        os.truncate(path, size if size >= 0 else whole_size + size)
        found = path.stat().st_size
        with pytest.raises(IntegrityError, match=f"{found} bytes, {whole_size} were written"):
            cube.read(cube.times_of(FIRST)[:1])
    with pytest.raises(IntegrityError, match="missing or truncated"):
        cube.datasets()
    assert is_told(cube, path)
    assert contents(cube) == before


def test_every_byte_of_a_shard_is_guarded(whole):
    cube, _, data = whole
    path = Path(cube.url) / shard_name(FIRST, SEA)
    original = path.read_bytes()
    times = cube.times_of(FIRST)
    for offset in range(0, len(original), 13):
        damaged = bytearray(original)
        damaged[offset] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError):
            cube.read(times)
    path.write_bytes(original)
    xr.testing.assert_identical(cube.read(times), data)


def test_states_beside_a_damaged_one_are_still_read(whole):
    cube, _, data = whole
    path = Path(cube.url) / shard_name(FIRST, TEMPERATURE)
    damaged = bytearray(path.read_bytes())
    damaged[10] ^= 1
    path.write_bytes(damaged)
    times = cube.times_of(FIRST)
    xr.testing.assert_identical(cube.read(times[1:]), data.isel(time=slice(1, None)))
    with pytest.raises(IntegrityError, match="state 0"):
        cube.read(times[:1])


def test_a_shard_of_another_block_is_not_taken_for_it(cube):
    fill(cube, FIRST, Block(2020, 1))
    paths = [Path(cube.url) / shard_name(Block(2020, i), TEMPERATURE) for i in (0, 1)]
    paths[0].write_bytes(paths[1].read_bytes())
    assert paths[0].name in cube.check(FIRST)


@pytest.mark.parametrize("name", ["zarr.json", "temperature/zarr.json", "latitude/c.0"])
@pytest.mark.parametrize("is_deleted", [True, False])
def test_damaged_metadata_are_found_and_repaired(whole, name, is_deleted):
    cube, before, data = whole
    path = Path(cube.url) / "2020.zarr" / name
    if is_deleted:
        path.unlink()
    else:
        path.write_bytes(b"{" + path.read_bytes())
    assert name in cube.check(FIRST)
    # they are for others to read: states do not need them
    xr.testing.assert_identical(cube.read(cube.times()), data)
    cube.prepare([FIRST])
    assert cube.check(FIRST) is None
    assert contents(cube) == before


@pytest.mark.parametrize("change", [lambda t: t[:-5], lambda t: t.replace("06:00", "12:00", 1),
                                    lambda _: ""])  # fmt: skip
def test_a_damaged_record_is_no_commit(cube, change):
    times = cube.times_of(FIRST)
    cube.commit(FIRST, states(cube, times[1:]), {})
    path = Path(cube.url) / "ledger/2020/0000.json"
    path.write_text(change(path.read_text()))
    assert cube.record(FIRST) is None
    assert "ledger/2020/0000.json" in cube.check(FIRST)
    assert len(cube.gaps(times[0], times[-1])) == 1
    with pytest.raises(IntegrityError, match=r"ledger/2020/0000\.json.*flows\.ingest"):
        cube.read(times[1:])
    cube.commit(FIRST, states(cube, times[1:]), {})
    assert cube.check(FIRST) is None


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
@pytest.mark.parametrize("count", [1, 8])
def test_damage_in_a_remote_store_is_found_and_repaired(remote, damage, count):
    fill(remote, FIRST)
    folder = ledger.Folder(remote.url, remote._store)
    name = shard_name(FIRST, TEMPERATURE)
    original = folder.read(name)
    if damage == "remove":
        folder.remove(name)
    else:
        is_flip = damage == "flip"
        folder.write({name: bytes([original[0] ^ 1]) + original[1:] if is_flip else original[:-9]})
    with pytest.raises(IntegrityError, match=rf"{name}.*flows\.ingest"):
        remote.read(remote.times_of(FIRST)[:count])
    assert name in remote.check(FIRST)
    fill(remote, FIRST)
    assert folder.read(name) == original
    assert remote.check(FIRST) is None
