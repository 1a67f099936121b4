"""What ingestion reads, what it leaves alone, and what it refuses."""

import shutil
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from appa_core.errors import DataError, InputError, IntegrityError
from appa_core.io.datasets import write_zarr
from appa_core.io.sources import SourceSpec
from appa_core.steps.ingest import IngestJob, held_period, ingest_unit, plan_ingest
from tests.synthetic import synthetic_states, tiny_preset

SCHEMA = tiny_preset().state.build()
START, MIDDLE, END = (pd.Timestamp(f"2012-01-{day:02d}") for day in (1, 6, 13))


def written(folder, states, name="source.zarr"):
    write_zarr(states, folder / name, consolidated=False)
    return SourceSpec(name="waves", format="zarr", urls=(str(folder / name),), fingerprint="a")


@pytest.fixture(scope="module")
def states():
    return synthetic_states(SCHEMA, "2012-01-01", 12)


@pytest.fixture
def job(tmp_path, states):
    return IngestJob(str(tmp_path / "store"), written(tmp_path, states), SCHEMA, 8)


def ingested(job, start=START, end=END):
    """Reasons of what was done, by block."""
    units = plan_ingest(job, start, end)
    for unit in units:
        ingest_unit(unit)
    return {unit.block.index: unit.reason for unit in units}


def test_states_arrive_as_they_are_and_once(job, states):
    assert ingested(job) == dict.fromkeys(range(6), "new")
    read = job.cube().read(job.cube().times())
    for name in SCHEMA.variables:
        np.testing.assert_array_equal(read[name].values, states[name].values)
        assert read[name].attrs["units"] == states[name].attrs["units"]
    assert not ingested(job)


def test_what_a_cube_holds_has_a_start_and_an_end(job):
    with pytest.raises(InputError, match=r"holds no states; ingest some"):
        held_period(job.cube())
    ingested(job, START, MIDDLE)
    assert held_period(job.cube()) == (START, MIDDLE)


def test_memory_does_not_grow_with_the_period(job, tmp_path):
    """A block at a time, however many there are."""

    def peak(store, end):
        tracemalloc.start()
        try:
            ingested(replace(job, store=str(tmp_path / store)), START, end)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak("warm", START + pd.Timedelta(days=2))
    short, long = peak("short", START + pd.Timedelta(days=2)), peak("long", END)
    block = 8 * len(SCHEMA.channels) * 32 * 64 * 4
    assert long < short + block / 4  # of six blocks, and of one


def test_the_order_of_blocks_does_not_matter(job, tmp_path):
    ingested(job)
    other = replace(job, store=str(tmp_path / "other"))
    for unit in reversed(plan_ingest(other, START, END)):
        ingest_unit(unit)
    assert other.cube().digest() == job.cube().digest()


def test_appending_reads_what_is_new_and_the_block_that_was_begun(job):
    ingested(job, START, MIDDLE)  # 20 states: two blocks and a half
    before = job.cube().digest(START, START + pd.Timedelta(days=4))
    assert ingested(job) == {2: "extended", 3: "new", 4: "new", 5: "new"}
    assert job.cube().digest(START, START + pd.Timedelta(days=4)) == before
    assert not job.cube().gaps(START, END)
    assert not ingested(job, START, MIDDLE)


def test_a_source_that_grows_is_read_on_by_the_same_process(job, states, tmp_path):
    """As workers that stay up from night to night do."""
    path = tmp_path / "source.zarr"
    shutil.rmtree(path)
    written(tmp_path, states.sel(time=slice(None, MIDDLE - pd.Timedelta("6h"))))
    assert ingested(job, START, MIDDLE) == dict.fromkeys(range(3), "new")
    shutil.rmtree(path)
    written(tmp_path, states)
    assert ingested(job) == {2: "extended", 3: "new", 4: "new", 5: "new"}
    read = job.cube().read(job.cube().times())
    np.testing.assert_array_equal(read["temperature"].values, states["temperature"].values)


def test_a_folder_that_gains_a_file_is_read_on(tmp_path, states):
    """What was read from the files that were there stays, also once they are deleted."""
    days = [("2012-01-01", "2012-01-04"), ("2012-01-05", "2012-01-08"), ("2012-01-09", None)]
    urls = []
    for n, (first, last) in enumerate(days):
        states.sel(time=slice(first, last)).to_netcdf(tmp_path / f"{n}.nc", engine="h5netcdf")
        urls.append(str(tmp_path / f"{n}.nc"))
    source = SourceSpec("files", "netcdf", tuple(urls[:2]))
    job = IngestJob(str(tmp_path / "store"), source, SCHEMA, 8)
    assert list(ingested(job, START, pd.Timestamp("2012-01-09"))) == [0, 1, 2, 3]
    more = replace(job, source=replace(source, urls=tuple(urls)))
    assert ingested(more) == {4: "new", 5: "new"}
    few = replace(job, source=replace(source, urls=tuple(urls[1:])))
    assert not ingested(few)
    warmer = states.sel(time=slice(*days[1]))
    warmer["temperature"] = warmer["temperature"] + np.float32(1)
    warmer["temperature"].attrs["units"] = "K"
    warmer.to_netcdf(tmp_path / "new.nc", engine="h5netcdf")
    (tmp_path / "new.nc").replace(urls[1])
    assert ingested(more) == {2: "changed", 3: "changed"}


def test_a_block_can_grow_towards_the_past(job):
    ingested(job, pd.Timestamp("2012-01-02"), MIDDLE)
    assert ingested(job) == {0: "extended", 2: "extended", 3: "new", 4: "new", 5: "new"}


def test_gaps_are_found(job):
    ingested(job)
    cube = job.cube()
    whole = cube.digest()
    cube.discard(cube.blocks(MIDDLE, END)[0])
    assert len(cube.gaps(START, END)) == 1
    assert ingested(job) == {2: "new"}
    assert job.cube().digest() == whole


def test_damage_is_found_and_repaired(job):
    ingested(job)
    cube = job.cube()
    whole, block = cube.digest(), cube.blocks(START, END)[3]
    name = next(iter(cube.record(block).files))
    path = f"{cube.url}/{name}"
    content = bytearray(open(path, "rb").read())  # noqa: PTH123, SIM115
    content[len(content) // 2] ^= 1
    open(path, "wb").write(content)  # noqa: PTH123, SIM115
    with pytest.raises(IntegrityError, match=r"flows\.ingest"):
        job.cube().read(cube.times_of(block))
    assert not plan_ingest(job, START, END, verify=False)
    assert list(ingested(job)) == [3]
    assert job.cube().digest() == whole


def test_a_source_that_changed_is_read_again(job):
    ingested(job)
    changed = replace(job, source=replace(job.source, fingerprint="b"))
    assert set(ingested(changed).values()) == {"changed"}
    assert not ingested(changed)


def test_preliminary_states_are_replaced_when_final_ones_are_there(tmp_path, states):
    """ERA5T: the archive says until when its states are final."""
    early = states.assign_attrs(valid_time_stop="2012-01-05", valid_time_stop_era5t="2012-01-12")
    job = IngestJob(str(tmp_path / "store"), written(tmp_path, early), SCHEMA, 8)
    ingested(job)
    marks = [r.preliminary for r in job.cube().records()]
    assert marks == [False, False, True, True, True, True]
    assert not ingested(job)
    late = states * 1
    late["temperature"] = late["temperature"] + 1
    late = late.assign_attrs(valid_time_stop="2012-01-12")
    for name in SCHEMA.variables:
        late[name].attrs = states[name].attrs
    final = replace(job, source=written(tmp_path, late, "final.zarr"))
    assert ingested(final) == dict.fromkeys(range(2, 6), "final")
    assert not any(r.preliminary for r in final.cube().records())
    warmer = final.cube().read([END - pd.Timedelta(hours=6)])["temperature"]
    assert float((warmer - states["temperature"][-1:]).min()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("2012-01-01", "2012-01-14", r"no state at 2012-01-13T00:00 .*2012-01-01T00:00 to"),
        ("2011-12-31", "2012-01-05", r"no state at 2011-12-31T00:00"),
        ("2012-01-05", "2012-01-05", "a start before the end"),
        ("2012-01-06", "2012-01-05", "a start before the end"),
    ],
)
def test_a_period_that_is_not_there_is_refused_before_anything_is_written(
    job, start, end, message
):
    with pytest.raises(InputError, match=message):
        plan_ingest(job, pd.Timestamp(start), pd.Timestamp(end))
    assert not len(job.cube().times())


def test_values_that_are_not_numbers_are_refused_and_what_was_whole_stays(tmp_path, states):
    broken = states.copy(deep=True)
    broken["temperature"][30, 2, 5, 7] = np.nan
    job = IngestJob(str(tmp_path / "store"), written(tmp_path, broken), SCHEMA, 8)
    with pytest.raises(DataError, match=r"temperature.*2012-01-08T12:00"):
        ingested(job)
    assert job.cube().times()[-1] == pd.Timestamp("2012-01-06T18")
    assert job.cube().record(job.cube().blocks(MIDDLE, END)[1]) is None


@pytest.mark.parametrize("missing", ["temperature", "level"])
def test_a_missing_field_is_refused(tmp_path, states, missing):
    less = states.drop_vars("temperature") if missing == "temperature" else states.isel(level=[0])
    job = IngestJob(str(tmp_path / "store"), written(tmp_path, less), SCHEMA, 8)
    with pytest.raises(DataError, match="has no temperature"):
        ingested(job)
    assert not len(job.cube().times())
