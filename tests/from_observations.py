"""Reanalyses and their kin on the tiny world, without Prefect."""

from pathlib import Path

import numpy as np
import pandas as pd

from appa_core.observations.table import ObservationTable

SPEC = "simulated:stations=0.05,orbiters=1,station_error=0.1"


def settings(tiny_world, folder, **changes):
    """Arguments of a flow on the tiny world."""
    return {
        "observations": SPEC,
        "truth": str(tiny_world.sample),
        "model": str(tiny_world.model),
        "members": 3,
        "store": str(folder / "store"),
        "output": str(folder / "out"),
    } | changes


def options(tiny_world, folder, **changes):
    """The same as options of a command line."""
    words = []
    for name, value in settings(tiny_world, folder, **changes).items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def some_reports(times, count=40, **changes) -> ObservationTable:
    """Reports of temperature at 2 m within a period."""
    rng = np.random.default_rng(0)
    hours = (times[-1] - times[0]) / pd.Timedelta(hours=1)
    columns = {
        "valid_time": times[0] + pd.to_timedelta(rng.uniform(0, hours, count), "h"),
        "latitude": rng.uniform(-85, 85, count),
        "longitude": rng.uniform(0, 360, count),
        "level": np.nan,
        "quantity": "2m_temperature",
        "value": rng.normal(286, 1, count),
        "error_std": 0.3,
        "platform": "station",
        "station_id": [f"S{i}" for i in range(count)],
    }
    return ObservationTable.of(pd.DataFrame(columns | changes))


def write_reports(path: Path, table: ObservationTable) -> str:
    """A table as a file that a user brings."""
    table.frame.to_parquet(path, index=False)
    return str(path)


def contents(folder: Path):
    """All files by name."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
