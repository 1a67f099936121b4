"""Tables as artifacts; whole stations and passes are withheld."""

import numpy as np
import pandas as pd
import pytest

from appa_core.errors import InputError
from appa_core.io.store import ArtifactStore
from appa_core.observations.table import ObservationTable
from appa_core.steps.observing import (
    WITHHELD,
    keep_observations,
    kept_observations,
    withhold,
)


def table(stations=200, per_station=3, platform="station", **changes):
    count = stations * per_station
    names = np.repeat([f"S{i}" for i in range(stations)], per_station)
    columns = {
        "valid_time": pd.Timestamp("2024-01-01")
        + pd.to_timedelta(np.tile(np.arange(per_station), stations) / 7, "h"),
        "latitude": np.repeat(np.linspace(-80, 80, stations), per_station),
        "longitude": np.repeat(np.linspace(0, 350, stations), per_station),
        "level": np.nan,
        "quantity": "2m_temperature",
        "value": 280.0 + np.arange(count) / 3,
        "error_std": 0.5,
        "platform": platform,
        "station_id": names,
    }
    frame = pd.DataFrame(columns | changes)
    frame["value"] = frame["value"].clip(200, 330)
    return ObservationTable.of(frame)


def withheld(rows):
    return rows.frame["rejected"] == WITHHELD


def test_what_was_kept_comes_back_to_the_bit(tmp_path):
    rows = table(error_std=np.nan).reject(np.arange(600) % 7 == 0, "black-list")
    kept = keep_observations(ArtifactStore(tmp_path), rows)
    pd.testing.assert_frame_equal(kept_observations(kept).frame, rows.frame, check_exact=True)
    assert kept.summary == {"rows": 600, "used": 514}
    empty = keep_observations(ArtifactStore(tmp_path), ObservationTable.empty())
    assert len(kept_observations(empty)) == 0


def test_the_key_is_that_of_the_content(tmp_path):
    store = ArtifactStore(tmp_path)
    one = keep_observations(store, table())
    assert keep_observations(store, table()).key == one.key
    others = [
        table(error_std=0.6),
        table(station_id="S"),
        table().reject(np.arange(600) == 5, "high"),
        table().rows(np.arange(599)),
        table().rows(np.arange(600)[::-1]),
    ]
    keys = {keep_observations(store, other).key for other in others}
    assert len(keys | {one.key}) == 6


def test_whole_stations_are_withheld():
    rows = withhold(table(2000), 0.2, seed=1)
    by_station = withheld(rows).groupby(rows.frame["station_id"]).agg(["min", "max"])
    assert (by_station["min"] == by_station["max"]).all()
    assert by_station["min"].mean() == pytest.approx(0.2, abs=0.03)
    assert not withheld(rows.used).any()


def test_whole_passes_are_withheld_and_not_whole_satellites():
    passes = [f"P{i // 6}" for i in range(1200)]
    rows = withhold(
        table(400, platform="orbiter", station_id="orbiter-1", report_id=passes), 0.3, seed=2
    )
    by_pass = withheld(rows).groupby(rows.frame["report_id"]).agg(["min", "max"])
    assert (by_pass["min"] == by_pass["max"]).all()
    assert 0.2 < by_pass["min"].mean() < 0.4


def test_soundings_of_a_station_stay_together():
    rows = withhold(
        table(500, platform="radiosonde", report_id=[f"A{i}" for i in range(1500)]), 0.3, seed=2
    )
    by_station = withheld(rows).groupby(rows.frame["station_id"]).agg(["min", "max"])
    assert (by_station["min"] == by_station["max"]).all()


def test_more_rows_and_a_larger_share_change_no_choice():
    whole = table(300)
    few = whole.rows(np.arange(90, 300))
    chosen = withheld(withhold(whole, 0.4, seed=3))
    assert withheld(withhold(few, 0.4, seed=3)).tolist() == chosen[90:300].tolist()
    fewer = withheld(withhold(whole, 0.1, seed=3))
    assert fewer.any()
    assert (chosen | ~fewer).all()
    assert (chosen != withheld(withhold(whole, 0.4, seed=4))).any()


def test_reports_without_a_name_are_told_apart_by_their_place():
    rows = withhold(table(500, station_id=""), 0.5, seed=0)
    by_place = withheld(rows).groupby(rows.frame["latitude"]).agg(["min", "max"])
    assert (by_place["min"] == by_place["max"]).all()
    assert 0.4 < by_place["min"].mean() < 0.6


def test_rejected_rows_keep_their_reason():
    rows = withhold(table().reject(np.ones(600, bool), "high"), 1.0, seed=0)
    assert set(rows.frame["rejected"]) == {"high"}


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 600)])
def test_nothing_and_everything(share, expected):
    assert withheld(withhold(table(), share, seed=0)).sum() == expected


def test_a_share_is_a_share():
    with pytest.raises(InputError, match=r"of 0 to 1, got 1\.5"):
        withhold(table(), 1.5, seed=0)
