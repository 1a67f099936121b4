"""Reanalyses that grow day by day, with real Prefect, on a model trained for seconds."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

from appa_core.errors import AppaError, InputError, ResourceError
from appa_core.io.day_ledger import all_series
from appa_core.io.lock import LOCK, StoreLock
from appa_core.io.store import ArtifactStore
from flows.backfill import backfill, require_all
from flows.deployed_series import backfill_job
from tasks import series
from tests.from_observations import contents, settings, some_reports

DAYS = ["2012-02-05", "2012-02-06", "2012-02-07"]
START, END = DAYS[0], "2012-02-08"


@pytest.fixture(scope="module", autouse=True)
def prefect():
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def fill(tiny_world, tmp_path):
    """Fill a series in a folder; returns what became of each day."""

    def call(folder="a", start=START, end=END, **changes):
        where = settings(tiny_world, tmp_path / folder, members=2)
        return states(backfill(start, end, **where | changes))

    return call


def states(outcomes):
    return {f"{o.day:%Y-%m-%d}": o.state for o in outcomes}


@pytest.fixture(scope="module")
def whole(tiny_world, tmp_path_factory):
    """Three days made by one undisturbed command."""
    folder = tmp_path_factory.mktemp("whole")
    found = backfill(START, END, **settings(tiny_world, folder, members=2))
    assert states(found) == dict.fromkeys(DAYS, "made")
    return folder


@pytest.fixture
def copied(whole, tmp_path):
    """The same in a folder of the test's own."""
    shutil.copytree(whole, tmp_path / "a")
    return tmp_path / "a"


def refuse(*_args, **_kwargs):
    raise AssertionError("computed again")


def test_night_after_night_gives_the_bytes_of_a_backfill(fill, whole, tmp_path):
    for day in DAYS:
        end = f"{pd.Timestamp(day) + pd.Timedelta(days=1):%Y-%m-%d}"
        assert fill(start=day, end=end) == {day: "made"}
    assert contents(tmp_path / "a" / "out") == contents(whole / "out")
    assert sorted(p.name for p in (whole / "out").iterdir()) == DAYS


def test_a_day_holds_its_states_and_rows(whole):
    parts = [xr.open_zarr(whole / "out" / day / "reanalysis.zarr") for day in DAYS]
    times = pd.date_range(START, END, freq="6h", inclusive="left")
    assert list(xr.concat(parts, "time")["time"].values) == list(times.values)
    frames = [pd.read_parquet(whole / "out" / day / "observations.parquet") for day in DAYS]
    rows = pd.concat(frames)
    where = ["valid_time", "latitude", "longitude", "level"]
    assert not rows.duplicated([*where, "quantity", "station_id"]).any()
    # every row up to the last state is read by all members, also those between two days
    assert rows["analysis_1"].notna().all()
    assert rows["background_1"].notna().all()
    assert rows["valid_time"].between(times[0], times[-1]).all()


def test_days_join_without_a_seam(whole):
    parts = [xr.open_zarr(whole / "out" / day / "reanalysis.zarr") for day in DAYS]
    field = xr.concat(parts, "time")["temperature"].sel(level=850)
    size = np.sqrt((field.diff("time") ** 2).mean(["member", "latitude", "longitude"])).values
    across = size[[3, 7]]
    inside = np.delete(size, [3, 7])
    # a day that starts from nothing jumps by far more than the weather moves in 6 h
    assert across.max() < 1.25 * inside.max()


def test_what_is_done_is_skipped(fill, copied, monkeypatch):
    monkeypatch.setattr("appa_core.steps.stretches.draw_stretch", refuse)
    monkeypatch.setattr("appa_core.steps.fields.trajectory_dataset", refuse)
    assert fill() == dict.fromkeys(DAYS, "done")


def test_what_is_gone_comes_back(fill, copied, whole, monkeypatch):
    (ledger,) = all_series(ArtifactStore(copied / "store"))
    step, key = ledger.find(pd.Timestamp(DAYS[1])).artifacts["fields"]
    shutil.rmtree(copied / "store" / step / key)
    shutil.rmtree(copied / "out" / DAYS[2])
    monkeypatch.setattr("appa_core.steps.stretches.draw_stretch", refuse)
    assert fill(dry_run=True) == {DAYS[0]: "done", DAYS[1]: "damaged", DAYS[2]: "done"}
    assert fill() == {DAYS[0]: "done", DAYS[1]: "made", DAYS[2]: "done"}
    assert contents(copied / "out") == contents(whole / "out")


def test_a_record_that_is_damaged_is_no_record(fill, copied, whole):
    record = copied / "store" / "reanalysis-series"
    (record,) = record.glob("*/ledger/2012/0206.json")
    record.write_text(record.read_text().replace("2012-02-06", "2012-02-09", 1))
    assert fill() == {DAYS[0]: "done", DAYS[1]: "made", DAYS[2]: "done"}
    assert contents(copied / "out") == contents(whole / "out")


def test_a_dry_run_says_what_is_missing_and_how_long(fill, copied, tiny_world, tmp_path):
    assert fill("empty", dry_run=True) == dict.fromkeys(DAYS, "missing")
    assert not (tmp_path / "empty").exists()
    more = backfill(START, "2012-02-10", dry_run=True, **settings(tiny_world, copied, members=2))
    assert states(more) == dict.fromkeys(DAYS, "done") | {
        "2012-02-08": "missing", "2012-02-09": "missing",
    }  # fmt: skip
    seconds = [json.loads(p.read_text())["wall_seconds"] for p in copied.rglob("ledger/2012/*")]
    assert [o.seconds for o in more] == [0, 0, 0] + [pytest.approx(np.median(seconds))] * 2


def test_a_deployed_backfill_shows_its_days(tiny_world, copied):
    where = settings(tiny_world, copied, members=2, withhold=0.0)
    said = backfill_job(START, "2012-02-09", dry_run=True, **where)
    assert [line.split()[:2] for line in said] == [
        *([day, "done"] for day in DAYS), ["2012-02-08", "missing"],
    ]  # fmt: skip
    with get_client(sync_client=True) as client:
        page = {a.key: a for a in client.read_artifacts()}["days"].data
    rows = [line.split(" | ")[:2] for line in page.splitlines()[4:]]
    assert rows == [[f"| {line.split()[0]}", line.split()[1]] for line in said]


def test_streams_side_by_side_are_the_same_days(fill, tmp_path):
    one = fill("one", stream_days=1, end="2012-02-07")
    two = fill("two", stream_days=1, end="2012-02-07", max_parallel=2)
    assert one == two == dict.fromkeys(DAYS[:2], "made")
    assert contents(tmp_path / "one" / "out") == contents(tmp_path / "two" / "out")


def test_two_at_once_make_every_day_once(fill, whole, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        context = [copy_context() for _ in range(2)]
        both = [pool.submit(c.run, fill) for c in context]
        shares = [future.result(timeout=600) for future in both]
    assert [sorted(share[day] for share in shares) for day in DAYS] == [["done", "made"]] * 3
    assert contents(tmp_path / "a" / "out") == contents(whole / "out")


def test_what_was_stopped_goes_on(fill, whole, tmp_path, monkeypatch):
    real, made = series.make_day, []

    def stops(*args):
        if made:
            raise KeyboardInterrupt
        made.append(args[1])
        return real(*args)

    monkeypatch.setattr(series, "make_day", stops)
    with pytest.raises(KeyboardInterrupt):
        fill()
    monkeypatch.undo()
    leases = list((tmp_path / "a" / "store").rglob("lock.json"))
    assert not leases
    assert fill() == {DAYS[0]: "done", DAYS[1]: "made", DAYS[2]: "made"}
    assert contents(tmp_path / "a" / "out") == contents(whole / "out")


@pytest.mark.parametrize(
    "error", [ResourceError("the cluster is gone"), httpx.ConnectError("no server")]
)
def test_what_says_nothing_of_a_day_ends_the_command(fill, tmp_path, monkeypatch, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(series, "make_day", fails)
    with pytest.raises(type(error), match=str(error)):
        fill()
    (ledger,) = all_series(ArtifactStore(tmp_path / "a" / "store"))
    assert ledger.days() == []


def test_the_lease_of_a_dead_owner_is_taken_over(fill, copied):
    (ledger,) = all_series(ArtifactStore(copied / "store"))
    day = pd.Timestamp(DAYS[2])
    (Path(ledger.url) / "ledger" / "2012" / "0207.json").unlink()
    with StoreLock(ledger.lease(day)):
        lock = Path(ledger.lease(day)) / LOCK
        owner = json.loads(lock.read_text())
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    lock.write_text(json.dumps(owner | {"pid": done.pid, "process_start": "0"}))
    assert fill()[DAYS[2]] == "made"


@pytest.fixture
def reports(tmp_path):
    """A folder of reports with a file a day, and what writes one."""
    folder = tmp_path / "reports"
    folder.mkdir()

    def write(day, value=286.0):
        times = pd.date_range(pd.Timestamp(day) + pd.Timedelta(hours=1), periods=3, freq="6h")
        rows = some_reports(times, value=value)
        rows.frame.to_parquet(folder / f"{day}.parquet", index=False)

    return folder, write


def from_reports(fill, folder, name="a", **changes):
    changes = {"observations": str(folder), "truth": "", "overlap_hours": 0} | changes
    return fill(name, **changes)


@pytest.mark.parametrize(
    ("late", "after"), [("renew", ["done", "made", "made"]), ("leave", ["done", "made", "done"])]
)
def test_a_failed_day_is_bridged_and_replaced(fill, reports, tmp_path, late, after):
    folder, write = reports
    write(DAYS[0])
    write(DAYS[2])
    found = from_reports(fill, folder)
    assert found == dict(zip(DAYS, ["made", "failed", "made"], strict=True))
    # again, with nothing new: the day is tried, and what stands on its bridge stands
    assert from_reports(fill, folder)[DAYS[2]] == "done"
    bridged = contents(tmp_path / "a" / "out" / DAYS[2])
    write(DAYS[1])
    assert from_reports(fill, folder, late=late) == dict(zip(DAYS, after, strict=True))
    from_reports(fill, folder, "calm")
    calm, found = (contents(tmp_path / n / "out") for n in ("calm", "a"))
    is_same = {d: all(found[p] == calm[p] for p in calm if p.parts[0] == d) for d in DAYS}
    assert is_same == {DAYS[0]: True, DAYS[1]: True, DAYS[2]: late == "renew"}
    kept = contents(tmp_path / "a" / "out" / DAYS[2]) == bridged
    assert kept == (late == "leave")


def test_what_changed_is_made_again_with_what_follows(fill, reports):
    folder, write = reports
    for day in DAYS:
        write(day)
    from_reports(fill, folder)
    write(DAYS[1], 287.0)
    expected = [
        {DAYS[0]: "done", DAYS[1]: "changed", DAYS[2]: "upstream"},
        {DAYS[0]: "done", DAYS[1]: "made", DAYS[2]: "made"},
    ]
    assert [from_reports(fill, folder, dry_run=dry) for dry in (True, False)] == expected


def test_failed_days_are_named(fill, reports, tiny_world, tmp_path):
    folder, write = reports
    write(DAYS[0])
    where = settings(tiny_world, tmp_path, members=2, observations=str(folder), truth="")
    outcomes = backfill(START, DAYS[2], **where)
    with pytest.raises(AppaError, match=r"1 of 2 days failed.*\n  2012-02-06: .*observation"):
        require_all(outcomes)
    with pytest.raises(InputError, match="observation"):
        backfill(START, DAYS[2], stop_at_failure=True, **where)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"end": START}, "expected an end after the start"),
        ({"start": "2012-02-05T06"}, "expected a date"),
        ({"chunk_days": 0}, "1 or more"),
        ({"overlap_hours": 5}, "overlap of 5 h: expected a multiple"),
        ({"first_day": "2012-02-06"}, "is before 2012-02-06, the first day of this series"),
        ({"operator": "os:system"}, "not your own"),
    ],
)
def test_bad_requests_write_nothing(fill, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        fill(**changes)
    assert not (tmp_path / "a").exists()
