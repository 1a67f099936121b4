"""Bad input, one kind after the other: a clear error of its own, and nothing is committed."""

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from appa_core.errors import DataError, InputError
from appa_core.io.datasets import write_zarr
from appa_core.io.lock import StoreLock
from appa_core.steps.ingest import IngestJob
from tasks import learning
from tasks.catalog import catalog_folder, resolve_source
from tasks.cluster import ClusterSettings
from tasks.reach import require_reachable
from tests.synthetic import synthetic_states, tiny_preset

SCHEMA = tiny_preset().state.build()
START, END = pd.Timestamp("2012-01-01"), pd.Timestamp("2012-01-05")
T, LEVELS = "temperature", (200, 300, 500, 700, 850, 925)


@pytest.fixture(scope="module")
def states():
    return synthetic_states(SCHEMA, "2012-01-01", 4)


def ingest(source, store, folder=None, **parameters):
    """What `flows.ingest` does with a source that has a name or a place."""
    found = resolve_source(str(source), parameters, folder)
    require_reachable(found)
    job = IngestJob(str(store), found, SCHEMA, 8)
    return learning.ingest_states.fn(job, START, END, ClusterSettings())


def is_empty(store):
    """Whether nothing of a store counts as data: no record of a block, no artifact, no shard."""
    files = [p for p in Path(store).rglob("*") if p.is_file()]
    records = [p for p in files if "ledger" in p.parts and "started" not in p.name]
    shards = [p for p in files if p.name.startswith("c.0.0")]
    staged = [p for p in files if ".staging" in p.parts]
    return not records + shards + staged + [p for p in files if p.name == "lock.json"]


def with_nan(d):
    d = d.copy(deep=True)
    d[T][3, 2, 5, 7] = np.nan
    return d


def with_units(d, units, offset=0.0):
    return d.assign({T: (d[T] + np.float32(offset)).assign_attrs(units=units)})


def regional(d):
    return d.isel(latitude=slice(8, 24))


WRONG = {
    "NaN where none may be": (
        with_nan, DataError,
        r"temperature at 500 hPa, 2012-01-01T18:00 UTC in .*: 1 of 2048 values are missing",
    ),
    "a missing variable": (
        lambda d: d.drop_vars("geopotential"), DataError,
        "has no geopotential; it has temperature,",
    ),
    "a missing level": (
        lambda d: d.sel(level=[200, 300, 500, 700, 850]), DataError,
        "has no temperature at 925 hPa; its levels are 200, 300, 500, 700, 850",
    ),
    "units of something else": (
        lambda d: with_units(d, "Pa"), DataError,
        "temperature has units 'Pa'; expected one of k, c, f, for temperature in K",
    ),
    "units that the values do not have": (
        lambda d: with_units(d, "K", -273.15), DataError,
        r"temperature at .* UTC in .*: values are .*, expected 120 to 360 K; set the right",
    ),
    "a time twice": (
        lambda d: d.isel(time=[0, 1, 1, *range(2, 16)]), DataError,
        "has the time 2012-01-01T06:00 UTC more than once",
    ),
    "times out of order": (
        lambda d: d.isel(time=[0, 2, 1, *range(3, 16)]), DataError,
        "are not in order: 2012-01-01T12:00 comes before 2012-01-01T06:00; sort them",
    ),
    "a hole in the calendar": (
        lambda d: d.drop_isel(time=[5, 6]), InputError,
        r"has no state at 2012-01-02T06:00 \(2 of 8 states of block 2012/0000\)",
    ),
    "a grid of a region": (
        regional, DataError, "does not cover the globe: latitudes -42.1875 to 42.1875",
    ),
    "points without a grid": (
        lambda d: d.stack(cell=("latitude", "longitude")).drop_vars(["cell", "latitude",
                                                                     "longitude"]),
        DataError, "has no dimension latitude",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_and_nothing_is_committed(what, states, tmp_path):
    change, error, message = WRONG[what]
    write_zarr(change(states).drop_encoding(), tmp_path / "wrong.zarr", consolidated=False)
    with pytest.raises(error, match=message):
        ingest(tmp_path / "wrong.zarr", tmp_path / "store")
    assert is_empty(tmp_path / "store")
    # what the error asks for is enough: the same command goes on
    shutil.rmtree(tmp_path / "wrong.zarr")
    write_zarr(states, tmp_path / "wrong.zarr", consolidated=False)
    url = ingest(tmp_path / "wrong.zarr", tmp_path / "store")
    found = xr.open_zarr(f"{url}/2012.zarr")[T][:16]
    np.testing.assert_array_equal(found.values, states[T].values)


@pytest.mark.parametrize("less", [1, 100])
def test_a_truncated_chunk(states, tmp_path, less):
    write_zarr(states, tmp_path / "cut.zarr", consolidated=False)
    chunk = next(p for p in (tmp_path / "cut.zarr" / T).rglob("0") if p.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-less])
    with pytest.raises(
        DataError, match=r"cannot read .*temperature/c/0.*: 1 of 1 attempts failed"
    ):
        ingest(tmp_path / "cut.zarr", tmp_path / "store")
    assert is_empty(tmp_path / "store")


def test_an_unreachable_url(tmp_path):
    """At once, and before anything is made."""
    began = time.monotonic()
    with pytest.raises(InputError, match=r"cannot reach http://127\.0\.0\.1:9/x\.zarr: no connec"):
        ingest("http://127.0.0.1:9/x.zarr", tmp_path / "store")
    assert time.monotonic() - began < 30
    assert not (tmp_path / "store").exists()


def test_a_catalog_that_names_a_forbidden_reader(tmp_path):
    text = (catalog_folder() / "states.yaml").read_text()
    reader = "intake.readers.readers:XArrayDatasetReader"
    (tmp_path / "states.yaml").write_text(text.replace(reader, "os:system", 1))
    with pytest.raises(InputError, match=r"entries\.sample\.reader: .*'os:system' is not allowed"):
        ingest("sample", tmp_path / "store", tmp_path)
    assert not (tmp_path / "store").exists()


def test_a_disk_that_is_full_at_any_file(states, tmp_path, monkeypatch):
    """The n-th file that is brought to the disk does not fit, for every n of the first block."""
    write_zarr(states, tmp_path / "waves.zarr", consolidated=False)
    fsync, left = os.fsync, []

    def full(descriptor):
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left.pop()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    count, committed = 0, False
    while not committed:
        store = tmp_path / f"store{count}"
        left[:] = [None] * count
        with pytest.raises(InputError, match=r"No space left|cannot lock"):
            ingest(tmp_path / "waves.zarr", store)
        records = list(store.rglob("ledger/*/0000.json"))
        committed = bool(records)
        assert committed or is_empty_but_for_shards(store)
        count += 7
    assert count > 14


def is_empty_but_for_shards(store):
    """Shards in place without a record are not committed: nothing reads them."""
    return not list(Path(store).rglob("ledger/*/000?.json"))


SMALL_DISK = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.fault.test_bad_input import ingest, is_empty_but_for_shards
from appa_core.errors import InputError
try:
    ingest(sys.argv[2], sys.argv[3])
except InputError as error:
    print(error)
    assert is_empty_but_for_shards(sys.argv[3])
    sys.exit(7)
"""


def test_a_real_disk_that_is_full(states, tmp_path):
    write_zarr(states, tmp_path / "waves.zarr", consolidated=False)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=600k none {disk} && exec "$@"'
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    try:
        subprocess.run([*alone, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system does not let its users mount a file system of their own")
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", SMALL_DISK, root, str(tmp_path / "waves.zarr"), str(disk)]
    done = subprocess.run(
        [*alone, *command], capture_output=True, text=True, check=False, cwd=root
    )
    assert done.returncode == 7, done.stderr
    assert "No space left on device; what is not in its ledger is not committed" in done.stdout


def test_a_store_that_another_command_writes(states, tmp_path):
    """Who and until when is said; once that command has ended, this one goes on."""
    write_zarr(states, tmp_path / "waves.zarr", consolidated=False)
    found = resolve_source(str(tmp_path / "waves.zarr"))
    cube = IngestJob(str(tmp_path / "store"), found, SCHEMA, 8).cube()
    with (
        StoreLock(cube.url, command="the nightly job"),
        pytest.raises(
            InputError, match=r"is being written by 'the nightly job' \(process .* until"
        ),
    ):
        ingest(tmp_path / "waves.zarr", tmp_path / "store")
    assert not cube.records()
    ingest(tmp_path / "waves.zarr", tmp_path / "store")
    assert len(cube.times()) == 16
