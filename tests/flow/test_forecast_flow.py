"""The main job with real Prefect, on a model trained for seconds."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

from appa_core.diffusion.samplers import DpmSolver
from appa_core.errors import InputError
from flows.export import export
from flows.forecast import forecast
from flows.report import report


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


def _embedded(page):
    start = page.index('id="report-data">') + len('id="report-data">')
    return json.loads(page[start : page.index("</script>", start)])


def test_the_page_and_the_products_of_a_finished_forecast(run, tmp_path):
    store = str(tmp_path / "store")
    first = run()
    other = run(seed=1, output=str(tmp_path / "other"))
    made = report(
        str(first.output),
        against=str(other.output),
        output=str(tmp_path / "pages" / "page.html"),
        at=["Home=50,8"],
        probability=["2m_temperature>280"],
        quantiles="0.1,0.9",
        store=store,
    )
    page = made.page.read_text()
    data = _embedded(page)
    assert len(data["fields"]) == 35
    assert all(f["arrays"] == ["ensemble", "truth", "climatology"] for f in data["fields"])
    assert "left-out" not in page
    assert data["comparison"]["name"] == "other"
    assert {p.name for p in made.products} == {
        "points.csv", "probabilities.csv", "probabilities.nc", "quantiles.nc",
    }  # fmt: skip
    points = pd.read_csv(made.products[0].parent / "points.csv")
    assert len(points) == 35 * 8
    again = report(str(first.output), store=store, truth=None)
    assert again.page == first.output / "report.html"
    assert len(_embedded(again.page.read_text())["fields"]) == 35
    path = export(str(first.output), "netcdf", str(tmp_path / "a.nc"))
    assert xr.open_dataset(path, decode_timedelta=True).sizes["member"] == 3


def test_figures_are_shown_in_prefect(run):
    run()
    with get_client(sync_client=True) as client:
        found = {a.key: a for a in client.read_artifacts()}
    page = found["forecast-from-2012-02-10t00"].data
    assert page.count("](data:image/png;base64,") == 3
    assert {"## Maps", "## Plume", "## Scores"} <= set(page.splitlines())
    assert "> Simulated" in page


def test_bad_requests_for_a_report_write_nothing(run, tmp_path):
    result = run()
    before = (result.output / "report.html").read_bytes()
    folder = str(result.output)
    (tmp_path / "file").write_text("")
    for options, message in [
        ({"result": str(tmp_path)}, "is no result: expected a folder"),
        ({"against": str(tmp_path)}, "is no result: expected a folder"),
        ({"probability": ["rainfall>1"]}, "no field 'rainfall'"),
        ({"probability": ["warm"]}, "is no event"),
        ({"fields": ["geopotential_123"]}, "no field 'geopotential_123'"),
        ({"at": ["91,0"]}, "latitude from -90 to 90"),
        ({"quantiles": "2"}, "from 0 to 1"),
        ({"truth": "nowhere"}, "unknown source 'nowhere'"),
        ({"output": str(tmp_path)}, "is a folder; name a file"),
        ({"output": str(tmp_path / "file" / "page.html")}, "cannot write .* choose another"),
    ]:
        with pytest.raises(InputError, match=message):
            report(**{"result": folder, "store": str(tmp_path / "store")} | options)
    assert (result.output / "report.html").read_bytes() == before
    assert not (result.output / "products").exists()
