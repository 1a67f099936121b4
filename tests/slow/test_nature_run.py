"""The simulator itself: `make slow`, with the `simulate` extra installed."""

import numpy as np
import pandas as pd
import pytest

from appa_core.config.presets import load_preset
from appa_core.io.datasets import StateArchive
from appa_core.io.store import ArtifactStore
from appa_core.steps.simulate import STATES, simulate_nature_run

pytestmark = pytest.mark.slow


def chunks(folder, end):
    pytest.importorskip("jcm", reason="needs the simulate extra")
    short = {"spin_up_days": 5, "chunk_days": 2}
    nature = load_preset("tiny").simulated().model_copy(update=short)
    schema = load_preset("tiny").state.build()
    return list(simulate_nature_run(ArtifactStore(folder), nature, schema, pd.Timestamp(end)))


def test_a_run_that_is_stopped_and_resumed_gives_the_same_bytes(tmp_path):
    whole = chunks(tmp_path / "a", "2023-12-21")
    chunks(tmp_path / "b", "2023-12-17")
    resumed = chunks(tmp_path / "b", "2023-12-21")
    assert [c.digest for c in resumed] == [c.digest for c in whole]


def test_states_are_weather(tmp_path):
    archive = StateArchive([c.locate(STATES) for c in chunks(tmp_path, "2023-12-19")])
    assert str(archive.times[0]) == "2023-12-15 00:00:00"
    assert (np.diff(archive.times) == np.timedelta64(6, "h")).all()
    data = archive.read(archive.times)
    assert 230 < float(data["2m_temperature"].min()) < float(data["2m_temperature"].max()) < 330
    thickness = data["geopotential"].sel(level=500) - data["geopotential"].sel(level=850)
    assert (thickness > 0).all()
    assert float(data["total_precipitation_6hr"].min()) >= 0
