"""The table of observations: what it takes, what it refuses, what it remembers."""

import numpy as np
import pandas as pd
import pytest

from appa_core.errors import InputError
from appa_core.observations.table import COLUMNS, ObservationTable

ROW = {
    "valid_time": "2024-01-01T00:00",
    "latitude": 10.0,
    "longitude": 20.0,
    "level": 500.0,
    "quantity": "temperature",
    "value": 250.0,
    "error_std": 1.0,
    "platform": "radiosonde",
    "station_id": "A",
}
SURFACE = {**ROW, "level": np.nan, "quantity": "2m_temperature", "platform": "metar"}


def table(*changes, base=ROW):
    return ObservationTable.of(pd.DataFrame([base | change for change in changes or ({},)]))


def test_rows_arrive_in_order_with_all_columns():
    frame = table({}, {"longitude": -20.0, "value": 251}, {"extra": 1}).frame
    assert tuple(frame.columns) == COLUMNS
    assert frame["longitude"].tolist() == [20.0, 340.0, 20.0]
    assert frame["value"].tolist() == [250.0, 251.0, 250.0]
    assert frame["valid_time"].dtype == "datetime64[ns]"
    assert (frame["rejected"] == "").all()


def test_times_with_a_zone_become_utc():
    frame = table({"valid_time": "2024-01-01T02:00+02:00"}).frame
    assert frame["valid_time"][0] == pd.Timestamp("2024-01-01")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantity": "snow"}, r"unknown quantity 'snow'; there are: 10m_u"),
        ({"latitude": 91.0}, r"expected latitude of -90 to 90 degrees; found 91.0 in row 0"),
        ({"longitude": np.nan}, "expected longitude of"),
        ({"longitude": 400.0}, "expected longitude of"),
        ({"value": np.nan}, "expected a value; found nan in row 0"),
        ({"value": np.inf}, "infinite value"),
        ({"value": "warm"}, "column value must hold numbers"),
        (
            {"value": 20.0},
            r"1 of 1 values of temperature are not .* expected 150 to 330 K",
        ),
        ({"error_std": 0.0}, "expected a positive error; found 0.0"),
        ({"level": -5.0}, "expected a level in hPa"),
        ({"level": 50_000.0}, "expected a level in hPa; found 50000.0"),
        ({"level": np.nan}, "temperature needs level in every row"),
        ({"quantity": "surface_pressure", "value": 9e4}, "surface_pressure needs elevation_m"),
        ({"quantity": "layer_thickness"}, "layer_thickness needs top_level"),
        ({"valid_time": "noon"}, "valid_time must be UTC times"),
        ({"valid_time": None}, "row 0 has no valid_time"),
    ],
)
def test_what_a_row_cannot_be(change, message):
    with pytest.raises(InputError, match=message):
        table(change)


def test_missing_columns_are_named():
    with pytest.raises(InputError, match=r"my.csv lacks columns value, station_id; it has valid"):
        ObservationTable.of(pd.DataFrame([ROW]).drop(columns=["value", "station_id"]), "my.csv")
    with pytest.raises(InputError, match="it has none"):
        ObservationTable.of(pd.DataFrame())


def test_single_outliers_are_left_to_quality_control():
    rows = [{} for _ in range(3)] + [{"value": 999.0}]
    assert len(table(*rows)) == 4


def test_values_of_known_units_are_left_to_quality_control():
    rows = ObservationTable.of(pd.DataFrame([ROW | {"value": 999.0}]), is_si=True)
    assert len(rows) == 1
    # and so are those that it has dealt with
    assert len(table({"value": 999.0, "rejected": "range"}, {"value": 250.0})) == 2


def test_a_place_just_west_of_greenwich_has_no_whole_turn():
    assert table({"longitude": -1e-20}).frame["longitude"].tolist() == [0.0]


def test_the_first_reason_stays():
    rejected = table({}, {}, {}).reject(np.array([1, 1, 0], bool), "duplicate")
    rejected = rejected.reject(np.array([0, 1, 1], bool), "range")
    assert rejected.frame["rejected"].tolist() == ["duplicate", "duplicate", "range"]
    assert len(rejected.used) == 0
    assert table({}, {}).reject(np.array([True, False]), "x").is_used.tolist() == [False, True]


def test_counts_by_platform_quantity_and_reason():
    rows = ObservationTable.concatenate([table({}, {}), table({}, {}, {}, base=SURFACE)])
    counts = rows.reject(np.array([0, 1, 1, 0, 1], bool), "range").counts()
    assert counts.loc[("radiosonde", "temperature")].tolist() == [2, 1, 1]
    assert counts.loc[("metar", "2m_temperature")].tolist() == [3, 1, 2]
    assert counts.columns.tolist() == ["rows", "used", "range"]
    assert rows.counts("platform").loc["metar"].tolist() == [3, 3]


def test_periods_and_nothing_at_all():
    rows = table({}, {"valid_time": "2024-01-01T06:00"}, {"valid_time": "2024-01-02"})
    inside = rows.between(pd.Timestamp("2024-01-01T01"), pd.Timestamp("2024-01-02"))
    assert inside.frame.index.tolist() == [0, 1]
    assert len(ObservationTable.concatenate([])) == 0
    assert ObservationTable.empty().counts().empty
