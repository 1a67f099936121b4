"""Tables of observations: written and read back they are the same."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from appa_core.io.readers.reading import read_observations
from appa_core.io.readers.tables import write_observations
from appa_core.observations.table import ObservationTable
from appa_core.observe.quantities import QUANTITIES

numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)
some = st.one_of(st.just(np.nan), st.floats(1e-300, 1e300))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
levels = st.floats(1e-3, 1100)
times = st.datetimes(pd.Timestamp("1700-01-01"), pd.Timestamp("2200-01-01"))

rows = st.fixed_dictionaries(
    {
        "valid_time": times,
        "latitude": st.floats(-90, 90),
        "longitude": st.floats(-360, 360),
        "level": levels,
        "top_level": levels,
        "weighting_width": st.floats(0.1, 2),
        "elevation_m": st.floats(-400, 8000),
        "footprint_km": some,
        "quantity": st.sampled_from(sorted(QUANTITIES)),
        "value": numbers,
        "error_std": some,
        "platform": texts,
        "station_id": texts,
        "report_id": texts,
        "rejected": texts,
    }
)


@settings(max_examples=40)
@given(st.lists(rows, max_size=12))
def test_parquet_is_lossless(chosen):
    table = ObservationTable.empty()
    if chosen:
        table = ObservationTable.of(pd.DataFrame(chosen), is_si=True)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "table.parquet")
        write_observations(table, path)
        pd.testing.assert_frame_equal(read_observations(path).frame, table.frame)


@settings(max_examples=40)
@given(st.lists(rows, min_size=1, max_size=12))
def test_a_checked_table_passes_its_own_check(chosen):
    table = ObservationTable.of(pd.DataFrame(chosen), is_si=True)
    assert (table.frame["longitude"] < 360).all()
    again = ObservationTable.of(table.frame, is_si=True)
    pd.testing.assert_frame_equal(again.frame, table.frame)
