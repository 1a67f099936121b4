"""Alerts on data that are missing and on skill that drifts."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from appa_core.errors import InputError
from appa_core.io.store import ArtifactStore, Recipe
from appa_core.metrics.drift import drift
from appa_core.steps.health import Holding, Skill, alerts, holdings, skills
from appa_core.steps.step import run_step
from tasks.watching.health import write_health
from tests.fuzzing import run

NOW = pd.Timestamp("2012-03-01")
LIMITS = {"late_hours": 24.0, "drift_limit": 0.2}


def test_drift_is_the_growth_of_recent_errors():
    assert drift([1.0] * 5 + [1.2] * 3) == pytest.approx(0.2)
    assert drift([2.0] * 5 + [1.0] * 3) == pytest.approx(-0.5)
    assert drift([1, 2, 1, 2, 1.5, 1.5], recent=2, least=4) == pytest.approx(0.0)


def test_drift_of_too_little_is_not_said():
    assert drift([1.0] * 7) is None
    assert drift([1.0] * 7 + [np.nan] * 5) is None
    assert drift([]) is None
    with pytest.raises(InputError, match="1 or more"):
        drift([1.0] * 9, recent=0)


def test_drift_does_not_depend_on_the_unit():
    scores = np.random.default_rng(0).uniform(1, 2, 20)
    assert drift(1000 * scores) == pytest.approx(drift(scores))


def holding(**changes):
    of = {"source": "era5", "url": "x", "states": 8, "last": NOW, "gaps": ()}
    return Holding(**of | changes)


@pytest.mark.parametrize(
    ("held", "measured", "words"),
    [
        ([holding()], [Skill("t 850", 9, 0.5, 0.1)], []),
        ([], [Skill("t 850", 2, 0.5, None)], []),
        ([holding(last=NOW - pd.Timedelta(hours=24))], [], []),
        ([holding(last=NOW - pd.Timedelta(hours=25))], [], ["era5: no states for more than 24 h"]),
        (
            [holding(last=None, states=0)],
            [],
            ["era5: no states for more than 24 h, there"],
        ),
        ([holding(gaps=((NOW, NOW),) * 2)], [], ["era5: no states from"] * 2),
        ([], [Skill("t 850", 9, 0.5, 0.21)], ["t 850: error has grown by 21%, limit 20%"]),
    ],
)
def test_alerts(held, measured, words):
    found = alerts(held, measured, NOW, **LIMITS)
    assert len(found) == len(words)
    assert all(text.startswith(word) for text, word in zip(found, words, strict=True))


def scored(store, number, ratio):
    """A scored forecast whose error is so many times that of climatology."""

    def build(folder):
        rows = [("temperature", 850, 24, ratio, 1.0), ("temperature", 850, 48, 9.0, 1.0)]
        names = ["variable", "level", "lead_hours", "rmse", "rmse_climatology"]
        pd.DataFrame(rows, columns=names).to_csv(folder / "scores.csv", index=False)
        return {"rows": 2}

    made = run_step(store, Recipe("scores", 1, {"number": number}, {}), build)
    path = store._root + f"/scores/{made.key}/manifest.json"
    content = json.loads(Path(path).read_text())
    content["provenance"]["created"] = f"2024-01-{number:02d}T00:00:00Z"
    Path(path).write_text(json.dumps(content))


def test_skill_is_read_in_order_of_time(tmp_path):
    store = ArtifactStore(tmp_path)
    ratios = [0.5] * 5 + [0.75] * 3
    for number in (8, 1, 5, 3, 7, 2, 6, 4):
        scored(store, number, ratios[number - 1])
    (skill,) = skills(store)
    assert (skill.field, skill.forecasts, skill.last) == ("temperature 850", 8, 0.75)
    assert skill.drift == pytest.approx(0.5)


def test_holdings_are_those_of_the_store(tiny_world):
    (held,) = holdings(tiny_world.store)
    assert held.source == "nature"
    assert held.gaps == ()
    assert held.age_hours(held.last + pd.Timedelta(hours=6)) == 6.0


def test_health_as_metrics(tmp_path):
    held, measured = [holding(last=NOW - pd.Timedelta(hours=2))], [Skill("t 850", 9, 0.5, 0.3)]
    found = alerts(held, measured, NOW, **LIMITS)
    write_health(tmp_path / "appa.prom", held, measured, found, NOW)
    families = text_string_to_metric_families((tmp_path / "appa.prom").read_text())
    values = {s.name: s.value for family in families for s in family.samples}
    assert values == {
        "appa_states_age_seconds": 7200.0,
        "appa_states_gaps": 0.0,
        "appa_skill_ratio": 0.5,
        "appa_skill_drift": 0.3,
        "appa_alerts": 1.0,
    }


@pytest.mark.parametrize(("now", "status"), [("2012-02-21", 0), ("2012-03-21", 1)])
def test_the_command_ends_with_what_it_found(tiny_world, tmp_path, now, status):
    argv = ["--store", tiny_world.store.url, "--now", now, "--metrics", "m.prom"]
    ended = run("monitor", argv, tmp_path / "here")
    assert ended.status == status, str(ended)
    assert ("alert     nature: no states" in ended.out) == bool(status)
    assert (tmp_path / "here/m.prom").exists()
