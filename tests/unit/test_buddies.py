"""The buddy check: one value among its neighbours."""

import numpy as np
import pytest

from appa_core.observations.control.buddies import BuddyCheck
from appa_core.observations.control.check import Evidence, Expectation
from tests.observed import ALOFT, reasons, table

NEAR = 0.2  # degrees: 22 km
BUDDIES = BuddyCheck(radius_km=100.0, hours=1.0, limit=5.0, noise=0.5, least=3)


def cluster(*values, **common):
    """Stations side by side."""
    changes = [
        {"value": v, "station_id": f"S{n}", "latitude": 10 + NEAR * n / len(values)}
        for n, v in enumerate(values)
    ]
    return table(*changes, **common)


def check(rows, evidence=None, buddies=BUDDIES):
    return [r != "" for r in reasons(buddies(rows, evidence or Evidence()))]


def test_one_odd_value_goes_and_takes_none_with_it():
    """Typical departures of 2 m temperature are 4 K: 0.5 x 4 x 5 = 10 K are too much."""
    assert check(cluster(280, 280, 280, 280, 290.5)) == [False] * 4 + [True]
    assert check(cluster(280, 280, 280, 280, 289.5)) == [False] * 5


def test_neighbours_that_differ_allow_more():
    """Their median is 278, deviations from it 6, 2, 6, 2: hence 5 x hypot(5.93, 2) = 31.3 K."""
    assert check(cluster(272, 276, 284, 280, 309)) == [False] * 5
    assert check(cluster(272, 276, 284, 280, 310)) == [False] * 4 + [True]


def test_too_few_neighbours_say_nothing():
    assert check(cluster(280, 280, 320)) == [False] * 3
    far = table(
        *({"value": v, "station_id": str(n), "latitude": 10.0 + 5 * n} for n, v in
          enumerate([280, 280, 280, 280, 320])),
    )  # fmt: skip
    assert check(far) == [False] * 5
    # one station's own reports are no neighbours of each other
    own = cluster(280, 280, 280, 280, 320).frame.assign(station_id="A")
    assert check(table(*own.to_dict("records"))) == [False] * 5


@pytest.mark.parametrize(
    "apart",
    [
        {"valid_time": "2024-01-01T02:00"},
        {"elevation_m": 500.0},
    ],
)
def test_neighbours_are_near_in_time_and_height(apart):
    others = cluster(280, 280, 280, 280)
    odd = table({"value": 320.0, "station_id": "X", **apart})
    rows = type(others).concatenate([others, odd])
    assert check(rows) == [False] * 5
    assert check(type(others).concatenate([others, table({"value": 320.0, "station_id": "X"})]))[
        -1
    ]


def test_neighbours_are_near_in_pressure():
    rows = cluster(250, 250, 250, 250, 290, **{k: v for k, v in ALOFT.items() if k != "value"})
    assert check(rows)[-1]
    apart = rows.frame.assign(level=[500.0] * 4 + [400.0])
    assert not any(check(table(*apart.to_dict("records"))))


def test_rejected_values_are_no_neighbours():
    rows = cluster(280, 280, 280, 280, 320)
    rows = rows.reject(np.array([True, True, False, False, False]), "file: suspect")
    assert reasons(BUDDIES(rows, Evidence())) == ["file: suspect"] * 2 + ["", "", ""]


def test_departures_are_compared_where_something_is_expected():
    """A front that the background has: values differ, departures do not."""
    rows = cluster(270, 270, 270, 270, 290)
    background = Expectation(np.array([269.0, 269, 269, 269, 289]), np.ones(5))
    assert check(rows)[-1]
    assert check(rows, Evidence(background=background)) == [False] * 5
    flat = Expectation(np.full(5, 289.0), np.ones(5))
    assert check(rows, Evidence(climatology=flat))[-1]


def test_pressures_at_stations_are_compared_as_departures_only():
    common = {"quantity": "surface_pressure", "elevation_m": 10.0}
    rows = cluster(1e5, 1e5, 1e5, 1e5, 9e4, **common)
    assert check(rows) == [False] * 5
    expected = Expectation(np.full(5, 1e5), np.full(5, 100.0))
    assert check(rows, Evidence(background=expected))[-1]


def test_directions_around_north():
    rows = cluster(350, 10, 0, 355, 5, quantity="10m_wind_direction")
    assert check(rows) == [False] * 5
    narrow = BuddyCheck(radius_km=100.0, limit=3.0, noise=0.5, least=3)
    rows = cluster(350, 10, 0, 355, 180, quantity="10m_wind_direction")
    assert check(rows, buddies=narrow) == [False] * 4 + [True]


def test_some_quantities_have_no_buddies():
    rows = cluster(0, 0, 0, 0, 0.5, quantity="total_precipitation_6hr")
    assert check(rows) == [False] * 5
    anyway = BuddyCheck(radius_km=100.0, least=3, without=())
    assert check(rows, buddies=anyway)[-1]
