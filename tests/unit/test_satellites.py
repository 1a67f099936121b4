"""Satellites by elements and on circles, and swaths below them, against known values."""

import sys

import numpy as np
import pytest

from appa_core.errors import InputError
from appa_core.io.stations import satellites
from appa_core.observations.satellites import (
    CircularSatellite,
    geodetic_latitude,
    read_elements,
    sidereal_degrees,
)
from appa_core.observations.views import Swath
from appa_core.observe.interpolation import EARTH_RADIUS_KM, unit_vectors
from appa_core.observe.networks import CircularOrbit
from tests.networks import ELEMENTS

SECOND, DAY = np.timedelta64(1, "s"), np.timedelta64(1, "D")
START = np.datetime64("2023-12-20T00:00:00", "ms")


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Invented satellites."""
    pytest.importorskip("sgp4", reason="sgp4 is not installed: no two-line elements")
    path = tmp_path_factory.mktemp("elements") / "invented.tle"
    path.write_text(ELEMENTS)
    return satellites(str(path))


@pytest.fixture(scope="module")
def real(shared_data):
    pytest.importorskip("sgp4", reason="sgp4 is not installed: no two-line elements")
    path = shared_data / "data" / "satellites" / "weather_sats.tle"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    return satellites(str(path))


@pytest.fixture(params=["known", "real"])
def flying(request):
    """All of either kind."""
    return request.getfixturevalue(request.param)


def of_second_line(satellite, *columns):
    """Numbers in columns of the second line, counted from 0 as words."""
    words = satellite.second.split()
    return [float(words[i]) for i in columns]


def minutes(count, start=START, step=1.0):
    return start + np.round(np.arange(0, count, step) * 60e3).astype("timedelta64[ms]")


def equator_crossings(track, northwards):
    latitude, _ = track
    signs = latitude if northwards else -latitude
    return np.flatnonzero((signs[:-1] < 0) & (signs[1:] >= 0))


def solar_hours(times, longitude):
    """Mean local time of day."""
    hours = (times - times.astype("datetime64[D]")) / np.timedelta64(1, "h")
    return (hours + longitude / 15.0) % 24


def test_the_names_and_times_of_elements(known):
    assert set(known) == {"PM-1", "AM-1", "LOW-1"}
    epochs = {name: str(satellite.epoch)[:16] for name, satellite in known.items()}
    assert epochs["PM-1"] == "2024-03-20T00:00"  # day 80 of a leap year
    assert epochs["AM-1"] == "2024-03-20T06:00"
    assert epochs["LOW-1"] == "2024-03-21T12:00"


def test_real_elements_are_read(real):
    assert set(real) >= {"NOAA-19", "NOAA-20", "SUOMI-NPP", "METOP-B", "FENGYUN-3D"}
    assert str(real["NOAA-20"].epoch)[:16] == "2024-06-24T17:40"  # day 176.73674251


def test_periods_are_those_of_the_mean_motions(flying):
    """From node to node, which the flattened Earth makes longer (J2 turns the perigee)."""
    times = minutes(1440, step=0.1)
    for name, satellite in flying.items():
        (tilt,) = of_second_line(satellite, 2)
        revolutions = float(satellite.second[52:63])
        radius = (398600.4 * (86400 / revolutions / (2 * np.pi)) ** 2) ** (1 / 3)  # Kepler
        flattened = 0.75 * 1.08263e-3 * (6378.1 / radius) ** 2
        turning = flattened * (5 * np.cos(np.deg2rad(tilt)) ** 2 - 1)
        crossings = equator_crossings(satellite.track(times), northwards=True)
        period = np.diff(crossings).mean() * 0.1
        assert period == pytest.approx(1440.0 / revolutions / (1 + turning), abs=0.02), name


def test_tracks_reach_their_inclinations(flying):
    for name, satellite in flying.items():
        latitude, longitude = satellite.track(minutes(1440, step=0.1))
        (tilt,) = of_second_line(satellite, 2)
        reach = min(tilt, 180.0 - tilt)  # geocentric
        geodetic = np.rad2deg(np.arctan(np.tan(np.deg2rad(reach)) / (1 - 0.0059)))
        assert latitude.max() == pytest.approx(geodetic, abs=0.06), name
        assert latitude.min() == pytest.approx(-geodetic, abs=0.06), name
        assert ((longitude >= 0) & (longitude < 360)).all()


# what the operators publish: mean local time of the crossing, in hours, and its direction
CROSSINGS = {
    "NOAA-20": (13 + 25 / 60, True),
    "SUOMI-NPP": (13 + 25 / 60, True),
    "METOP-B": (9.5, False),
    "SENTINEL-3A": (10.0, False),
}


@pytest.mark.parametrize("name", CROSSINGS)
@pytest.mark.parametrize("start", ["elements", "2012-02-11", "2031-07-01"])
def test_real_crossings_keep_their_hour_of_the_day_in_any_year(real, name, start):
    hour, northwards = CROSSINGS[name]
    assert_crosses(real[name], start, hour, northwards)


# at 0 UTC of 2024-03-20, 8844.5 days after noon of 2000-01-01
SIDEREAL = (280.46061837 + 360.98564736629 * 8844.5) % 360  # Meeus 1998, equation 12.4


@pytest.mark.parametrize(("name", "node"), [("PM-1", 30.0), ("AM-1", 315.0)])
@pytest.mark.parametrize("start", ["elements", "2012-02-11", "2031-07-01"])
def test_crossings_keep_their_hour_of_the_day_in_any_year(known, name, node, start):
    assert_crosses(known[name], start, ((node - SIDEREAL) / 15) % 24, northwards=True)


def assert_crosses(satellite, start, hour, northwards):
    begin = satellite.epoch if start == "elements" else np.datetime64(start)
    times = minutes(1440, begin.astype("datetime64[ms]"), step=0.1)
    track = satellite.track(times)
    crossings = equator_crossings(track, northwards)
    assert len(crossings) >= 13
    found = solar_hours(times[crossings], track[1][crossings])
    assert np.abs(found - hour).max() < 0.3


def test_the_place_at_the_time_of_the_elements_is_that_of_sgp4(flying):
    """Within 20 km, by another sidereal time and from geodetic coordinates back to the place."""
    from sgp4.api import Satrec

    for satellite in flying.values():
        model = Satrec.twoline2rv(satellite.first, satellite.second)
        failed, place, _ = model.sgp4(model.jdsatepoch, model.jdsatepochF)
        assert failed == 0
        days = model.jdsatepoch - 2_451_545.0 + model.jdsatepochF
        turned = np.deg2rad(280.46061837 + 360.98564736629 * days)  # Meeus 1998, equation 12.4
        cosine, sine = np.cos(turned), np.sin(turned)
        x, y = cosine * place[0] + sine * place[1], cosine * place[1] - sine * place[0]
        latitude, longitude = (v[0] for v in satellite.track(satellite.epoch[None]))
        lat, lon = np.deg2rad(latitude), np.deg2rad(longitude)
        flat = 1 / 298.257223563
        squared = flat * (2 - flat)
        normal = 6378.137 / np.sqrt(1 - squared * np.sin(lat) ** 2)
        height = np.hypot(x, y) / np.cos(lat) - normal
        ours = [
            (normal + height) * np.cos(lat) * np.cos(lon),
            (normal + height) * np.cos(lat) * np.sin(lon),
            (normal * (1 - squared) + height) * np.sin(lat),
        ]
        assert np.linalg.norm(np.subtract(ours, [x, y, place[2]])) < 1.0, satellite.name


def test_the_place_at_the_time_of_the_elements_is_that_of_an_ellipse(flying):
    """Without SGP4: Kepler's ellipse, which short periods leave by some ten kilometres."""
    for satellite in flying.values():
        fields = satellite.second.split()
        tilt, node, perigee, mean = np.deg2rad([float(fields[i]) for i in (2, 3, 5, 6)])
        eccentricity = float(f"0.{fields[4]}")
        anomaly = mean + 2 * eccentricity * np.sin(mean)
        angle = perigee + anomaly
        latitude = np.arcsin(np.sin(tilt) * np.sin(angle))
        right = node + np.arctan2(np.cos(tilt) * np.sin(angle), np.cos(angle))
        days = (satellite.epoch - np.datetime64(0, "us")) / DAY
        longitude = np.rad2deg(right) - sidereal_degrees(days)
        track = satellite.track(satellite.epoch[None])
        geocentric = np.rad2deg(np.arctan(np.tan(np.deg2rad(track[0])) * (1 - 0.0059)))
        ours, theirs = (
            unit_vectors(geocentric, track[1])[0],
            unit_vectors(np.rad2deg([latitude]), np.array([longitude]))[0],
        )
        assert np.arccos(ours @ theirs) * EARTH_RADIUS_KM < 20.0, satellite.name


def test_sidereal_time_and_latitude_are_those_of_textbooks():
    """Meeus 1998, examples 12.a and 11.a."""
    days = (np.datetime64("1987-04-10") - np.datetime64(0, "D")) / DAY
    expected = (13 + 10 / 60 + 46.3668 / 3600) * 15
    assert sidereal_degrees(np.array(days)) == pytest.approx(expected, abs=1e-5)
    palomar = 6378.14 * np.array([[0.836339, 0.0, 0.546861]])
    assert geodetic_latitude(palomar)[0] == pytest.approx(33.356111, abs=1e-4)
    assert geodetic_latitude(np.array([[0.0, 0.0, 7000.0]]))[0] == 90.0


def circular(**orbit):
    return CircularSatellite("c", CircularOrbit(**orbit), ahead_minutes=17.0)


def test_passes_change_where_tracks_turn(known):
    times = minutes(1440, step=0.1)
    for satellite, tolerance in ((circular(), 2), (known["PM-1"], 10)):
        latitude, _ = satellite.track(times)
        change = np.flatnonzero(np.diff(satellite.passes(times)))
        rising = np.sign(np.diff(latitude))
        turns = np.flatnonzero(np.diff(rising)) + 1
        assert len(change) == len(turns) >= 28
        assert np.abs(change - turns).max() <= tolerance
        assert set(np.diff(satellite.passes(times))) == {0, 1}


def test_a_track_is_the_same_whatever_period_is_asked_for(known):
    for satellite in (circular(), known["AM-1"]):
        whole, part = minutes(3000), minutes(3000)[1000:1100]
        assert np.array_equal(satellite.track(whole)[1][1000:1100], satellite.track(part)[1])
        assert np.array_equal(satellite.passes(whole)[1000:1100], satellite.passes(part))


def test_passes_of_different_cycles_have_different_numbers(known):
    numbers = known["AM-1"].passes(minutes(40 * 1440, step=5.0))
    assert np.diff(numbers).min() >= 0
    assert len(np.unique(numbers)) == pytest.approx(2 * 14.2 * 40, abs=6)


def separation(a, b):
    """Kilometres between points."""
    cosine = (unit_vectors(*a) * unit_vectors(*b)).sum(axis=1)
    return np.arccos(np.clip(cosine, -1, 1)) * EARTH_RADIUS_KM


def test_a_swath_is_as_wide_as_it_says_and_lies_across_the_track():
    times = minutes(300, step=7.0)
    satellite = circular(inclination_deg=82.0)
    latitude, longitude = Swath(2200.0, 5).fields(satellite, times)
    edges = [(latitude[:, i], longitude[:, i]) for i in (0, 4)]
    np.testing.assert_allclose(separation(*edges), 2200.0, rtol=1e-6)
    middle = (latitude[:, 2], longitude[:, 2])
    np.testing.assert_allclose(separation(middle, satellite.track(times)), 0.0, atol=0.2)
    step = satellite.track(times + SECOND)
    before = satellite.track(times - SECOND)
    along = unit_vectors(*step) - unit_vectors(*before)
    across = unit_vectors(*edges[1]) - unit_vectors(*edges[0])
    cosine = (along * across).sum(axis=1)
    cosine /= np.linalg.norm(along, axis=1) * np.linalg.norm(across, axis=1)
    assert np.abs(cosine).max() < 1e-3


def test_one_field_of_view_looks_straight_down():
    times = minutes(10)
    latitude, longitude = Swath(2200.0, 1).fields(circular(), times)
    track = circular().track(times)
    assert separation((latitude[:, 0], longitude[:, 0]), track).max() < 0.2


@pytest.mark.parametrize("text", ["NAME\n1 a\n", "NAME\n2 b\n1 a\n", "1 a\n2 b\nNAME\n1 a\n2 b\n"])
def test_elements_of_another_form_are_refused(text):
    with pytest.raises(InputError, match=r"x\.tle: expected a name and two lines of elements"):
        read_elements(text, "x.tle")


def test_without_sgp4_the_extra_is_named(known, monkeypatch):
    monkeypatch.setitem(sys.modules, "sgp4.api", None)
    lines = known["PM-1"]
    (fresh,) = read_elements(f"X\n{lines.first}\n{lines.second}\n", "x.tle").values()
    with pytest.raises(InputError, match=r"pip install 'appa\[satellites\]', or use circular"):
        fresh.track(minutes(1))
