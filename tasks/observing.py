"""Tasks on observations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from appa_core.config.control import ControlConfig
from appa_core.io.readers.tables import write_observations
from appa_core.steps.models import load_model
from appa_core.steps.observations import ObservationSource, controlled_observations


@dataclass(frozen=True)
class ControlSummary:
    """What came of observations.

    Args:
        files: How many were read.
        rows: Of the table.
        used: Rows that were not rejected.
        counts: Rows by reason and platform, as text.
        unreadable: What could not be read, as text; empty if everything could.
        left_out: Kinds of checks that could not be made.
        output: Where the table was written; empty if it was not.
    """

    files: int
    rows: int
    used: int
    counts: str
    unreadable: str
    left_out: tuple[str, ...]
    output: str


@task(cache_policy=NO_CACHE)
def control_observations(
    source: ObservationSource,
    control: ControlConfig,
    period: tuple[pd.Timestamp | None, pd.Timestamp | None],
    model: str | None = None,
    output: str | None = None,
) -> ControlSummary:
    """Read and control observations, and write the table with all rows and reasons.

    Args:
        source: Where they are.
        control: Checks.
        period: First and last valid time.
        model: Folder of a model whose climatology unusual values are told by.
        output: URL of a Parquet file.
    """
    loaded = load_model(Path(model)) if model else None
    found = controlled_observations(source, control, period, loaded)
    if output:
        write_observations(found.table, output, dict(source.storage_options))
    return ControlSummary(
        len(found.files.formats),
        len(found.table),
        int(found.table.is_used.sum()),
        found.table.counts("platform").T.to_string(),
        found.files.summary(),
        found.left_out,
        output or "",
    )
