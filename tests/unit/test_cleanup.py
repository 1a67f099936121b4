"""What is removed from a store, and what never is."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appa_core.errors import BusyError, InputError, IntegrityError
from appa_core.io.cleanup import clean_up, plan_cleanup
from appa_core.io.day_ledger import DayLedger, DayRecord
from appa_core.io.inventory import closure, holdings
from appa_core.io.lock import StoreLock
from appa_core.io.store import ArtifactStore, Recipe
from appa_core.steps.step import run_step
from flows.cleanup import cleanup

LATER, EARLIER = pd.Timestamp("2100-01-01"), pd.Timestamp("2000-01-01")


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "store")


def make(store, step, name, *parents, skip=""):
    recipe = Recipe(
        step, 1, {"name": name}, {f"p{i}": p.key + skip for i, p in enumerate(parents)}
    )

    def build(folder):
        (folder / "file").write_text(name)
        return {}

    return run_step(store, recipe, build)


def age(artifact, created="2001-01-01T00:00:00Z"):
    """Make an artifact look as if it had been made then."""
    path = Path(artifact.url, "manifest.json")
    manifest = json.loads(path.read_text())
    manifest["provenance"]["created"] = created
    path.write_text(json.dumps(manifest))


def names(plan):
    return {(h.step, h.manifest["config"]["name"]) for h in plan.remove}


def test_what_a_younger_artifact_was_made_from_stays(store):
    first = make(store, "analysis-stretch", "first")
    second = make(store, "analysis-stretch", "second", first)
    fields = make(store, "reanalysis-fields", "fields", second, skip="+2")
    other = make(store, "reanalysis-fields", "other", first)
    for artifact in (first, second, other):
        age(artifact)
    assert names(plan_cleanup(store, EARLIER)) == set()
    assert names(plan_cleanup(store, pd.Timestamp("2010-01-01"))) == {
        ("reanalysis-fields", "other")
    }
    age(fields)
    plan = clean_up(store, pd.Timestamp("2010-01-01"))
    assert len(plan.remove) == 4
    assert plan.kept == 0
    assert not list(holdings(store))


def test_trainings_stay_with_what_they_were_made_from(store):
    drawn = make(store, "observations", "of a training")
    make(store, "train-denoiser", "weights", drawn)
    report = make(store, "report", "report")
    assert names(plan_cleanup(store, LATER)) == {("report", "report")}
    assert names(plan_cleanup(store, LATER, frozenset({"observations"}))) == set()
    clean_up(store, LATER)
    assert store.get("observations", drawn.key).digest == drawn.digest
    with pytest.raises(InputError, match="holds no report"):
        store.get("report", report.key)


def test_days_of_a_series_stay_with_what_they_refer_to(store):
    stretch = make(store, "analysis-stretch", "stretch")
    fields = make(store, "reanalysis-fields", "fields", stretch)
    last = make(store, "analysis-stretch", "last", stretch)
    superseded = make(store, "reanalysis-fields", "superseded", stretch)
    record = DayRecord(
        "2024-01-01", "k", "i", "", {"fields": ("reanalysis-fields", fields.key)},
        (((0, 2, "analysis-stretch", last.key, 1),),), fields.digest, 1.0, "2024-01-02T00:00:00Z",
    )  # fmt: skip
    ledger = DayLedger(store, "series")
    ledger.add(record)
    assert ledger.find(pd.Timestamp("2024-01-01")) == record
    assert names(plan_cleanup(store, LATER)) == {("reanalysis-fields", "superseded")}
    assert superseded.key not in record.needs


def test_a_store_in_use_is_left_alone(store):
    make(store, "report", "report")
    with (
        StoreLock(DayLedger(store, "series").lease(pd.Timestamp("2024-01-01"))),
        pytest.raises(BusyError, match="is being written by"),
    ):
        clean_up(store, LATER)
    assert len(clean_up(store, LATER).remove) == 1


def test_a_damaged_manifest_stops_it(store):
    first = make(store, "analysis-stretch", "first")
    second = make(store, "report", "second", first)
    Path(second.url, "manifest.json").write_text("{")
    with pytest.raises(IntegrityError, match=f"what report/{second.key}.*is not known"):
        clean_up(store, LATER)
    shutil.rmtree(second.url)
    assert names(clean_up(store, LATER)) == {("analysis-stretch", "first")}


def test_what_has_no_manifest_yet_stays(store):
    report = make(store, "report", "report")
    Path(report.url, "manifest.json").unlink()
    plan = plan_cleanup(store, LATER)
    assert plan.remove == ()
    assert plan.kept == 1


def test_children_go_before_parents(store):
    chain = [make(store, "analysis-stretch", "0")]
    for i in range(1, 5):
        chain.append(make(store, "analysis-stretch", str(i), chain[-1]))
    removed = [h.key for h in plan_cleanup(store, LATER).remove]
    assert removed == [artifact.key for artifact in reversed(chain)]


def test_a_dry_run_removes_nothing_and_a_day_is_the_least(store):
    report = make(store, "report", "report")
    age(report)
    assert len(cleanup(store.url, dry_run=True).remove) == 1
    assert store.get("report", report.key)
    with pytest.raises(InputError, match="expected 1 or more"):
        cleanup(store.url, 0.5)
    with pytest.raises(InputError, match="--steps train-denoiser: expected some of"):
        cleanup(store.url, steps=["train-denoiser"])


graphs = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        *(
            st.sets(st.integers(0, max(i - 1, 0)), max_size=3) if i else st.just(set())
            for i in range(n)
        )
    )
)


@given(graphs, st.sets(st.integers(0, 11)))
def test_a_closure_is_closed_and_no_larger_than_it_must_be(parents, wanted):
    needs = {str(i): {str(p) for p in some} for i, some in enumerate(parents)}
    start = {str(i) for i in wanted if str(i) in needs}
    found = closure(start, needs)
    assert start <= found
    assert all(needs[key] <= found for key in found)
    # each is wanted, or something in it was made from it
    assert all(key in start or any(key in needs[other] for other in found) for key in found)
