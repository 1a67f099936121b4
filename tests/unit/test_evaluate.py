"""Evaluations of exported results: against xarray, in any pieces, with intervals."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from appa_core.config.evaluation import EventSpec, evaluation_request
from appa_core.errors import InputError
from appa_core.io.datasets import write_zarr
from appa_core.steps import evaluation_fields
from appa_core.steps.evaluation_fields import evaluate_fields, plan_fields
from tasks import evaluating
from tasks.cluster import ClusterSettings
from tests.results import FIRST, export_analysis, export_forecast, made, true_states


def row(table, **keys):
    for name, value in keys.items():
        table = table[table[name].isna() if value is None else table[name] == value]
    assert len(table) == 1, table
    return table.iloc[0]


@pytest.fixture
def world(results_world):
    """True states, and forecasts of two dates by two runs."""
    return results_world


def mean(field):
    weights = np.cos(np.deg2rad(field["latitude"]))
    return float(field.weighted(weights).mean(("latitude", "longitude")))


def test_scores_are_those_of_plain_xarray(world, tmp_path):
    tables, _ = made([world / "one0"], tmp_path)
    data = xr.open_zarr(world / "one0" / "forecast.zarr").isel(init_time=0, lead_time=2)
    truth = xr.open_zarr(world / "waves.zarr")
    field = data["geopotential"].sel(level=500).astype(float)
    seen = truth["geopotential"].sel(level=500, time=data["valid_time"].values).astype(float)
    start = truth["geopotential"].sel(level=500, time=FIRST).isel(time=0).astype(float)
    about = {
        "variable": "geopotential", "level": 500, "lead_hours": 18, "region": "global",
        "season": "all",
    }  # fmt: skip
    scores = tables["scores"]
    expected = {
        ("ensemble", "rmse"): mean((field.mean("member") - seen) ** 2) ** 0.5,
        ("ensemble", "bias"): mean(field.mean("member") - seen),
        ("ensemble", "spread"): mean(field.var("member", ddof=1)) ** 0.5,
        ("persistence", "rmse"): mean((start - seen) ** 2) ** 0.5,
        ("persistence", "mae"): mean(abs(start - seen)),
    }
    for (forecast, score), value in expected.items():
        found = row(scores, forecast=forecast, score=score, **about)
        assert found["value"] == pytest.approx(value, rel=1e-5)
        assert np.isnan(found["low"])  # of one date
        assert found["dates"] == 1
    assert set(scores["forecast"]) == {"ensemble", "persistence"}
    assert scores.query("score != 'rank_chi2_p'")["lead_hours"].isin([6, 12, 18, 24]).all()


@pytest.mark.parametrize("block_bytes", [1, 200_000])
def test_any_pieces_give_one_answer(world, tmp_path, monkeypatch, block_bytes):
    _, whole = made([world / "one0", world / "one1"], tmp_path / "a")
    monkeypatch.setattr(evaluation_fields, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(evaluating, "plan_fields", lambda of: plan_fields(of, block_bytes))
    pieces, small = made([world / "one0", world / "one1"], tmp_path / "b")
    assert len(pieces["scores"])
    assert small.digest == whole.digest


def test_workers_give_the_same_answer(world, tmp_path):
    _, serial = made([world / "one0"], tmp_path / "a", physics_states=1)
    cluster = ClusterSettings(workers=1)
    _, parallel = made([world / "one0"], tmp_path / "b", cluster=cluster, physics_states=1)
    assert parallel.digest == serial.digest


def test_dates_are_pooled_with_intervals(world, tmp_path):
    tables, _ = made([world / "one0", world / "one1"], tmp_path)
    single = [made([world / name], tmp_path)[0]["scores"] for name in ("one0", "one1")]
    about = {
        "forecast": "ensemble", "variable": "2m_temperature", "level": None, "lead_hours": 12,
        "region": "tropics",
    }  # fmt: skip
    found = row(tables["scores"], score="rmse", **about)
    parts = [row(s, score="rmse", **about)["value"] for s in single]
    assert found["value"] == pytest.approx(np.sqrt(np.mean(np.square(parts))), rel=1e-5)
    assert (found["low"], found["high"]) == pytest.approx(sorted(parts), rel=1e-5)
    assert found["dates"] == 2
    counts = tables["ranks"].query("variable == '2m_temperature' and lead_hours == 12")
    assert counts[counts["region"] == "global"]["count"].sum() == pytest.approx(2 * 16 * 32)


def test_calibration_is_named(world, tmp_path):
    """These ensembles are centred on the truth, so that it lies in their middle too often."""
    tables, _ = made([world / "one0"], tmp_path)
    calibration = tables["calibration"].query("region == 'global'")
    assert set(calibration["verdict"]) == {"over-dispersive"}
    p = tables["scores"].query("score == 'rank_chi2_p'")
    assert len(p) == len(tables["calibration"])
    assert (p["value"].to_numpy() == tables["calibration"]["p"].to_numpy()).all()


def test_a_run_against_itself_and_against_another(world, tmp_path):
    ours = [world / "one0", world / "one1"]
    same, _ = made(ours, tmp_path, others=ours)
    table = same["comparison"]
    assert (table[["difference", "low", "high"]].fillna(0) == 0).all().all()
    assert (table.query("score != 'ssr'")["p"] == 1).all()
    tables, _ = made(ours, tmp_path, others=[world / "two0", world / "two1"])
    table = tables["comparison"].query("score == 'rmse' and region == 'global'")
    assert (table["high"] < 0).all()
    assert (table["difference"] < 0).all()
    assert (table["value"] < table["other"]).all()
    assert table["p"].between(0, 1).all()


def test_events_by_value_and_by_percentile(world, tmp_path):
    tables, _ = made(
        [world / "one0"], tmp_path, events=("2m_temperature>285", "geopotential@500<q10")
    )
    scores = tables["scores"].query("region == 'global' and lead_hours == 6")
    brier = scores[scores["score"].str.startswith("brier:")].set_index("score")
    assert list(brier["variable"]) == ["2m_temperature", "geopotential"]
    reliability = tables["reliability"].query("region == 'global' and lead_hours == 6")
    data = xr.open_zarr(world / "one0" / "forecast.zarr").isel(init_time=0, lead_time=0)
    truth = xr.open_zarr(world / "waves.zarr")
    share = (data["2m_temperature"] > 285).mean("member")
    seen = truth["2m_temperature"].sel(time=data["valid_time"].values) > 285
    found = brier.loc["brier:2m_temperature>285", "value"]
    assert found == pytest.approx(mean((share - seen.astype(float)) ** 2), rel=1e-5)
    part = reliability.query("event == '2m_temperature>285'")
    assert part["count"].sum() == 16 * 32
    assert part["forecast_probability"].is_monotonic_increasing
    # of all states a tenth, by construction; of this one some other share
    low = truth["geopotential"].sel(level=500).astype(float)
    below = low.sel(time=data["valid_time"].values) < low.quantile(0.1, "time")
    part = reliability.query("event == 'geopotential@500<q10'")
    total = (part["observed_frequency"] * part["count"]).sum() / part["count"].sum()
    assert total == pytest.approx(float(below.mean()), abs=0.02)


def test_seasons_appear_when_there_are_several(tmp_path):
    source, results = tmp_path / "waves.zarr", []
    states = true_states(source, days=190)
    for i, start in enumerate(("2012-01-02", "2012-01-12", "2012-07-01")):
        results.append(export_forecast(tmp_path / f"r{i}", source, states, start, leads=1, seed=i))
    tables, _ = made(results, tmp_path / "store", baselines=())
    about = {"score": "rmse", "variable": "2m_temperature", "region": "global"}
    dates = {s: row(tables["scores"], season=s, **about)["dates"] for s in ("all", "DJF", "JJA")}
    assert dates == {"all": 3, "DJF": 2, "JJA": 1}


def test_an_analysis_is_scored_by_time_and_over_all_times(world, tmp_path):
    states = xr.open_zarr(world / "waves.zarr").load()
    times = pd.date_range("2012-01-02", "2012-01-11", freq="6h")
    result = export_analysis(tmp_path / "r", world / "waves.zarr", states, times)
    tables, _ = made([result], tmp_path / "store")
    scores = tables["scores"].query("score == 'rmse' and variable == 'mean_sea_level_pressure'")
    by_time = scores[scores["lead_hours"].notna()]
    assert set(by_time["region"]) == {"global"}
    assert len(by_time) == len(times)
    assert by_time["lead_hours"].max() == 216
    whole = scores[scores["lead_hours"].isna()].set_index("region")
    assert set(whole.index) == {
        "global", "tropics", "northern-extratropics", "southern-extratropics",
    }  # fmt: skip
    pooled = whole.loc["global"]
    assert pooled["value"] == pytest.approx(np.sqrt((by_time["value"] ** 2).mean()), rel=1e-4)
    assert pooled["low"] < pooled["value"] < pooled["high"]
    assert tables["departures"].empty


def test_physics_of_members_and_of_the_truth(world, tmp_path):
    tables, _ = made([world / "one0"], tmp_path, physics_states=2)
    physics = tables["physics"]
    assert set(physics["source"]) == {"members", "truth"}
    assert set(physics["lead_hours"]) == {6, 18}
    drift = physics.query("check == 'mass_drift' and source == 'members'").set_index("lead_hours")
    assert drift.loc[6, "value"] == 0
    data = xr.open_zarr(world / "one0" / "forecast.zarr").isel(init_time=0)
    pressure = data["mean_sea_level_pressure"].astype(float)
    moved = [
        mean(pressure.isel(member=m, lead_time=2)) - mean(pressure.isel(member=m, lead_time=0))
        for m in range(5)
    ]
    assert drift.loc[18, "value"] == pytest.approx(np.sqrt(np.mean(np.square(moved))), rel=1e-3)
    change = physics.query("check == 'tendency' and variable == '2m_temperature'")
    truth = xr.open_zarr(world / "waves.zarr")["2m_temperature"].astype(float)
    step = truth.sel(time="2012-01-02T12") - truth.sel(time="2012-01-02T06")
    found = row(change, source="truth", lead_hours=6)
    assert found["value"] == pytest.approx(mean(step**2) ** 0.5, rel=1e-4)
    power = tables["spectra"].query("variable == '2m_temperature' and lead_hours == 6")
    total = power.groupby("source")["power"].sum()
    field = data["2m_temperature"].astype(float).isel(lead_time=0)
    squares = np.mean([mean(field.isel(member=m) ** 2) for m in range(5)])
    assert total["members"] == pytest.approx(squares, rel=1e-3)
    assert total["mean"] == pytest.approx(mean(field.mean("member") ** 2), rel=1e-3)
    assert set(tables["tendencies"]["source"]) == {"members", "truth"}


def test_a_region_is_scored_and_has_no_spectra(world, tmp_path):
    states = xr.open_zarr(world / "waves.zarr").load()
    box = {"south": 20.0, "north": 70.0, "west": -30.0, "east": 40.0}
    result = export_forecast(
        tmp_path / "r", world / "waves.zarr", states, FIRST, leads=2, region=box
    )
    tables, _ = made([result], tmp_path / "store", physics_states=1)
    assert set(tables["scores"]["region"]) == {"global", "northern-extratropics"}
    assert tables["spectra"].empty
    assert set(tables["physics"]["check"]) >= {"hydrostatic", "moisture_negative", "mass"}


def test_only_known_leads_are_scored(world, tmp_path):
    states = xr.open_zarr(world / "waves.zarr").load()
    result = export_forecast(tmp_path / "r", world / "waves.zarr", states, "2012-01-10T12")
    write_zarr(states.isel(time=slice(0, 40)), tmp_path / "short.zarr")
    tables, _ = made([result], tmp_path / "store", truth=str(tmp_path / "short.zarr"))
    assert set(tables["scores"]["lead_hours"]) == {6}


def test_pieces_are_kept(world, tmp_path, monkeypatch):
    first = made([world / "one0"], tmp_path)[1]

    def refuse(*_args, **_kwargs):
        raise AssertionError("computed again")

    monkeypatch.setattr(evaluation_fields, "verify_ensemble", refuse)
    assert made([world / "one0"], tmp_path)[1].digest == first.digest
    job = evaluating.prepare_evaluation(
        [str(world / "one0")], [], evaluation_request(), str(tmp_path / "new")
    )
    with pytest.raises(AssertionError, match="computed again"):
        evaluate_fields(plan_fields(job.results[0])[0])


@pytest.mark.parametrize(
    "text", ["2m_temperature>303.15", "geopotential@500<q10", "specific_humidity@850>1e-05"]
)
def test_events_are_written_as_they_are_read(text):
    assert EventSpec.parse(text).name == text


@pytest.mark.parametrize(
    "text", ["hail>1", "2m_temperature>=280", "2m_temperature>1.2.3", "2m_temperature", "q90"]
)
def test_what_is_no_event_of_an_evaluation_is_refused(text):
    with pytest.raises(InputError, match="is no event"):
        EventSpec.parse(text)


def test_a_level_is_written_either_way():
    assert EventSpec.parse("temperature_850 < q5") == EventSpec.parse("temperature@850<q5")
    with pytest.raises(InputError, match="between 0 and 100"):
        EventSpec.parse("temperature_850<q100")
