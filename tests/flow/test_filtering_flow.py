"""Cycles, forecasts from observations and denials with real Prefect, on the tiny world."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from prefect.testing.utilities import prefect_test_harness

from appa_core.errors import InputError
from flows.denial import denial
from flows.filtering import filtering
from flows.forecast import forecast
from tests.from_observations import SPEC, contents, settings

START = "2012-02-08"


@pytest.fixture(scope="module", autouse=True)
def prefect():
    with prefect_test_harness(server_startup_timeout=120):
        yield


def cycles(tiny_world, folder, **changes):
    return filtering(START, **settings(tiny_world, folder, cycles=3, **changes))


def test_every_cycle_leaves_the_current_state(tiny_world, tmp_path):
    result = cycles(tiny_world, tmp_path, withhold=0.2)
    data = xr.open_zarr(result.output / "filtering.zarr")
    expected = pd.date_range(START, periods=3, freq="6h")
    assert list(data["time"].values) == list(expected.values)
    assert data.sizes["member"] == 3
    assert not (result.output / "smoothed.zarr").exists()
    scores = pd.read_csv(result.output / "scores.csv")
    assert sorted(set(scores["valid_time"])) == [f"{t:%Y-%m-%dT%H}" for t in expected]
    frame = pd.read_parquet(result.output / "observations.parquet")
    assert frame["valid_time"].max() == expected[-1]
    assert frame["analysis_mean"].notna().all()
    assert frame["background_mean"].notna().all()
    assert "ensemble filtering" in (result.output / "report.html").read_text()


def test_the_past_does_not_hear_of_the_future(tiny_world, tmp_path):
    short = cycles(tiny_world, tmp_path)
    long = filtering(
        START, **settings(tiny_world, tmp_path, cycles=5, output=str(tmp_path / "long"))
    )
    one, other = (
        xr.open_zarr(r.output / "filtering.zarr")["temperature"].values for r in (short, long)
    )
    np.testing.assert_array_equal(one, other[:, :3])


def test_a_lag_smooths_what_went_before(tiny_world, tmp_path):
    result = cycles(tiny_world, tmp_path, lag=2)
    smooth = xr.open_zarr(result.output / "smoothed.zarr")["2m_temperature"]
    current = xr.open_zarr(result.output / "filtering.zarr")["2m_temperature"]
    last = current["time"].values[-1]
    np.testing.assert_array_equal(smooth.sel(time=last), current.sel(time=last))
    before = current["time"].values[-2]
    assert not np.allclose(smooth.sel(time=before), current.sel(time=before), atol=1e-3)
    again = cycles(
        tiny_world, tmp_path, lag=2, store=str(tmp_path / "s2"), output=str(tmp_path / "o2")
    )
    assert contents(again.output) == contents(result.output)


def test_backgrounds_are_forecasts_from_the_cycle_before(tiny_world, tmp_path):
    """They know of the observations before, and not of their own."""
    frame = pd.read_parquet(cycles(tiny_world, tmp_path).output / "observations.parquet")
    own = frame["valid_time"] == pd.Timestamp(START) + pd.Timedelta(hours=12)
    rows = frame[own & (frame["platform"] == "station")]
    size = {n: (rows[f"{n}_departure"] / rows["error_std"]).pow(2).mean() for n in
            ("analysis", "background")}  # fmt: skip
    assert size["analysis"] < size["background"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cycles": 0}, "cycles: "),
        ({"cycle_hours": 7}, "cycles of 7 h: expected a multiple"),
        ({"lag": -1}, "lag: "),
        ({"lag": 5, "method": "latent-4dvar"}, "draws 6 states at once"),
    ],
)
def test_bad_cycles_are_explained(tiny_world, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        filtering(START, **settings(tiny_world, tmp_path, **changes))
    assert not (tmp_path / "out").exists()


def observed_forecast(tiny_world, folder, **changes):
    arguments = settings(tiny_world, folder, **changes)
    source = arguments.pop("truth")
    return forecast(START, lead_hours=36, source=source, **arguments)


def test_a_forecast_straight_from_observations(tiny_world, tmp_path):
    result = observed_forecast(tiny_world, tmp_path, assimilation_hours=24)
    data = xr.open_zarr(result.output / "forecast.zarr")
    assert dict(data.sizes) == {
        "init_time": 1, "member": 3, "lead_time": 6, "level": 6, "latitude": 32, "longitude": 64,
    }  # fmt: skip
    assert data["init_time"].values[0] == np.datetime64(START)
    scores = pd.read_csv(result.output / "scores.csv")
    assert sorted(set(scores["lead_hours"])) == [6, 12, 18, 24, 30, 36]
    frame = pd.read_parquet(result.output / "observations.parquet")
    assert frame["valid_time"].max() == pd.Timestamp(START)
    assert frame["valid_time"].min() == pd.Timestamp(START) - pd.Timedelta(hours=24)
    page = (result.output / "report.html").read_text()
    assert "are drawn given the observations" in page
    assert "--assimilation-hours 24" in page
    manifest = json.loads((result.output / "manifest.json").read_text())
    assert manifest["request"]["observations"] == SPEC


def test_members_start_from_states_of_their_own(tiny_world, tmp_path):
    data = xr.open_zarr(observed_forecast(tiny_world, tmp_path).output / "forecast.zarr")
    first = data["2m_temperature"].isel(init_time=0, lead_time=0)
    plain = forecast(
        START, lead_hours=36, members=3, model=str(tiny_world.model),
        source=str(tiny_world.sample), store=str(tmp_path / "s"), output=str(tmp_path / "o"),
    )  # fmt: skip
    known = xr.open_zarr(plain.output / "forecast.zarr")["2m_temperature"].isel(
        init_time=0, lead_time=0
    )
    assert float(first.std("member").mean()) > float(known.std("member").mean())


def test_a_forecast_needs_no_states_where_it_has_observations(tiny_world, tmp_path):
    start = "2012-02-19T18"  # the last state that is known
    arguments = settings(tiny_world, tmp_path)
    source = arguments.pop("truth")
    result = forecast(start, lead_hours=12, source=source, **arguments)
    assert pd.read_csv(result.output / "scores.csv").empty


def test_options_of_observations_need_observations(tiny_world, tmp_path):
    arguments = settings(tiny_world, tmp_path)
    for name in ("truth", "observations"):
        arguments.pop(name)
    with pytest.raises(InputError, match="--withhold: only with --observations"):
        forecast(START, withhold=0.1, **arguments)
    with pytest.raises(InputError, match="assimilation of 7 h: expected a multiple"):
        observed_forecast(tiny_world, tmp_path, assimilation_hours=7)
    assert not (tmp_path / "store").exists()


def test_denial_says_what_a_platform_contributes(tiny_world, tmp_path):
    result = denial(
        "2012-02-03", hours=24, periods=2, spacing_hours=96, lead_hours=12, withhold=0.3,
        deny=["platform=orbiter", "quantity=2m_temperature"],
        **settings(tiny_world, tmp_path),
    )  # fmt: skip
    table = result.impact
    assert set(table["denied"]) == {"platform=orbiter", "quantity=2m_temperature"}
    assert set(table["of"]) == {"analysis", "forecast", "withheld reports"}
    assert (table["pairs"] == 2).all()
    assert (table["low"] <= table["change"]).all()
    np.testing.assert_allclose(table["without"] / table["all"] - 1, table["change"], atol=0.2)
    upper = table[(table["denied"] == "platform=orbiter") & (table["of"] == "analysis")]
    upper = upper[(upper["field"] == "temperature") & (upper["score"] == "crps")]
    assert (upper["change"] > 0).all()
    manifest = json.loads((result.output / "manifest.json").read_text())
    assert manifest["request"]["deny"] == ["platform=orbiter", "quantity=2m_temperature"]


@pytest.mark.parametrize(
    ("deny", "message"),
    [
        (["colour=red"], "expected platform=... or quantity=... or region=..."),
        (["platform"], "expected platform=..."),
        (["region=1,2,3"], "is no region"),
        (["platform=balloon"], "no observation is denied; platforms are orbiter, station"),
    ],
)
def test_bad_denials_are_explained(tiny_world, tmp_path, deny, message):
    with pytest.raises(InputError, match=message):
        denial("2012-02-03", hours=24, deny=deny, **settings(tiny_world, tmp_path))
    assert not (tmp_path / "out").exists()
