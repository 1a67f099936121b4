"""Each check by hand: what it rejects, what it leaves, and whose reason stays."""

import numpy as np
import pandas as pd
import pytest

from appa_core.errors import InputError
from appa_core.observations.control.check import Control, Evidence, Expectation, departures
from appa_core.observations.control.density import Boxes, Superobbing, Thinning
from appa_core.observations.control.lists import BlackList, FileFlags, Listing
from appa_core.observations.control.ranges import (
    BackgroundDeparture,
    ClimatologicalRange,
    PhysicalRange,
)
from appa_core.observations.control.repeats import Duplicates, OneOf, WindPairs
from tests.observed import ALOFT, after, reasons, table


def expect(mean, std):
    return Expectation(np.array(mean, float), np.array(std, float))


def test_physical_range():
    changes = ({"value": 181.0}, {"value": 341.0}, {"value": 179.0}, ALOFT | {"value": 179.0})
    assert after(PhysicalRange(), *changes) == ["", "physical range", "physical range", ""]
    tight = PhysicalRange({"2m_temperature": (200.0, 330.0)})
    assert after(tight, *changes) == ["physical range"] * 3 + [""]
    with pytest.raises(InputError, match="unknown quantity 'snow'"):
        PhysicalRange({"snow": (0.0, 1.0)})


def test_the_first_reason_stays():
    flagged = {"value": 999.0, "rejected": "file: suspect"}
    assert after(PhysicalRange(), flagged, {"value": 999.0}) == ["file: suspect", "physical range"]


def test_climatological_range():
    usual = Evidence(climatology=expect([280, 280, 280, np.nan], [2, 2, 2, np.nan]))
    changes = ({"value": 292.0}, {"value": 292.1}, {"value": 267.9}, {"value": 400.0})
    found = after(ClimatologicalRange(6.0), *changes, evidence=usual)
    assert found == ["", "climatological range", "climatological range", ""]


def test_background_departure():
    """Limit 5, spread 3 and error 4: the departure may be 25."""
    background = Evidence(background=expect([280.0, 280.0, 280.0], [3.0, 3.0, 0.0]))
    changes = ({"value": 304.9}, {"value": 305.1}, {"value": 300.1})
    found = after(BackgroundDeparture(5.0), *changes, evidence=background, error_std=4.0)
    assert found == ["", "background departure", "background departure"]


def test_departures_of_directions_go_the_shorter_way():
    rows = table({"value": 350.0}, {"value": 10.0}, quantity="10m_wind_direction", error_std=5.0)
    np.testing.assert_allclose(departures(rows, np.array([10.0, 350.0])), [-20.0, 20.0])
    background = Evidence(background=expect([10.0, 100.0], [0.0, 0.0]))
    found = reasons(BackgroundDeparture(5.0)(rows, background))
    assert found == ["", "background departure"]


def test_errors_are_needed_where_there_is_a_background():
    background = Evidence(background=expect([280.0, np.nan], [1.0, np.nan]))
    with pytest.raises(InputError, match="1 observations have no error_std"):
        after(BackgroundDeparture(), {}, {}, evidence=background, error_std=np.nan)
    flagged = ({"rejected": "file: suspect"}, {})
    found = after(BackgroundDeparture(), *flagged, evidence=background, error_std=np.nan)
    assert found == ["file: suspect", ""]


def test_evidence_is_of_the_very_rows():
    usual = Evidence(climatology=expect([280.0], [1.0]))
    with pytest.raises(InputError, match="expected what is known of 2 rows, got it of 1"):
        after(ClimatologicalRange(), {}, {}, evidence=usual)


def test_duplicates_keep_the_last():
    changes = (
        {"value": 280.0},
        {"value": 281.0},
        {"station_id": "B"},
        {"platform": "metar"},
        {"valid_time": "2024-01-01T00:02"},
        {"latitude": 10.1},
        ALOFT,
        ALOFT | {"level": 501.0},
    )
    assert after(Duplicates(), *changes) == ["duplicate", *[""] * 7]
    assert after(Duplicates("first"), *changes) == ["", "duplicate", *[""] * 6]


def test_duplicates_do_not_see_what_is_rejected():
    assert after(Duplicates(), {}, {"rejected": "file: suspect"}) == ["", "file: suspect"]


def test_duplicates_near_the_date_line_and_in_decimals():
    changes = ({"longitude": 359.999}, {"longitude": 0.001}, {"longitude": -0.001})
    assert after(Duplicates(), *changes) == ["duplicate", "duplicate", ""]


PRESSURES = ("mean_sea_level_pressure", "surface_pressure")


def pressure(name, report, **more):
    return {"quantity": name, "value": 1e5, "report_id": report} | more


def test_one_barometer_counts_once():
    sea, station = PRESSURES
    changes = (
        pressure(station, "a"),
        pressure(sea, "a"),
        pressure(station, "b"),
        pressure(sea, "c", rejected="file: suspect"),
        pressure(station, "c"),
        pressure(sea, ""),
        pressure(station, ""),
    )
    used = "mean_sea_level_pressure is used instead"
    expected = [used, "", "", "file: suspect", "", "", ""]
    assert after(OneOf(PRESSURES), *changes) == expected
    turned = after(OneOf(PRESSURES[::-1]), *changes[:2])
    assert turned == ["", "surface_pressure is used instead"]


def test_a_wind_has_both_components_or_none():
    u = {"quantity": "10m_u_component_of_wind", "value": 3.0, "report_id": "a"}
    v = u | {"quantity": "10m_v_component_of_wind"}
    bad = {"rejected": "physical range"}
    alone = "other component rejected"
    assert after(WindPairs(), u, v) == ["", ""]
    assert after(WindPairs(), u | bad, v) == ["physical range", alone]
    assert after(WindPairs(), u, v | bad) == [alone, "physical range"]
    # another level, another report; and a component that never had another
    aloft = {"quantity": "u_component_of_wind", "level": 500.0}
    low = {"quantity": "v_component_of_wind", "level": 850.0}
    assert after(WindPairs(), u | aloft, v | low | bad) == ["", "physical range"]
    assert after(WindPairs(), u, v | bad | {"report_id": "b"}) == ["", "physical range"]
    # a repeat that was rejected does not take the one that stays with it
    repeat = {"rejected": "duplicate"}
    assert after(WindPairs(), u, v, u | repeat, v | repeat) == ["", "", "duplicate", "duplicate"]


def test_black_lists():
    listed = BlackList(
        (
            Listing(station_id="A", quantity="2m_*", why="relocated"),
            Listing(platform="ship"),
            Listing(station_id="4601?"),
        )
    )
    changes = (
        {},
        ALOFT,
        {"station_id": "a"},
        {"station_id": "X", "platform": "ship"},
        {"station_id": "46012"},
        {"station_id": "460123"},
    )
    expected = ["black-list: relocated", "", "", "black-list", "black-list", ""]
    assert after(listed, *changes) == expected
    assert len(listed(table({}).rows(np.zeros(1, bool)), Evidence())) == 0


def test_flags_of_files_can_be_passed_over():
    changes = ({"rejected": "file: suspect"}, {"rejected": "physical range"}, {})
    assert after(FileFlags(), *changes) == ["file: suspect", "physical range", ""]
    assert after(FileFlags(honour=False), *changes) == ["", "physical range", ""]


BOXES = Boxes(km=111.2, hours=6.0, level_ratio=2.0)


def test_thinning_keeps_what_is_nearest_to_the_centre():
    """Boxes of a degree: the centre of the first is at 0.5 N, and about 0.5 E."""
    changes = (
        {"latitude": 0.1},
        {"latitude": 0.5},
        {"latitude": 0.6},
        {"latitude": 0.5, "rejected": "file: suspect"},
        {"latitude": 1.2},
        {"latitude": 0.5, "quantity": "mean_sea_level_pressure", "value": 1e5},
        {"latitude": 0.5, "platform": "metar"},
        {"latitude": 0.5, "valid_time": "2024-01-01T04:00"},
    )
    found = after(Thinning(BOXES), *changes, longitude=0.5)
    assert found == ["thinned", "", "thinned", "file: suspect", "", "", "", ""]


def test_thinning_of_levels_and_of_some_platforms():
    changes = (ALOFT | {"level": 500.0}, ALOFT | {"level": 520.0}, ALOFT | {"level": 1000.0})
    # to the base 2 the logarithms are 8.966 and 9.022, and 9 is the centre
    assert after(Thinning(BOXES), *changes) == ["thinned", "", ""]
    others = Boxes(km=111.2, hours=6.0, level_ratio=2.0, platforms=("aircraft",))
    assert after(Thinning(others), *changes) == ["", "", ""]


def test_boxes_are_of_equal_area_and_cover_the_globe():
    rng = np.random.default_rng(0)
    count = 40_000
    frame = table({}).frame.iloc[np.zeros(count, int)].reset_index(drop=True)
    frame = frame.assign(
        latitude=np.rad2deg(np.arcsin(rng.uniform(-1, 1, count))),
        longitude=rng.uniform(0, 360, count),
    )
    box, distance = Boxes(km=2000.0).of(frame)
    # 4 pi R^2 / 2000^2 boxes
    assert abs(box.max() + 1 - 4 * np.pi * 6371**2 / 2000**2) < 12
    counts = np.bincount(box)
    assert counts.min() > 0.5 * counts.mean()
    assert counts.max() < 1.6 * counts.mean()
    assert distance.max() <= np.hypot(0.5, 0.5) + 1e-9
    poles = frame.head(2).assign(latitude=[90.0, -90.0])
    assert len(set(Boxes(km=2000.0).of(poles)[0])) == 2


def test_a_superobservation_is_the_mean_of_its_box():
    changes = (
        {"latitude": 0.2, "value": 280.0, "valid_time": "2024-01-01T00:00"},
        {"latitude": 0.4, "value": 282.0, "valid_time": "2024-01-01T01:00"},
        {"latitude": 0.6, "value": 287.0, "valid_time": "2024-01-01T02:00"},
        {"latitude": 5.0, "value": 270.0},
        {"latitude": 0.3, "value": 999.0, "rejected": "physical range"},
    )
    rows = table(*changes, longitude=0.5, error_std=2.0)
    found = Superobbing(BOXES, correlation=0.25)(rows, Evidence())
    averaged = "averaged into a superobservation"
    assert reasons(found) == [averaged] * 3 + ["", "physical range", ""]
    made = found.frame.iloc[-1]
    assert made["value"] == pytest.approx(283.0)
    assert made["latitude"] == pytest.approx(0.4, abs=1e-4)
    assert made["longitude"] == pytest.approx(0.5)
    assert made["valid_time"] == pd.Timestamp("2024-01-01T01:00")
    # variance 4 (1 + 2 x 0.25) / 3 = 2
    assert made["error_std"] == pytest.approx(np.sqrt(2.0))
    assert (made["platform"], made["station_id"]) == ("synop", "superobservation")
    assert np.isnan(made["level"])


def test_superobservations_across_the_date_line_and_of_directions():
    changes = ({"longitude": 359.9, "value": 350.0}, {"longitude": 359.7, "value": 20.0})
    rows = table(*changes, quantity="wind_direction", level=500.0, latitude=0.5)
    made = Superobbing(BOXES)(rows, Evidence()).frame.iloc[-1]
    assert made["value"] == pytest.approx(5.0)
    assert made["longitude"] == pytest.approx(359.8)
    assert made["level"] == pytest.approx(500.0)
    alone = table({"latitude": 0.5}, {"latitude": 50.0})
    assert reasons(Superobbing(BOXES)(alone, Evidence())) == ["", ""]


def test_checks_are_made_in_order():
    changes = ({"value": 999.0}, {"value": 280.0}, {"value": 281.0})
    first = Control((PhysicalRange(), Duplicates("first")))
    assert reasons(first(table(*changes))) == ["physical range", "", "duplicate"]
    other = Control((Duplicates("first"), PhysicalRange()))
    assert reasons(other(table(*changes))) == ["physical range", "duplicate", "duplicate"]


def test_a_check_that_lacks_its_evidence_says_so():
    control = Control((PhysicalRange(), ClimatologicalRange(), BackgroundDeparture()))
    with pytest.raises(InputError, match="ClimatologicalRange needs the climatology of every"):
        control(table({}))
    usual = Evidence(climatology=expect([280.0], [1.0]))
    assert len(control.possible(usual.known).checks) == 2
    assert reasons(control.possible(usual.known)(table({"value": 300.0}), usual)) == [
        "climatological range"
    ]


def test_nothing_is_known_of_rows_that_a_check_made():
    with pytest.raises(InputError, match="one before it adds rows of which nothing is known"):
        Control((Superobbing(), BackgroundDeparture()))
    control = Control((ClimatologicalRange(), Superobbing(BOXES), PhysicalRange()))
    usual = Evidence(climatology=expect([280.0, 280.0], [1.0, 1.0]))
    found = control(table({"value": 279.0}, {"value": 281.0}), usual)
    assert found.used.frame["value"].tolist() == [280.0]


def test_nothing_left_says_why():
    gone = table({"value": 999.0}, {"value": 998.0})
    with pytest.raises(InputError, match=r"no observation is left(.|\n)*physical range(.|\n)*2"):
        PhysicalRange()(gone, Evidence()).require_used()
    assert len(table({}).require_used()) == 1
