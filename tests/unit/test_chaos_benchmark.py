"""How disturbed runs are judged: by hand-worked logs and stores."""

import json
import shutil
from pathlib import Path

import pytest

from appa_core.io.day_ledger import DayLedger, DayRecord
from appa_core.io.store import ArtifactStore, Recipe
from appa_core.steps.step import run_step
from benchmarks.chaos import Campaign
from benchmarks.chaos_jobs import JOBS, STORE, Work, events, store_digest
from benchmarks.chaos_report import Round, faults, report
from benchmarks.queued import Queue


def line(event, step="encode", key="k", **facts):
    return json.dumps({"event": event, "step": step, "key": key, **facts})


def test_work_that_was_begun_twice_is_counted(tmp_path):
    log = tmp_path / "events.jsonl"
    lines = [
        line("begun", block="a"), line("committed", block="a"),
        line("begun", block="b"),  # killed
        line("begun", block="b"), line("committed", block="b"),
        line("found", block="a"),
        line("begun", "scores", "s"), line("committed", "scores", "s"),
        *(line("trained", "train", iteration=i) for i in (1, 2, 3, 2, 3, 4)),
        '{"event": "begun", "st',  # cut short by a kill
        "no json", "3",
    ]  # fmt: skip
    log.write_text("\n".join(lines) + "\n")
    work = Work.read(log)
    assert (work.committed, work.repeated, work.iterations) == (3, 1, 2)
    assert work.units == 2  # two iterations are a part of one interval
    start = len("\n".join(lines[:6])) + 1
    assert Work.read(log, start) == Work(1, 0, 2)
    assert len(list(events(tmp_path / "none"))) == 0


def make(store, name, text):
    recipe = Recipe(name, 1, {}, {})
    run_step(ArtifactStore(store), recipe, lambda folder: (folder / "x").write_text(text) and {})


def test_the_digest_is_that_of_data(tmp_path, tiny_world):
    shutil.copytree(tiny_world.store.url, tmp_path / "a")
    first = store_digest(tmp_path / "a")
    assert first == store_digest(tiny_world.store.url)
    make(tmp_path / "a", "train-x-checkpoint", "1")
    (tmp_path / "a/.staging").mkdir(exist_ok=True)
    assert store_digest(tmp_path / "a") == first
    make(tmp_path / "a", "scores", "1")
    assert store_digest(tmp_path / "a") != first


def test_the_digest_does_not_depend_on_when(tmp_path):
    for store, names in (("a", ("x", "y")), ("b", ("y", "x"))):
        for name in names:
            make(tmp_path / store, name, name)
    assert store_digest(tmp_path / "a") == store_digest(tmp_path / "b")


def test_days_are_data_and_the_time_they_took_is_not(tmp_path):
    def add(store, **changes):
        content = {
            "day": "2024-01-01", "key": "k", "inputs": "i", "previous": "", "artifacts": {},
            "pieces": (), "digest": "d", "wall_seconds": 1.0, "created": "now",
        }  # fmt: skip
        DayLedger(ArtifactStore(tmp_path / store), "series").add(DayRecord(**content | changes))
        return store_digest(tmp_path / store)

    first = add("a")
    assert add("b", wall_seconds=2.0, created="later") == first
    assert add("c", digest="e") != first
    assert add("a", day="2024-01-02") != first


def test_what_is_wrong_is_said():
    good = Round(0, kills=["flow process"] * 2, repeated=2, is_same=True)
    assert faults([good]) == []
    other = Round(0, kills=[], repeated=0, is_same=False)
    often = Round(1, kills=["Dask worker"], repeated=2, is_same=True)
    found = faults([good, other, often])
    assert len(found) == 2
    assert "round 2 (pipeline) left other data" in found[0]
    assert found[1] == "round 3 repeated 2 units for 1 kills"
    page = report([good, other, often], "python -m benchmarks.chaos")
    assert "3 times `kill -9` in 3 runs" in page
    assert "| flow process | 2 |" in page
    assert "Not as it must be: round 2" in page


def test_rounds_are_continued(tmp_path):
    campaign = Campaign(tmp_path, 0)
    campaign.rounds.append(Round(0, kills=["flow process"], seconds=1.5, is_same=True))
    campaign.digests["0"] = "d"
    campaign._keep()
    again = Campaign(tmp_path, 0)
    assert (again.kills, again.rounds, again.digests) == (1, campaign.rounds, {"0": "d"})
    assert Campaign(tmp_path, 1).kills == 0


@pytest.mark.parametrize("job", JOBS)
def test_jobs_are_command_lines_that_their_modules_take(job):
    import importlib

    module = importlib.import_module(f"flows.{job.name}")
    parsed = module._parse(job.argv("tcp://127.0.0.1:1"))
    assert parsed.store == str(Path(STORE).absolute())
    assert parsed.dask_address == "tcp://127.0.0.1:1"
    assert set(job.victims) <= {kind for each in JOBS for kind in each.victims}


def test_memory_is_told_tenth_by_tenth():
    resident = [2**20 * (100 + i // 3) for i in range(30)]
    assert Queue(200, 200, 30.0, resident).memory == (
        "100, 101, 102, 103, 104, 105, 106, 107, 108, 109 MiB"
    )
    assert Queue(3, 3, 1.0, [2**20 * 7]).memory == "7 MiB"
