"""An ARCO-shaped archive on a network that fails is ingested without loss."""

import numpy as np
import pandas as pd
import pytest

from appa_core.errors import DataError
from appa_core.io.sources import Retry, SourceSpec, open_source
from appa_core.schema import Grid, StateSchema
from appa_core.steps import ingest
from appa_core.steps.ingest import IngestJob, ingest_unit, plan_ingest
from tests.era5_like import remove_chunk, write_arco
from tests.flaky_server import FlakyServer, Plan

pytest.importorskip("aiohttp", reason="aiohttp is not installed: no https sources")

SCHEMA = StateSchema.build(
    ("2m_temperature", "sea_surface_temperature", "total_precipitation_6hr"),
    ("temperature", "geopotential"),
    (500, 850),
    Grid.equiangular(9, 18),
    6,
)
START, END = pd.Timestamp("2020-01-01T06"), pd.Timestamp("2020-01-02T06")
FAULTS = Plan(seed=3, unavailable=0.15, cut=0.1, short=0.1, slow=0.05, slow_seconds=1.0)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Retries do not wait, late answers are given up soon, every source is opened anew."""
    retry = Retry(attempts=12, timeout_seconds=0.5, sleep=lambda _: None)
    monkeypatch.setattr(ingest, "_opened", lambda source, _: open_source(source, retry))


@pytest.fixture
def folder(tmp_path):
    write_arco(tmp_path / "arco.zarr", 3, hours=36, final_hours=24)
    return tmp_path


def ingested(folder, url, store):
    source = SourceSpec("arco", "zarr", (url,), fingerprint="arco")
    job = IngestJob(str(folder / store), source, SCHEMA, 2)
    for unit in plan_ingest(job, START, END):
        ingest_unit(unit)
    return job.cube()


def test_nothing_is_lost_on_the_way(folder):
    near = ingested(folder, str(folder / "arco.zarr"), "near")
    with FlakyServer(folder, FAULTS) as server:
        far = ingested(folder, f"{server.url}/arco.zarr", "far")
        assert min(server.faults[k] for k in ("unavailable", "cut", "short", "slow")) > 0
    assert far.digest() == near.digest()
    states = far.read(far.times())
    land = np.isnan(states["sea_surface_temperature"].values)
    assert 0 < land.mean() < 1
    assert np.array_equal(land[0], land[-1])
    assert states["temperature"].notnull().all()


def test_states_after_the_final_ones_are_marked(folder):
    with FlakyServer(folder) as server:
        cube = ingested(folder, f"{server.url}/arco.zarr", "store")
    final = {str(r.last): not r.preliminary for r in cube.records()}
    assert final == {
        "2020-01-01 06:00:00": True,
        "2020-01-01 18:00:00": True,
        "2020-01-02 00:00:00": False,
    }


def test_a_chunk_that_is_not_there_is_refused_and_whole_blocks_stay(folder):
    remove_chunk(folder / "arco.zarr", "temperature", 18, 3)
    with FlakyServer(folder) as server, pytest.raises(DataError, match=r"temperature"):
        ingested(folder, f"{server.url}/arco.zarr", "store")
    source = SourceSpec("arco", "zarr", (str(folder / "arco.zarr"),), fingerprint="arco")
    assert len(IngestJob(str(folder / "store"), source, SCHEMA, 2).cube().times()) == 1
