"""What is done every night, with real Prefect, on a model trained for seconds."""

from datetime import UTC, datetime, timedelta, timezone

import pandas as pd
import pytest
from prefect.testing.utilities import prefect_test_harness

from appa_core.errors import AbsentError, InputError
from appa_core.io.cube import Cube
from flows.backfill import backfill
from flows.nightly import nightly_ingest, nightly_reanalysis, yesterday
from tasks import arrivals
from tasks.arrivals import Patience, wait_for
from tests.from_observations import contents, settings, some_reports
from tests.synthetic import tiny_preset

DAYS = ["2012-02-05", "2012-02-06", "2012-02-07"]
NOW = Patience(hours=0)


@pytest.fixture(scope="module", autouse=True)
def prefect():
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def reports(tmp_path):
    """A folder of reports, and what writes those of hours of a day."""
    folder = tmp_path / "reports"
    folder.mkdir()

    def write(day, last_hour, value=286.0):
        times = pd.date_range(
            pd.Timestamp(day) + pd.Timedelta(hours=1), periods=last_hour, freq="h"
        )
        frame = some_reports(times, value=value).frame
        frame.loc[0, "valid_time"] = times[-1]
        frame.to_parquet(folder / f"{day}.parquet", index=False)

    return folder, write


@pytest.fixture
def where(tiny_world, tmp_path, reports):
    return settings(
        tiny_world, tmp_path, members=2, observations=str(reports[0]), truth="", overlap_hours=0
    )


def states(outcomes):
    return {f"{o.day:%Y-%m-%d}": o.state for o in outcomes}


def test_reports_that_come_late_are_taken_up(where, reports, tiny_world, tmp_path):
    _, write = reports
    write(DAYS[0], 18)
    assert states(nightly_reanalysis(day=DAYS[0], patience=NOW, **where)) == {DAYS[0]: "made"}
    write(DAYS[1], 9)
    with pytest.raises(AbsentError, match=r"2012-02-06 did not arrive within 0 h.*2012-02-06T09"):
        nightly_reanalysis(day=DAYS[1], patience=NOW, **where)
    write(DAYS[1], 18)
    write(DAYS[2], 18)
    found = states(nightly_reanalysis(day=DAYS[2], patience=NOW, **where))
    assert found == {DAYS[0]: "done", DAYS[1]: "made", DAYS[2]: "made"}
    write(DAYS[1], 18, value=286.5)
    left = states(nightly_reanalysis(day=DAYS[2], patience=NOW, late="leave", **where))
    assert left == {DAYS[0]: "done", DAYS[1]: "made", DAYS[2]: "done"}
    renewed = states(nightly_reanalysis(day=DAYS[2], patience=NOW, **where))
    assert renewed == {DAYS[0]: "done", DAYS[1]: "done", DAYS[2]: "made"}
    calm = where | {"store": str(tmp_path / "calm"), "output": str(tmp_path / "calm-out")}
    backfill(DAYS[0], "2012-02-08", **calm)
    assert contents(tmp_path / "out") == contents(tmp_path / "calm-out")


def test_a_day_without_enough_reports_is_waited_for(where, reports):
    reports[1](DAYS[0], 18)
    with pytest.raises(AbsentError, match=r"there are 40 rows.*expected 41 or more"):
        nightly_reanalysis(day=DAYS[0], patience=Patience(hours=0, least_rows=41), **where)


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sleeping moves; returns how long each sleep was."""
    now, slept = [0.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(arrivals.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(arrivals.time, "sleep", sleep)
    return slept


def test_waiting_is_bounded(clock):
    looks = []

    def look():
        looks.append(1)
        raise AbsentError("nothing yet")

    with pytest.raises(AbsentError, match="it did not arrive within 1 h: nothing yet; run this"):
        wait_for(look, Patience(hours=1, poll_minutes=25), "it")
    assert clock == [1500, 1500, 600]
    assert len(looks) == 4


def test_waiting_ends_with_what_was_waited_for(clock):
    looks = iter([AbsentError("no"), AbsentError("no"), None])

    def look():
        if (problem := next(looks)) is not None:
            raise problem
        return "here"

    assert wait_for(look, Patience(hours=1, poll_minutes=1), "it") == "here"
    assert clock == [60, 60]


def test_what_is_wrong_is_not_waited_for(clock):
    def look():
        raise InputError("no such source")

    with pytest.raises(InputError, match="no such source"):
        wait_for(look, Patience(hours=1), "it")
    assert not clock


def test_yesterday_is_that_of_utc():
    zone = timezone(timedelta(hours=9))
    assert yesterday(datetime(2024, 1, 2, 3, tzinfo=zone)) == "2023-12-31"
    assert yesterday(datetime(2024, 3, 1, 0, tzinfo=UTC)) == "2024-02-29"


def test_states_of_yesterday_with_those_before(tiny_world, tmp_path):
    preset, store, source = tiny_preset(), str(tmp_path / "store"), str(tiny_world.sample)
    url = nightly_ingest(preset, store, source, DAYS[1], look_back_days=1, patience=NOW)
    assert list(Cube.load(url).times()) == list(pd.date_range(DAYS[0], periods=8, freq="6h"))
    with pytest.raises(AbsentError, match=r"did not arrive.*no state at 2012-02-20T00:00"):
        nightly_ingest(preset, store, source, "2012-02-20", patience=NOW)
    with pytest.raises(InputError, match="unknown source"):
        nightly_ingest(preset, store, "nonesuch", DAYS[1], patience=Patience(hours=9))
