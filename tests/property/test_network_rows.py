"""What a row is given follows from the row: not from its neighbours, nor from their order."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from appa_core.observations.keyed import normal
from appa_core.observations.satellites import CircularSatellite
from appa_core.observations.simulated import row_keys
from appa_core.observations.table import ObservationTable
from appa_core.observations.views import Scans, Swath
from appa_core.observe.interpolation import EARTH_RADIUS_KM, unit_vectors
from appa_core.observe.networks import CircularOrbit
from appa_core.steps.observing import withhold

START = pd.Timestamp("2024-01-01")
ROWS = st.lists(
    st.tuples(
        st.integers(0, 5), st.integers(0, 3), st.floats(-90, 90), st.floats(0, 359.9),
        st.sampled_from(["station", "orbiter"]),
    ),
    min_size=1,
    max_size=30,
)  # fmt: skip


def table(rows):
    return ObservationTable.of(
        pd.DataFrame(
            {
                "valid_time": START + pd.Timedelta(hours=station + time),
                "latitude": latitude,
                "longitude": longitude,
                "level": np.nan,
                "quantity": "2m_temperature",
                "value": 280.0,
                "error_std": 1.0,
                "platform": platform,
                "station_id": f"S{station}" if station else "",
                "report_id": f"P{time}",
            }
            for station, time, latitude, longitude, platform in rows
        )
    )


@settings(max_examples=40)
@given(ROWS, st.data())
def test_some_rows_in_any_order_have_their_noise_and_their_fate(rows, data):
    whole = table(rows)
    order = data.draw(st.permutations(range(len(rows))))
    picks = np.array(order[: data.draw(st.integers(1, len(rows)))])
    part = whole.rows(picks)
    noise = normal(row_keys(whole.frame, 3, "error"))
    assert (normal(row_keys(part.frame, 3, "error")) == noise[picks]).all()
    share = data.draw(st.floats(0, 1))
    fate = withhold(whole, share, 3).is_used
    assert (withhold(part, share, 3).is_used == fate[picks]).all()


@settings(max_examples=40)
@given(ROWS, st.floats(0, 1), st.floats(0, 1), st.integers(0, 100))
def test_a_larger_share_withholds_more(rows, one, two, seed):
    low, high = sorted((one, two))
    few, many = (~withhold(table(rows), share, seed).is_used for share in (low, high))
    assert (many | ~few).all()


@given(
    st.floats(30, 150),
    st.floats(200, 36_000),
    st.floats(10, 4000),
    st.integers(2, 30),
    st.integers(0, 10_000_000),
)
def test_swaths_are_great_circles_of_their_width(tilt, altitude, width, count, minute):
    satellite = CircularSatellite("c", CircularOrbit(altitude, tilt))
    time = np.array([np.datetime64(0, "ms") + np.timedelta64(minute, "m")])
    latitude, longitude = Swath(width, count).fields(satellite, time)
    place = unit_vectors(latitude[0], longitude[0])
    step = np.arccos(np.clip((place[1:] * place[:-1]).sum(axis=1), -1, 1)) * EARTH_RADIUS_KM
    np.testing.assert_allclose(step, width / (count - 1), rtol=1e-3, atol=0.2)
    ends = np.arccos(np.clip(place[0] @ place[-1], -1, 1)) * EARTH_RADIUS_KM
    assert abs(ends - width) < 0.2 + 1e-3 * width


@given(st.integers(1, 9), st.sampled_from([1, 3, 6, 12]), st.floats(30, 3600), st.integers(1, 900))
def test_scans_are_near_a_state_and_within_the_period(states, step_hours, seconds, minutes):
    times = pd.date_range(START, periods=states, freq=f"{step_hours}h")
    satellite = CircularSatellite("c", CircularOrbit())
    places = Scans(Swath(scan_seconds=seconds, fields_of_view=1), minutes).places(satellite, times)
    found = places["valid_time"]
    assert found.between(times[0], times[-1]).all()
    assert found.is_monotonic_increasing
    assert found.is_unique
    gaps = np.abs(found.to_numpy()[:, None] - times.to_numpy()[None]).min(axis=1)
    assert (gaps <= np.timedelta64(30 * minutes, "s") + np.timedelta64(1, "us")).all()
