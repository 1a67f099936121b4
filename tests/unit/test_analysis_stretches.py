"""How an analysis lays out its stretches, and what each is told of the states that it is given."""

from dataclasses import dataclass, replace

import pandas as pd
import pytest

from appa_core.config.build_method import build_method
from appa_core.config.methods import load_method
from appa_core.io.store import Artifact
from appa_core.observations.table import ObservationTable
from appa_core.steps import analysis
from appa_core.steps.analysis import AnalysisJob, MembersOrder, draw_members
from tests.from_observations import some_reports

TIMES = pd.date_range("2024-01-01", periods=14, freq="6h")


@dataclass(frozen=True)
class Sizes:
    states: int = 6
    known_states: int = 2
    step_hours: int = 6
    chained_doubt: float = 0.3


class FakePreset:
    def __init__(self, sizes):
        self.denoiser = self.sampling = self.state = sizes


class FakeDrawing:
    """What of a drawing a plan looks at."""

    draws_states, model_key, seed = False, "", 0

    def __init__(self, **sizes):
        self.preset, self.method = FakePreset(Sizes(**sizes)), load_method("reanalysis")
        self.sampler = build_method(self.method, self.preset.denoiser.states)

    def hashed(self):
        return {}


def job(observations=None, ahead_states=None, **sizes):
    return AnalysisJob(FakeDrawing(**sizes), TIMES, 2, observations, ahead_states=ahead_states)


@pytest.mark.parametrize(
    ("states", "known", "ahead"),
    [(6, 2, 2), (3, 2, 0), (4, 2, 1), (5, 1, 2), (12, 2, 5)],
)
def test_a_stretch_looks_half_of_what_it_draws_ahead(states, known, ahead):
    plan = job(states=states, known_states=known).plan
    assert plan.ahead_states == ahead
    assert job(states=states, known_states=known, ahead_states=0).plan.ahead_states == 0


@pytest.fixture
def units(monkeypatch):
    """Records what would be drawn, given a table."""

    def record(table, **changes):
        found = []

        def keep(_store, unit, _known, **_):
            found.append(unit)
            return Artifact("", {"key": str(len(found))})

        monkeypatch.setattr(analysis, "keep_stretch", keep)
        monkeypatch.setattr(analysis, "kept_observations", lambda _: table)
        order = MembersOrder("memory://stretches", job(Artifact("", {"key": ""})), range(2))
        draw_members(MembersOrder(**{**vars(order), **changes}))
        return found

    return record


def test_states_that_observations_hold_are_given_as_they_are(units):
    """The prior, and what no report reaches, goes on with the doubt of a forecast."""
    early = some_reports(TIMES[:6])
    found = units(early)
    doubts = {bool(len(unit.rows)): unit.doubt for unit in found}
    assert doubts == {True: 0.0, False: 0.3}
    assert {unit.doubt for unit in units(early, is_prior=True)} == {0.3}
    assert {unit.doubt for unit in units(ObservationTable.empty())} == {0.3}
    assert len({replace(found[0], doubt=doubt).recipe.key for doubt in (0.0, 0.1)}) == 2
