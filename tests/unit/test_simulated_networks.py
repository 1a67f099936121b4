"""Orbits and simulated networks of stations and satellites."""

import numpy as np
import pytest

from appa_core.config.presets import load_preset
from appa_core.errors import InputError
from appa_core.observe.networks import CircularOrbit, NetworkPlan, simulate_network

SCHEMA = load_preset("small").state.build()
ROWS, COLUMNS = SCHEMA.grid.shape
SURFACE = {"2m_temperature", "10m_u_component_of_wind", "10m_v_component_of_wind"}
SURFACE |= {"mean_sea_level_pressure"}


def simulated(states=3, **plan):
    return simulate_network(SCHEMA, states, NetworkPlan(**plan))


def channels_of(points):
    return points.cell // (ROWS * COLUMNS)


def cells_of(points):
    return points.cell % (ROWS * COLUMNS)


def angle(lat, lon, other_lat, other_lon):
    """Degrees between points, by the haversine."""
    a, b, da = np.deg2rad(lat), np.deg2rad(other_lat), np.deg2rad(lon - other_lon)
    h = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(da / 2) ** 2
    return np.rad2deg(2 * np.arcsin(np.sqrt(h)))


def test_an_orbit_stays_below_its_inclination_and_comes_round():
    orbit = CircularOrbit(altitude_km=800, inclination_deg=75)
    latitude, longitude = orbit.ground_track(np.arange(0, 400, 0.25))
    assert latitude.max() == pytest.approx(75, abs=0.05)
    assert latitude.min() == pytest.approx(-75, abs=0.05)
    assert ((longitude >= 0) & (longitude < 360)).all()
    southwards = np.flatnonzero((latitude[:-1] > 0) & (latitude[1:] <= 0)) * 0.25
    assert np.diff(southwards) == pytest.approx(100.7, abs=0.3)  # Kepler's third law
    assert longitude[0] == pytest.approx(180)


def test_the_earth_turns_below_the_orbit():
    orbit = CircularOrbit()
    _, longitude = orbit.ground_track(np.arange(0, 300, 0.01))
    latitude, _ = orbit.ground_track(np.arange(0, 300, 0.01))
    crossings = np.flatnonzero((latitude[:-1] > 0) & (latitude[1:] <= 0))
    shift = (longitude[crossings[0]] - longitude[crossings[1]]) % 360
    minutes = (crossings[1] - crossings[0]) * 0.01
    assert shift == pytest.approx(360 * minutes / 1440, abs=0.1)


def test_stations_are_their_share_of_cells_and_tell_all_of_the_surface():
    points = simulated(orbiters=0, station_share=0.02)
    count = round(0.02 * ROWS * COLUMNS)
    names = {SCHEMA.channels[i].variable for i in np.unique(channels_of(points))}
    assert names == SURFACE
    for state in range(3):
        here = points.state == state
        assert here.sum() == count * len(SURFACE)
        assert len(np.unique(points.cell[here])) == here.sum()
        assert set(cells_of(points)[here]) == set(cells_of(points)[points.state == 0])
    assert (points.error_std == np.float32(0.01)).all()


def test_stations_lie_where_there_is_area():
    rows = [cells_of(simulated(1, orbiters=0, seed=s)) // COLUMNS for s in range(600)]
    share = np.bincount(np.concatenate(rows), minlength=ROWS) / sum(map(len, rows))
    area = SCHEMA.grid.area_weights / ROWS
    np.testing.assert_allclose(share, area, atol=0.0075)


def test_an_orbiter_sees_cells_near_its_track():
    points = simulated(2, station_share=0.0, radius_deg=5.0, seed=3)
    assert {SCHEMA.channels[i].level for i in np.unique(channels_of(points))} == set(SCHEMA.levels)
    rng = np.random.default_rng([3, 3])
    rng.choice(ROWS * COLUMNS, 0, replace=False)
    orbit = CircularOrbit(first_longitude_deg=360 * rng.random())
    for state in range(2):
        minutes = state * 60.0 * SCHEMA.step_hours + np.arange(60) - 30.0
        track = np.stack(orbit.ground_track(minutes))
        cells = np.unique(cells_of(points)[points.state == state])
        lat = np.repeat(SCHEMA.grid.latitudes, COLUMNS)[:, None]
        lon = np.tile(SCHEMA.grid.longitudes, ROWS)[:, None]
        near = (angle(lat, lon, *track) < 5.0).any(axis=1)
        assert set(cells) == set(np.flatnonzero(near))


def test_a_network_is_a_function_of_its_seed():
    one, same, other = (simulated(seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.cell, same.cell)
    assert not np.array_equal(one.cell, other.cell)


def test_there_may_be_nothing_to_see():
    points = simulated(orbiters=0, station_share=0.0)
    assert points.state.shape == points.cell.shape == points.error_std.shape == (0,)
    assert points.cell.dtype == np.int64
    assert points.error_std.dtype == np.float32


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_a_share(share):
    with pytest.raises(InputError, match=f"stations of 0 to 1, got {share}"):
        simulated(station_share=share)


def test_the_orbit_is_that_of_the_reference(shared_data):
    oracle = np.load(shared_data / "vectors" / "appa_reference" / "oracle.npz")
    expected = oracle["orbit_800km_75deg_3h"].reshape(-1, 2).T
    track = CircularOrbit(altitude_km=800, inclination_deg=75).ground_track(np.arange(180))
    assert angle(*track, *expected).max() < 0.01
