"""Which readings of independent stations are taken for independent of each other."""

import numpy as np
import pandas as pd

from benchmarks.observed_scores import Verification

STATIONS, TIMES = 50, 40


def verification(start):
    times = pd.date_range(start, periods=TIMES, freq="6h")
    frame = pd.DataFrame(
        {
            "quantity": "2m_temperature",
            "valid_time": np.repeat(times, STATIONS),
            "rank": np.tile(np.arange(STATIONS), TIMES),  # tells which station was picked
        }
    )
    return Verification(frame, STATIONS)


def test_one_reading_of_each_time_at_places_that_change():
    picks = verification("2024-01-01").thinned()
    assert len(picks) == TIMES
    assert len(set(picks)) > TIMES / 2
    np.testing.assert_array_equal(picks, verification("2024-01-01").thinned())
    assert (picks != verification("2024-01-11").thinned()).mean() > 0.9
