"""Which rows a stretch hears."""

import pandas as pd
import pytest

from appa_core.observations.table import ObservationTable
from appa_core.steps.drawing import HeardRows
from tests.observed import table

STATES = pd.date_range("2024-01-01T06", periods=4, freq="6h")  # 06 to 00 UTC


@pytest.fixture(scope="module")
def heard():
    times = ["2024-01-01T13", "2024-01-01T06", "2024-01-02T00", "2024-01-01T05:59"]
    times += ["2024-01-01T12", "2024-01-02T00:01", "2024-01-01T12"]
    rows = table(*({"valid_time": t, "station_id": str(i)} for i, t in enumerate(times)))
    return HeardRows(rows.reject(rows.frame["station_id"].to_numpy() == "6", "withheld"))


def stations(rows):
    return rows.frame["station_id"].tolist()


def test_from_the_first_state_to_the_last_in_the_order_of_the_table(heard):
    assert stations(heard.of(STATES, 0)) == ["0", "1", "2", "4"]


def test_given_states_have_been_heard(heard):
    assert stations(heard.of(STATES, 1)) == ["0", "2", "4"]
    assert stations(heard.of(STATES, 2)) == ["0", "2"]  # 12 UTC is a given state's own time


def test_all_rows_may_be_asked_for(heard):
    assert stations(heard.of(STATES, 2, all_rows=True)) == ["0", "1", "2", "4"]


def test_nothing_to_hear(heard):
    assert len(heard.of(STATES + pd.Timedelta(days=9), 0)) == 0
    assert len(HeardRows(ObservationTable.empty()).of(STATES, 2)) == 0
