"""Reanalyses with real Prefect, on a model trained for seconds."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from prefect.testing.utilities import prefect_test_harness

from appa_core.errors import InputError
from appa_core.steps import drawing
from appa_core.steps.departures import members_of
from flows.reanalysis import reanalysis
from tasks.cluster import ClusterSettings
from tests.from_observations import contents, settings, some_reports, write_reports

START, END = "2012-02-05", "2012-02-07T12"
TIMES = pd.date_range(START, END, freq="6h", inclusive="left")


@pytest.fixture(scope="module", autouse=True)
def prefect():
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def run(tiny_world, tmp_path):
    def call(**changes):
        start, end = changes.pop("start", START), changes.pop("end", END)
        return reanalysis(start, end, **settings(tiny_world, tmp_path, **changes))

    return call


def test_writes_a_complete_reanalysis(run):
    result = run(withhold=0.3)
    data = xr.open_zarr(result.output / "reanalysis.zarr")
    assert dict(data.sizes) == {
        "member": 3, "time": 10, "level": 6, "latitude": 32, "longitude": 64,
    }  # fmt: skip
    assert data["temperature"].dims == ("member", "time", "level", "latitude", "longitude")
    assert list(data["time"].values) == list(TIMES.values)
    assert data.attrs["source"].startswith("Simulated")
    assert all(np.isfinite(data[v].values).all() for v in data.data_vars)
    assert float(data["specific_humidity"].min()) >= 0
    scores = pd.read_csv(result.output / "scores.csv")
    assert len(scores) == 35 * 10
    assert (scores[["rmse", "crps", "spread", "ssr", "rmse_climatology"]] > 0).all().all()
    page = (result.output / "report.html").read_text()
    assert "Observations and members" in page
    assert "What became of the observations" in page
    assert "Time since the first state" in page
    assert "opposite noise" not in page  # three members are no pairs
    manifest = json.loads((result.output / "manifest.json").read_text())
    assert manifest["artifacts"]["reanalysis-fields"]["digest"] == result.digest
    assert manifest["method"]["kind"] == "diffusion"
    assert manifest["method"]["paired"]
    assert "withheld" in result.counts


def test_departures_are_of_every_member_and_row(run):
    result = run(withhold=0.3)
    frame = pd.read_parquet(result.output / "observations.parquet")
    assert set(frame["status"]) == {"used", "withheld"}
    assert members_of(frame, "analysis") == [f"analysis_{m}" for m in range(3)]
    assert members_of(frame, "background") == [f"background_{m}" for m in range(3)]
    read = frame[members_of(frame, "analysis")].to_numpy(float)
    assert np.isfinite(read).all()
    np.testing.assert_allclose(frame["analysis_mean"], read.mean(1), rtol=1e-5)
    np.testing.assert_allclose(
        frame["analysis_departure"], frame["value"] - read.mean(1), rtol=1e-3, atol=1e-3
    )
    # a station at a cell's centre reads what was written there
    row = frame[(frame["quantity"] == "2m_temperature")].iloc[0]
    data = xr.open_zarr(result.output / "reanalysis.zarr")["2m_temperature"]
    there = data.sel(time=row["valid_time"], latitude=row["latitude"], longitude=row["longitude"])
    np.testing.assert_allclose(there.values, [row[f"analysis_{m}"] for m in range(3)], rtol=1e-5)
    used = frame[frame["status"] == "used"]
    size = [np.sqrt((used[f"{n}_departure"] / used["error_std"]).pow(2).mean()) for n in
            ("analysis", "background")]  # fmt: skip
    assert size[0] < 0.7 * size[1]


def test_the_second_run_computes_nothing(run, monkeypatch):
    first = run()

    def refuse(*_args, **_kwargs):
        raise AssertionError("computed again")

    monkeypatch.setattr("appa_core.steps.stretches.draw_stretch", refuse)
    monkeypatch.setattr("appa_core.steps.fields.trajectory_dataset", refuse)
    monkeypatch.setattr("appa_core.steps.departures.table_operator", refuse)
    assert run().digest == first.digest


def test_a_new_store_gives_the_same_bytes_and_another_seed_does_not(run, tmp_path):
    first = run()
    again = run(store=str(tmp_path / "other"), output=str(tmp_path / "out2"))
    assert contents(first.output) == contents(again.output)
    other = run(seed=1, output=str(tmp_path / "out3"))
    assert other.digest != first.digest


def test_more_members_and_more_days_leave_what_is_there(run, tmp_path, monkeypatch):
    few = xr.open_zarr(run().output / "reanalysis.zarr")["temperature"]
    calls, real = [], drawing.draw_stretch

    def counting(how, stretch, *args, **kwargs):
        calls.append((stretch.times[0], stretch.members))
        return real(how, stretch, *args, **kwargs)

    monkeypatch.setattr("appa_core.steps.stretches.draw_stretch", counting)
    longer = run(end="2012-02-09T12", output=str(tmp_path / "longer"))
    many = xr.open_zarr(longer.output / "reanalysis.zarr")["temperature"]
    # of the first two days and a half all stretches but the last were kept
    assert min(time for time, _ in calls) == pd.Timestamp("2012-02-06T00")
    np.testing.assert_array_equal(many[:, :8], few[:, :8])


def test_real_reports_are_scored_against_themselves_alone(run, tmp_path):
    times = pd.date_range(START, "2012-02-06T06", freq="6h")
    rows = some_reports(times)
    frame = rows.frame.copy()
    frame.loc[0, "valid_time"] = pd.Timestamp("2012-03-01")
    frame.loc[1, ["quantity", "value"]] = ["sea_surface_temperature", 290.0]
    frame.loc[2, "value"] = 339.0  # plausible somewhere on Earth, and not there
    path = write_reports(tmp_path / "mine.parquet", type(rows).of(frame))
    result = run(observations=path, truth="", withhold=0.3)
    assert pd.read_csv(result.output / "scores.csv").empty
    data = xr.open_zarr(result.output / "reanalysis.zarr")
    assert data.attrs["source"] == "unknown"
    written = pd.read_parquet(result.output / "observations.parquet")
    # of another day nothing is kept; what cannot be read, or is not believed, says why
    assert len(written) == 39
    why = written.set_index("station_id")["rejected"]
    assert why["S1"] == "no such field in the model"
    assert "climatolog" in why["S2"]
    assert (written.set_index("station_id")["status"][["S1", "S2"]] == "rejected").all()
    read = written.set_index("station_id")["analysis_mean"]
    assert np.isnan(read["S1"])
    assert read.drop("S1").notna().all()


def test_a_network_takes_places_and_times_of_real_reports_of_other_years(run, tmp_path):
    """Each file is moved by whole days; values are those of the truth, as are the scores."""
    days = [pd.date_range(day, periods=2, freq="6h") for day in ("2005-08-26", "2018-11-02T12")]
    tables = [some_reports(times, value=250.0 + i) for i, times in enumerate(days)]
    paths = [write_reports(tmp_path / f"{i}.parquet", t) for i, t in enumerate(tables)]
    spec = f"simulated:like={'+'.join(paths)},error=0.1"
    result = run(observations=spec, end="2012-02-06T12")
    frame = pd.read_parquet(result.output / "observations.parquet")
    places = ["latitude", "longitude"]
    hours = frame["valid_time"] - pd.Timestamp(START)
    for table, times in zip(tables, days, strict=True):
        expected = table.frame.assign(valid_time=table.frame["valid_time"] - times[0].normalize())
        both = expected.merge(frame.assign(valid_time=hours), on=[*places, "valid_time"])
        assert len(both) == len(table)
    assert len(frame) == 80
    assert frame["value"].between(270, 320).mean() > 0.9  # not those of the files
    assert len(pd.read_csv(result.output / "scores.csv")) == 35 * 6


@pytest.mark.parametrize("method", ["optimal-interpolation", "latent-4dvar", "4dvar", "es-mda"])
def test_methods_by_one_switch(run, method, monkeypatch):
    monkeypatch.setattr("appa_core.steps.climatology_draws._STEPS", 2)
    result = run(method=method, end="2012-02-06T12", members=2)
    frame = pd.read_parquet(result.output / "observations.parquet")
    used = frame[frame["status"] == "used"]
    size = [(used[f"{n}_departure"] / used["error_std"]).pow(2).mean() for n in
            ("analysis", "background")]  # fmt: skip
    assert np.isfinite(size).all()
    assert size[0] < size[1]


def test_a_users_own_operator(run, tmp_path):
    times = pd.date_range(START, "2012-02-06T06", freq="6h")
    rows = some_reports(times, quantity="own", level=850.0, value=274.5)
    path = write_reports(tmp_path / "mine.parquet", rows)
    result = run(
        observations=path,
        truth="",
        operator="tests.own_operators:temperature",
        end="2012-02-06T12",
    )
    frame = pd.read_parquet(result.output / "observations.parquet")
    size = [frame[f"{n}_departure"].pow(2).mean() for n in ("analysis", "background")]
    assert size[0] < 0.5 * size[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"end": "2012-02-04"}, "expected an end that is a positive multiple"),
        ({"end": "2012-02-05T07"}, "positive multiple of the model's step, 6 h"),
        ({"start": "2012-02-05T03", "end": "2012-02-06T03"}, "an hour divisible by 6"),
        ({"method": "mmpz"}, "unknown method 'mmpz'; methods are: 4dvar, .*optimal-interp"),
        ({"observations": "simulated:station=0.1"}, "do you mean stations"),
        ({"observations": "nonesuch"}, "unknown observations 'nonesuch'"),
        ({"observations": "simulated:like=nonesuch"}, "unknown observations 'nonesuch'"),
        ({"withhold": 1.5}, "withhold: "),
        ({"truth": "nonesuch"}, "unknown source 'nonesuch'"),
        ({"model": "nonesuch"}, "unknown model 'nonesuch'"),
        ({"device": "cuda:99"}, "cannot use device"),
        ({"members": 1, "method": "es-mda"}, "expected 2 or more"),
        ({"variables": ("snow",)}, "unknown variable 'snow'"),
    ],
)
def test_bad_requests_are_explained_and_write_nothing(run, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        run(**changes)
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ({}, {"start": "2012-02-15", "end": "2012-02-17"}, "no observation from 2012-02-15"),
        ({"count": 0}, {}, "no observation that can be read"),
        ({"quantity": "own"}, {}, "of quantity 'own'.*--operator"),
        ({}, {"operator": "tests.own_operators:nonesuch"}, "has no function nonesuch"),
        ({}, {"operator": "tests.own_operators:transposed"}, "returned shape"),
        ({"level": 500.0}, {"operator": "tests.own_operators:rounded"}, "zero everywhere"),
        ({}, {"stretch_states": 3}, "stretches of 3 states"),
        ({}, {"stretch_states": 12, "method": "latent-3dvar"}, "latent-3dvar draws 6 states"),
        ({"quantity": "sea_surface_temperature"}, {}, "no such field in the model"),
    ],
)
def test_observations_that_cannot_be_used_are_explained(run, tmp_path, rows, changes, message):
    times = pd.date_range(START, "2012-02-06T06", freq="6h")
    path = write_reports(tmp_path / "mine.parquet", some_reports(times, **rows))
    with pytest.raises(InputError, match=message):
        run(observations=path, truth="", **changes)
    assert not (tmp_path / "out").exists()


def test_members_are_drawn_side_by_side_and_are_the_same(run, tmp_path):
    alone = run(members=6, end="2012-02-06T12")
    side_by_side = run(
        members=6,
        end="2012-02-06T12",
        cluster=ClusterSettings(workers=2),
        store=str(tmp_path / "other"),
        output=str(tmp_path / "out2"),
    )
    assert contents(side_by_side.output) == contents(alone.output)
    assert "are pairs drawn from opposite noise" in (alone.output / "report.html").read_text()


def test_longer_stretches_are_folded(run, tmp_path):
    relayed = run()
    folded = run(stretch_states=10, ahead_states=0, output=str(tmp_path / "folded"))
    assert folded.digest != relayed.digest
    frame = pd.read_parquet(folded.output / "observations.parquet")
    size = [frame[f"{n}_departure"].pow(2).mean() for n in ("analysis", "background")]
    assert size[0] < size[1]
