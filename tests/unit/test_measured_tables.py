"""How measurements become tables, and tables Markdown."""

import argparse
import json
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from appa_core.errors import InputError
from appa_core.steps.models import load_model
from benchmarks import experiments, observing, real_places
from benchmarks.experiments import Plan
from benchmarks.observed import Laboratory
from benchmarks.observed_scores import Scores, Verification
from benchmarks.shown import show
from benchmarks.tables import MeasuredTable, changed_options, markdown, ratio
from tasks.catalog import model_folder, state_source

DATES = ("2023-12-18", "2023-12-27", "2024-01-05")


def test_a_number_is_shown_with_its_bounds():
    rows = pd.DataFrame({"x": ["a", "b"], "r": [0.5, 0.6], "r_low": [0.4, np.nan]})
    rows["r_high"] = [0.75, np.nan]
    assert markdown(rows, {"r": ".2f"}, {"r": "ratio"}).splitlines() == [
        "| x | ratio |",
        "|---|---|",
        "| a | 0.50 (0.40 .. 0.75) |",
        "| b | 0.60 |",
    ]


def test_four_digits_are_shown_zeros_among_them():
    rows = pd.DataFrame({"v": [0.581, 243.04, 87.0, 5678.2, 86.22]})
    shown = markdown(rows, {}).splitlines()[2:]
    assert shown == ["| 0.5810 |", "| 243.0 |", "| 87.00 |", "| 5678 |", "| 86.22 |"]


def test_an_interval_is_students_over_dates():
    half = 4.302653 * 0.1 / 3**0.5
    found = ratio("r", [0.4, 0.5, 0.6], [1.0, 1.0, 1.0])
    assert found == pytest.approx({"r": 0.5, "r_low": 0.5 - half, "r_high": 0.5 + half})
    assert np.isnan(ratio("r", [0.4], [1.0])["r_low"])


def test_the_command_has_the_options_that_bear_on_numbers():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dates", nargs="+", default=DATES)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--lead-hours", type=int, default=120)
    names = ("dates", "members", "lead_hours")
    assert changed_options(parser, parser.parse_args([]), names) == ""
    given = parser.parse_args(["--dates", "2024-01-01", "2024-01-02", "--lead-hours", "48"])
    said = changed_options(parser, given, names)
    assert said == " --dates 2024-01-01 2024-01-02 --lead-hours 48"


def test_ranks_that_are_independent_are_tested():
    """(10 - 20)^2 / 20 twice is 10 at two degrees of freedom: p = exp(-5)."""
    both = [("one", True, [10, 20, 30]), ("all", False, [50, 25, 25])]
    rows = pd.DataFrame(
        [
            {"readings": name, "independent": independent, "rank": n, "count": count}
            for name, independent, counts in both
            for n, count in enumerate(counts)
        ]
    )
    assert show("reanalysis-ranks", rows).splitlines()[2:] == [
        "| one | 60 | 0.167 | 0.333 | 0.500 | 10.0 | 0.007 |",
        "| all | 100 | 0.500 | 0.250 | 0.250 |  |  |",
    ]


class Drawn:
    """A laboratory whose analyses are the names of what was asked."""

    weights, data, seed, members = "w", "d f", 0, 8

    def network(self, spec, *_):
        return spec

    def analyse(self, spec, date, _, method, table=None):
        empty = table is not None
        return SimpleNamespace(
            posterior=(method, spec, empty, date), prior=("prior", spec, empty, date)
        )


def scores_of(_, ensemble):
    """Of the size of the date's place, smaller by method and by stations."""
    method, _spec, empty, date = ensemble
    size = 1.0 + DATES.index(date)
    error = {"reanalysis": 0.4, "optimal-interpolation": 0.8, "prior": 1.2}[method]
    if empty:
        error = 1.2
    base = np.full(4, size**2)
    return Scores(base * error**2, base * error**2 * 0.81, np.sqrt(base) * error, base)


def verification(_, table):
    assert table == experiments.INDEPENDENT
    times = pd.to_datetime(["2024-01-01", "2024-01-01", "2024-01-02", "2024-01-02"])
    frame = pd.DataFrame({"quantity": ["2m_temperature"] * 4, "valid_time": times})
    return Verification(frame.assign(crps=0.5, crps_prior=2.0, rank=[0, 0, 4, 4]), 4)


@pytest.fixture
def plan(monkeypatch):
    monkeypatch.setattr(experiments.Scores, "of", staticmethod(scores_of))
    monkeypatch.setattr(experiments.Verification, "of", staticmethod(verification))
    return Plan(Drawn(), DATES)


def test_a_reanalysis_is_compared_in_pairs(plan):
    tables = observing.measure("reanalysis", plan, "python -m x")
    about = tables["reanalysis"].about
    assert about["starts"] == "3 from 2023-12-18 to 2024-01-05"
    assert (about["weights"], about["seed"], about["method"]) == ("w", "0", "reanalysis")
    row = tables["reanalysis"].rows.iloc[0]
    assert row["rmse"] == pytest.approx(0.4 * np.sqrt((1 + 4 + 9) / 3))
    names = ("to_climatology", "interpolation_to_climatology", "to_interpolation", "crps_to_prior")
    for name, value in zip(names, (0.4, 0.8, 0.5, 1 / 3), strict=True):
        assert row[[name, f"{name}_low", f"{name}_high"]].tolist() == pytest.approx([value] * 3)
    assert row[["ssr", "ssr_low", "ssr_high"]].tolist() == pytest.approx([0.9] * 3)
    stations = tables["reanalysis-stations"].rows
    assert stations[["crps", "crps_to_prior"]].to_numpy() == pytest.approx(np.array([[0.5, 0.25]]))
    ranks = tables["reanalysis-ranks"].rows
    assert ranks[ranks["independent"]]["count"].tolist() == [3, 0, 0, 0, 3]
    assert ranks[~ranks["independent"]]["count"].tolist() == [6, 0, 0, 0, 6]


def test_without_stations_the_prior_comes_back(plan):
    rows = observing.measure("stations", plan, "python -m x")["stations"].rows
    assert rows["stations"].tolist() == ["0 %", "0.1 %", "1 %", "10 %"]
    assert rows["T2m"].tolist() == pytest.approx([1.2, 0.4, 0.4, 0.4])


def test_what_is_measured_is_what_the_page_shows(plan, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(observing, "Laboratory", lambda *_: plan.lab)
    command = ["--experiments", "stations", "--dates", *DATES, "--write-tables", str(tmp_path)]
    observing.main(command)
    kept = MeasuredTable.read(tmp_path / "stations.csv")
    said = f"python -m benchmarks.observing --experiments stations --dates {' '.join(DATES)}"
    assert kept.about["command"] == said
    assert show("stations", kept.rows) in capsys.readouterr().out
    with pytest.raises(InputError, match="quick"):
        observing.main([*command, "--quick"])


def test_the_laboratory_names_its_weights_and_data():
    lab, source = Laboratory(""), state_source("sample")
    assert lab.weights == load_model(model_folder("small")).key
    assert lab.data == f"sample {source.fingerprint}"


def test_scores_at_real_places_are_pooled(tmp_path, monkeypatch):
    """RMSE 3 and 4 pool to sqrt(12.5); their ratio to climatology's 5 and 5 follows."""
    fields = [("geopotential", 500.0), ("temperature", 850.0), ("u_component_of_wind", 850.0)]
    scores = pd.DataFrame(
        [
            {"variable": v, "level": level, "rmse": rmse, "rmse_climatology": 5.0, "ssr": 0.8}
            for v, level in [*fields, ("2m_temperature", np.nan)]
            for rmse in (3.0, 4.0)
        ]
    )
    departures = pd.DataFrame(
        {
            "status": ["withheld", "withheld", "withheld", "used"],
            "quantity": ["temperature"] * 4,
            "analysis_crps": [1.0, 2.0, np.nan, 9.0],
            "background_crps": [2.0, 4.0, 1.0, 1.0],
        }
    )
    request = {"start": "a", "end": "b", "members": 4, "seed": 0, "method": "m", "withhold": 0.1}
    request["observations"] = "simulated:like=/here/2005*.nc+/there/x.bufr,like_every_hours=12"
    manifest = {"request": request, "model": {"key": "w"}}
    manifest["truth"] = {"name": "sample", "fingerprint": "f"}
    scores.to_csv(tmp_path / "scores.csv")
    departures.to_parquet(tmp_path / "observations.parquet")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    out = tmp_path / "tables"
    argv = ["real_places", str(tmp_path), "--write-tables", str(out)]
    monkeypatch.setattr(sys, "argv", argv)
    real_places.main()
    kept = MeasuredTable.read(out / "real-places.csv")
    assert "like=2005*.nc+x.bufr,like_every_hours=12" in kept.about["command"]
    assert kept.about["rows"] == "4"
    row = kept.rows.set_index("field").loc["Z500"]
    expected = [12.5**0.5, 12.5**0.5 / 5, 0.8]
    assert row[["rmse", "to_climatology", "ssr"]].tolist() == pytest.approx(expected, rel=1e-5)
    withheld = MeasuredTable.read(out / "real-places-withheld.csv").rows
    assert withheld.to_dict("records") == [
        {"quantity": "temperature", "rows": 2, "crps_to_prior": 0.5}
    ]
