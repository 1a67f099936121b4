"""Logs as JSON lines and metrics, of steps that know nothing of them."""

import json
import logging
import urllib.error
import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as text_metrics

from appa_core.errors import InputError
from appa_core.io.events import EVENTS, OBSERVED, QUEUED, tell
from appa_core.io.store import ArtifactStore, Recipe
from appa_core.steps.step import run_step
from tasks.cluster import ClusterSettings, run_units
from tasks.watching import setting_up
from tasks.watching.lines import JsonLines, Plain
from tasks.watching.metrics import Metrics
from tasks.watching.setting_up import watch, watched


@pytest.fixture
def events():
    """The logger of events, as quiet afterwards as it was before."""
    logger = logging.getLogger(EVENTS)
    before, level = list(logger.handlers), logger.level
    logger.setLevel(logging.INFO)
    yield logger
    logger.handlers[:] = before
    logger.setLevel(level)


def values(families):
    return {
        (s.name, *(s.labels[name] for name in sorted(s.labels))): s.value
        for family in families
        for s in family.samples
        if not s.name.endswith("_created")
    }


def failing(_folder):
    raise RuntimeError("no")


def work(store):
    """A step that is made, the same one found, and one that fails."""
    recipe = Recipe("made", 1, {"members": [0, 8]}, {})
    for _ in range(2):
        run_step(store, recipe, lambda folder: (folder / "x").write_text("1") and {})
    with pytest.raises(RuntimeError):
        run_step(store, Recipe("broken", 1, {}, {}), failing)
    return recipe


def test_a_line_tells_step_key_members_and_run(tmp_path, events, monkeypatch):
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "run-1")
    path = tmp_path / "log.jsonl"
    handler = logging.FileHandler(path)
    handler.setFormatter(JsonLines())
    events.addHandler(handler)
    recipe = work(ArtifactStore(tmp_path / "store"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(x["event"], x["step"]) for x in lines] == [
        ("begun", "made"), ("committed", "made"), ("found", "made"),
        ("begun", "broken"), ("failed", "broken"),
    ]  # fmt: skip
    assert {x["run"] for x in lines} == {"run-1"}
    assert lines[1]["key"] == recipe.key
    assert lines[1]["members"] == [0, 8]
    assert lines[1]["seconds"] >= 0
    assert lines[-1]["error"] == "RuntimeError"


@pytest.mark.parametrize("form", [JsonLines(), Plain("%(message)s")])
def test_no_line_has_a_secret(form):
    facts = {"from": "s3://a:hush@b/c"}
    record = logging.makeLogRecord(
        {"name": "appa", "msg": "reading %s", "args": ("http://me:hush@host/x",), "facts": facts}
    )
    assert "hush" not in form.format(record)


@pytest.mark.parametrize(("name", "parse"), [("a.prom", text_metrics), ("a.om", open_metrics)])
def test_metrics_in_a_file(tmp_path, events, name, parse):
    metrics = Metrics(tmp_path / "deep" / name)
    events.addHandler(metrics)
    work(ArtifactStore(tmp_path / "store"))
    tell(OBSERVED, used=90, rejected={"duplicate": 7, "range": 3})
    tell(QUEUED, label="encoding", count=12)
    tell(QUEUED, label="encoding", count=11)
    text = (tmp_path / "deep" / name).read_text()
    found = values(parse(text))
    assert found["appa_steps_total", "committed", "made"] == 1
    assert found["appa_steps_total", "found", "made"] == 1
    assert found["appa_steps_total", "failed", "broken"] == 1
    assert found["appa_step_seconds_count", "made"] == 1
    assert found["appa_observations_used_total",] == 90
    assert found["appa_observations_rejected_total", "duplicate"] == 7
    assert found["appa_queue_units", "encoding"] == 11
    assert (text.endswith("# EOF\n")) == (name == "a.om")


def test_metrics_are_served_on_loopback_alone(events):
    metrics = Metrics()
    events.addHandler(metrics)
    port = metrics.serve(0)
    tell(OBSERVED, used=1, rejected={})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        assert b"appa_observations_used_total 1.0" in reply.read()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.2:{port}/metrics", timeout=5)


def test_a_file_that_cannot_be_written_stops_no_work(tmp_path, events, caplog):
    (tmp_path / "file").write_text("")
    events.addHandler(Metrics(tmp_path / "file" / "a.prom"))
    work(ArtifactStore(tmp_path / "store"))
    assert sum("cannot write" in r.message for r in caplog.records) == 1


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"APPA_LOG": "xml"}, "expected json or text"),
        ({"APPA_LOG_FILE": "/proc/no/log"}, "cannot write APPA_LOG_FILE"),
        ({"APPA_METRICS_PORT": "http"}, "expected a number"),
        ({"APPA_METRICS_PORT": "99999"}, "expected a number"),
    ],
)
def test_wrong_settings_are_explained(events, environment, message):
    with pytest.raises(InputError, match=message):
        watch(environment)


def double(unit):
    return 2 * unit


def test_units_in_other_processes_are_told_of_there(tmp_path, events, monkeypatch):
    assert watched(double) is double
    monkeypatch.setenv("APPA_LOG_FILE", str(tmp_path / "log.jsonl"))
    monkeypatch.setattr(setting_up, "_done", {"begun": True})
    assert watched(double)(21) == 42


def test_a_run_of_units_tells_how_many_wait(events, caplog):
    run_units(double, [1, 2, 3], ClusterSettings(), "doubling")
    waiting = [r.facts["count"] for r in caplog.records if getattr(r, "facts", None)]
    assert waiting == [3, 2, 1, 0]
