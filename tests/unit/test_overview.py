"""What is said of a store: gaps, days that are stale, damage, locks, scores."""

from pathlib import Path

import pandas as pd
import pytest

from appa_core.config.series import DAY, series_request
from appa_core.io.day_ledger import DayLedger, DayRecord
from appa_core.io.lock import StoreLock
from appa_core.io.store import ArtifactStore, Recipe
from appa_core.steps.overview import overview
from appa_core.steps.step import run_step
from flows.status import as_markdown, as_text, size_text, tables

FIRST = pd.Timestamp("2024-01-01")
SCORES = """variable,level,valid_time,rmse,crps,spread,ssr,rmse_climatology
temperature,850,2024-01-01T00,1.0,0.5,1.0,1.1,3.0
temperature,850,2024-01-01T06,2.0,0.6,1.0,1.2,3.0
2m_temperature,,2024-01-01T06,4.0,0.7,1.0,1.3,3.0
"""


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "store")


def make(store, step, name, text="text"):
    def build(folder):
        (folder / "scores.csv").write_text(text)
        return {}

    return run_step(store, Recipe(step, 1, {"name": name}, {}), build)


@pytest.fixture
def series(store):
    """A series without its third day, whose fifth day starts from another fourth."""
    request = series_request(start="2024-01-01", observations="simulated:stations=0.1")
    ledger = DayLedger(store, "abc")
    ledger.describe({"request": request.hashed()})
    for number in (0, 1, 3, 4):
        fields = make(store, "reanalysis-fields", str(number))
        ledger.add(
            DayRecord(
                f"{FIRST + number * DAY:%Y-%m-%d}", f"key{number}", "",
                {1: "key0", 4: "another"}.get(number, ""),
                {"fields": ("reanalysis-fields", fields.key)}, (), fields.digest,
                10.0 + number, "2024-01-09T00:00:00Z",
            )
        )  # fmt: skip
    return ledger


def test_gaps_stale_and_damaged_days(store, series):
    (found,) = overview(store).series
    assert (found.first, found.last, found.held) == ("2024-01-01", "2024-01-05", 4)
    assert found.missing == ("2024-01-03",)
    assert found.stale == ("2024-01-05",)
    assert found.damaged == ()
    assert found.wall_seconds == 12.0
    _, key = series.find(FIRST + DAY).artifacts["fields"]
    store.remove("reanalysis-fields", key)
    record = Path(series.url) / "ledger" / "2024" / "0104.json"
    record.write_text(record.read_text().replace("key3", "key5"))
    seen = overview(store)
    assert seen.series[0].damaged == ("2024-01-02", "2024-01-04")
    assert not seen.is_sound


def test_the_start_of_a_stream_is_not_stale(store):
    request = series_request(
        start="2024-01-01", observations="simulated:stations=0.1", stream_days=2
    )
    ledger = DayLedger(store, "abc")
    ledger.describe({"request": request.hashed()})
    for number in range(4):
        previous = "" if number % 2 == 0 else f"key{number - 1}"
        day = f"{FIRST + number * DAY:%Y-%m-%d}"
        ledger.add(DayRecord(day, f"key{number}", "", previous, {}, (), "", 1.0, ""))
    assert overview(store).series[0].stale == ()


@pytest.mark.parametrize("verify", [False, True])
def test_damage_is_named(store, verify):
    whole, gone, flipped = (make(store, "report", name) for name in ("a", "b", "c"))
    (Path(gone.url) / "data" / "scores.csv").unlink()
    (Path(flipped.url) / "data" / "scores.csv").write_text("other")
    damaged = dict(overview(store, verify=verify).damaged)
    assert damaged.pop(f"report/{gone.key}") == "scores.csv is missing"
    assert list(damaged) == ([f"report/{flipped.key}"] if verify else [])
    assert f"report/{whole.key}" not in damaged


def test_who_is_at_work(store):
    ledger = DayLedger(store, "abc")
    with StoreLock(ledger.lease(FIRST), command="the night"):
        (lease,) = overview(store).leases
        assert lease.place == "reanalysis-series/abc/leases/2024-01-01"
        assert lease.owner.is_alive
        assert "'the night'" in as_text(overview(store))
    assert overview(store).leases == ()


def test_sizes_and_counts_are_those_of_files(store):
    make(store, "report", "a", "x" * 3000)
    make(store, "report", "b", "x" * 1000)
    (total,) = overview(store).steps
    assert (total.step, total.count) == ("report", 2)
    on_disk = sum(p.stat().st_size for p in Path(store.url).glob("report/*/**/*") if p.is_file())
    assert total.bytes == on_disk > 4000
    assert [size_text(n) for n in (0, 1023, 1536, 3 << 30)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "3.0 GiB",
    ]


def test_the_last_scores_are_of_the_last_state(store):
    make(store, "analysis-scores", "a", SCORES)
    scores = overview(store).scores
    assert scores["field"].tolist() == ["temperature 850 hPa", "2m_temperature"]
    assert scores["rmse"].tolist() == [2.0, 4.0]
    assert scores["time"].tolist() == ["2024-01-01T06"] * 2


def test_a_score_that_is_not_known_is_blank(store):
    make(store, "analysis-scores", "a", SCORES.replace(",1.3,3.0", ",,3.0"))
    *_, rows = next(t for t in tables(overview(store)) if t[0].startswith("Last"))
    assert [row[-1] for row in rows][-1] == ""
    assert "nan" not in as_text(overview(store))


def test_an_empty_store_holds_nothing(store):
    seen = overview(store)
    assert tables(seen) == []
    assert seen.is_sound
    assert not Path(store.url).exists()


def test_the_page_has_the_tables_of_the_terminal(store, series):
    seen = overview(store)
    page, text = as_markdown(seen), as_text(seen)
    for title, columns, rows in tables(seen):
        assert f"## {title}" in page
        assert title in text
        assert f"| {' | '.join(columns)} |" in page
        for row in rows:
            assert f"| {' | '.join(row)} |" in page
            assert all(cell in text for cell in row)
