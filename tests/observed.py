"""Rows of observation tables for tests."""

import numpy as np
import pandas as pd

from appa_core.observations.control.check import Evidence
from appa_core.observations.table import ObservationTable

ROW = {
    "valid_time": "2024-01-01T00:00",
    "latitude": 10.0,
    "longitude": 20.0,
    "level": np.nan,
    "quantity": "2m_temperature",
    "value": 280.0,
    "error_std": 1.0,
    "platform": "synop",
    "station_id": "A",
    "elevation_m": 0.0,
    "report_id": "",
    "rejected": "",
}
ALOFT = {"level": 500.0, "quantity": "temperature", "value": 250.0}


def table(*changes, **common):
    """Rows that differ from a usual one."""
    rows = [ROW | common | change for change in changes]
    return ObservationTable.of(pd.DataFrame(rows), is_si=True)


def reasons(controlled):
    """Why rows are not used, in order."""
    return controlled.frame["rejected"].tolist()


def after(check, *changes, evidence=None, **common):
    """Reasons after a check of rows that differ from a usual one."""
    return reasons(check(table(*changes, **common), evidence or Evidence()))
