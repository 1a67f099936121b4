"""Evaluations of what the flows make, with real Prefect, on a model trained for seconds."""

import os

import numpy as np
import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

from appa_core.errors import InputError
from flows.deployed import evaluation_job
from flows.evaluate import evaluate, newest_result, print_summary
from flows.filtering import filtering
from flows.forecast import forecast
from tests.from_observations import SPEC, contents, settings


@pytest.fixture(scope="module", autouse=True)
def prefect():
    with prefect_test_harness(server_startup_timeout=120):
        yield


def made(tiny_world, folder, start="2012-02-10", **changes):
    return forecast(
        start, lead_hours=24, members=3, model=str(tiny_world.model),
        source=str(tiny_world.sample), store=str(folder / "store"), **changes,
    ).output  # fmt: skip


def shown(key):
    """Lines of an artifact."""
    with get_client(sync_client=True) as client:
        found = {a.key: a for a in client.read_artifacts()}
    return found[key].data.splitlines()


def test_a_forecast_is_evaluated(tiny_world, tmp_path, capsys):
    result = made(tiny_world, tmp_path, output=str(tmp_path / "out"))
    store = str(tmp_path / "store")
    found = evaluate([str(result)], store=store, physics_states=2, resamples=50)
    assert found.output == result / "evaluation"
    tables = {p.stem: pd.read_csv(p) for p in found.output.glob("*.csv")}
    scores = tables["scores"].query("season == 'all' and region == 'global'")
    # the flow's own table is of the same states
    own = pd.read_csv(result / "scores.csv").query("variable == '2m_temperature'")
    for forecast_, score, column in (
        ("ensemble", "rmse", "rmse"), ("ensemble", "crps_ensemble", "crps"),
        ("ensemble", "ssr", "ssr"), ("persistence", "rmse", "rmse_persistence"),
        ("climatology", "rmse", "rmse_climatology"),
    ):  # fmt: skip
        part = scores.query(
            f"forecast == '{forecast_}' and score == '{score}' and variable == '2m_temperature'"
        )
        np.testing.assert_allclose(part["value"], own[column], rtol=2e-5)
    acc = scores.query("score == 'acc'")
    assert acc[acc["forecast"] == "climatology"]["value"].eq(0).all()
    assert acc["value"].between(-1, 1).all()
    assert set(tables["physics"]["source"]) == {"members", "truth", "autoencoder"}
    assert set(tables["spectra"]["source"]) == {"members", "mean", "truth", "autoencoder"}
    assert evaluation_job([str(result)], store=store, resamples=50) == str(found.output)
    found = evaluate([str(result)], store=store, physics_states=2, resamples=50)
    before = contents(found.output)
    again = evaluate([str(result)], store=store, physics_states=2, resamples=50)
    assert contents(again.output) == before
    # the forecast stays what it was
    assert made(tiny_world, tmp_path, output=str(tmp_path / "out")) == result
    assert (result / "evaluation").is_dir()
    # what Prefect shows is what the tables say
    page = shown("evaluation-of-out")
    assert {"## Scores", "## Spread and error", "## Rank histograms", "## Spectra"} <= {*page}
    assert sum("](data:image/png;base64," in line for line in page) == 3
    heads = [cell.strip() for cell in next(x for x in page if x.startswith("| field")).split("|")]
    assert heads[1:-1] == [
        "field", "lead (h)", "RMSE", "of persistence", "of climatology", "CRPS",
        "spread/skill", "ACC", "unit",
    ]  # fmt: skip
    (line,) = (x for x in page if x.startswith("| T2m | 24 |"))
    told = dict(zip(heads, (cell.strip() for cell in line.split("|")), strict=True))
    at = own.set_index("lead_hours").loc[24]
    assert float(told["RMSE"]) == pytest.approx(at["rmse"], rel=0.01)
    assert float(told["of persistence"]) == pytest.approx(at["rmse_persistence"], rel=0.01)
    assert float(told["spread/skill"]) == pytest.approx(at["ssr"], rel=0.01)
    assert told["unit"] == "K"
    print_summary(again)
    assert "rank histograms" in capsys.readouterr().out


def test_the_newest_result_is_that_exported_last(tmp_path):
    for name, stamp in (("a", 3), ("b", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
        os.utime(tmp_path / name / "manifest.json", (stamp, stamp))
    (tmp_path / "c").mkdir()
    assert newest_result(str(tmp_path)) == [str(tmp_path / "a")]
    with pytest.raises(InputError, match="no result below"):
        newest_result(str(tmp_path / "c"))


def test_runs_of_several_dates_are_compared(tiny_world, tmp_path):
    runs = {}
    for seed in (0, 1):
        runs[seed] = [
            str(made(tiny_world, tmp_path, s, seed=seed, output=str(tmp_path / f"{s}-{seed}")))
            for s in ("2012-02-08", "2012-02-12")
        ]
    found = evaluate(
        runs[0], against=runs[1], store=str(tmp_path / "store"), output=str(tmp_path / "both"),
        physics_states=0, resamples=50,
    )  # fmt: skip
    table = pd.read_csv(found.output / "comparison.csv")
    assert (table["dates"] == 2).all()
    assert table["p"].dropna().between(0, 1).all()
    assert (table["low"] <= table["high"] + 1e-12).all()


def test_an_analysis_and_a_forecast_from_observations(tiny_world, tmp_path):
    cycles = filtering("2012-02-08", **settings(tiny_world, tmp_path, cycles=3, withhold=0.3))
    observed = made(
        tiny_world, tmp_path, "2012-02-12", observations=SPEC, assimilation_hours=12,
        output=str(tmp_path / "observed"),
    )  # fmt: skip
    for result, leads in ((cycles.output, {0, 6, 12}), (observed, {6, 12, 18, 24})):
        found = evaluate(
            [str(result)], store=str(tmp_path / "store"), physics_states=1, resamples=50
        )
        departures = pd.read_csv(found.output / "departures.csv")
        assert set(departures["platform"]) == {"station", "orbiter"}
        used = departures[departures["used"] == "used"]
        assert (used["std_analysis"] < used["std_background"]).all()
        assert used["error_assigned"].gt(0).all()
        scores = pd.read_csv(found.output / "scores.csv")
        assert set(scores["lead_hours"].dropna()) == leads
    withheld = pd.read_csv(cycles.output / "evaluation" / "departures.csv")
    withheld = withheld[withheld["used"] == "withheld"]
    assert len(withheld)
    assert withheld["error_ratio"].isna().all()
    assert withheld["crps_analysis"].gt(0).all()
