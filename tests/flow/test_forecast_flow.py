"""The main job with real Prefect, on a model trained for seconds."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from prefect.testing.utilities import prefect_test_harness

from appa_core.diffusion.samplers import DpmSolver
from flows.forecast import forecast


@pytest.fixture(scope="module", autouse=True)
def prefect():
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def run(tiny_world, tmp_path):
    def call(**changes):
        settings = {
            "start": "2012-02-10",
            "lead_hours": 48,
            "members": 3,
            "model": str(tiny_world.model),
            "source": str(tiny_world.sample),
            "store": str(tmp_path / "store"),
            "output": str(tmp_path / "out"),
        }
        return forecast(**settings | changes)

    return call


def test_writes_a_complete_forecast(run):
    result = run()
    data = xr.open_zarr(result.output / "forecast.zarr")
    assert dict(data.sizes) == {
        "init_time": 1, "member": 3, "lead_time": 8, "level": 6, "latitude": 32, "longitude": 64,
    }  # fmt: skip
    assert data["temperature"].dims == (
        "init_time", "member", "lead_time", "level", "latitude", "longitude",
    )  # fmt: skip
    assert data["temperature"].attrs["units"] == "K"
    assert data["valid_time"].values[0, 0] == np.datetime64("2012-02-10T06")
    assert data["lead_time"].values[-1] == np.timedelta64(48, "h")
    assert all(np.isfinite(data[v].values).all() for v in data.data_vars)
    assert data.attrs["source"].startswith("Simulated")
    assert float(data["specific_humidity"].min()) >= 0
    scores = pd.read_csv(result.output / "scores.csv")
    assert len(scores) == 35 * 8
    assert (scores[["rmse", "crps", "rmse_persistence", "rmse_climatology"]] > 0).all().all()
    page = (result.output / "report.html").read_text()
    assert "Simulated" in page
    manifest = json.loads((result.output / "manifest.json").read_text())
    assert manifest["artifacts"]["forecast"]["digest"] == result.digest


def test_scores_agree_with_the_written_forecast(run, tiny_world):
    result = run()
    data = xr.open_zarr(result.output / "forecast.zarr")["2m_temperature"].isel(init_time=0)
    states = xr.open_zarr(tiny_world.sample / "states.zarr")["2m_temperature"]
    truth = states.sel(time=data["valid_time"].values[3])
    edges = np.deg2rad(np.linspace(-90, 90, 33))
    weights = xr.DataArray(np.diff(np.sin(edges)), dims="latitude")
    error = (data.mean("member").isel(lead_time=3) - truth) ** 2
    rmse = float(np.sqrt((error.mean("longitude") * weights).sum() / weights.sum()))
    scores = pd.read_csv(result.output / "scores.csv").set_index(["variable", "lead_hours"])
    assert scores.loc[("2m_temperature", 24), "rmse"] == pytest.approx(rmse, rel=1e-4)


def test_the_second_run_computes_nothing(run, monkeypatch):
    first = run()

    def refuse(*_args, **_kwargs):
        raise AssertionError("computed again")

    monkeypatch.setattr(DpmSolver, "sample", refuse)
    monkeypatch.setattr("appa_core.steps.forecast.forecast_dataset", refuse)
    assert run().digest == first.digest


def test_a_new_store_gives_the_same_bytes_and_another_seed_does_not(run, tmp_path):
    first = run()
    again = run(store=str(tmp_path / "other"), output=str(tmp_path / "out2"))
    assert again.digest == first.digest
    files = sorted(p.relative_to(first.output) for p in first.output.rglob("*") if p.is_file())
    assert all((first.output / f).read_bytes() == (again.output / f).read_bytes() for f in files)
    other = run(seed=1, output=str(tmp_path / "out3"))
    a, b = (xr.open_zarr(r.output / "forecast.zarr")["geopotential"] for r in (first, other))
    assert not np.allclose(a, b)


def test_more_members_leave_the_first_ones_as_they_are(run, tmp_path):
    few = xr.open_zarr(run().output / "forecast.zarr")["temperature"]
    more = run(members=10, output=str(tmp_path / "more"))
    many = xr.open_zarr(more.output / "forecast.zarr")["temperature"]
    np.testing.assert_allclose(many[:, :3], few, rtol=1e-4)


def test_an_interrupted_forecast_goes_on_where_it_stopped(run, tmp_path, monkeypatch):
    undisturbed = run(store=str(tmp_path / "undisturbed"), output=str(tmp_path / "out2"))
    real, calls = DpmSolver.sample, []

    def dying(*args, **kwargs):
        calls.append("dying")
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(DpmSolver, "sample", dying)
    with pytest.raises(BaseException):  # noqa: B017, PT011
        run()
    calls.clear()

    def counting(*args, **kwargs):
        calls.append("counted")
        return real(*args, **kwargs)

    monkeypatch.setattr(DpmSolver, "sample", counting)
    assert run().digest == undisturbed.digest
    assert len(calls) == 1  # of two blankets, the first was kept


def test_a_choice_of_fields_and_region(run):
    result = run(variables=("temperature", "2m_temperature"), levels=(850,), region="20,70,-30,40")
    data = xr.open_zarr(result.output / "forecast.zarr")
    assert set(data.data_vars) == {"temperature", "2m_temperature"}
    assert data["level"].values.tolist() == [850]
    assert 20 <= float(data["latitude"].min()) <= float(data["latitude"].max()) <= 70
    longitudes = (data["longitude"].values + 180) % 360 - 180
    assert (longitudes >= -30).all()
    assert (longitudes <= 40).all()


def test_beyond_the_known_states_there_are_fewer_scores(run):
    result = run(start="2012-02-18T18", lead_hours=36)
    scores = pd.read_csv(result.output / "scores.csv")
    assert scores["lead_hours"].max() == 24
    data = xr.open_zarr(result.output / "forecast.zarr")
    assert data.sizes["lead_time"] == 6
