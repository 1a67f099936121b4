"""Observations from their files to a controlled table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from appa_core.config.control import ControlConfig
from appa_core.errors import AbsentError
from appa_core.io.readers.reading import AUTO, ReadFiles, read_files
from appa_core.observations.control.check import Evidence
from appa_core.observations.table import ObservationTable
from appa_core.steps.control import climatology_at, control_table
from appa_core.steps.models import Model


@dataclass(frozen=True)
class ObservationSource:
    """Where observations are.

    Args:
        name: For messages.
        location: A file, pattern, folder or URL.
        file_format: One of the readers' formats, or `auto`.
        storage_options: For fsspec, as pairs.
    """

    name: str
    location: str
    file_format: str = AUTO
    storage_options: tuple[tuple[str, Any], ...] = ()

    def read(self) -> ReadFiles:
        """All that is there; raises as `read_files` does."""
        return read_files(self.location, self.file_format, dict(self.storage_options))


@dataclass(frozen=True)
class Controlled:
    """Observations after control.

    Args:
        table: All rows; those that are rejected say why.
        files: What they were read from.
        left_out: Checks that could not be made, for want of a model or a background.
    """

    table: ObservationTable
    files: ReadFiles
    left_out: tuple[str, ...]


def controlled_observations(
    source: ObservationSource,
    control: ControlConfig,
    period: tuple[pd.Timestamp | None, pd.Timestamp | None] = (None, None),
    model: Model | None = None,
) -> Controlled:
    """Read and control observations, by all checks that what is known allows.

    Args:
        source: Where they are.
        control: Checks.
        period: First and last valid time; None has no limit.
        model: Whose climatology unusual values are told by.

    Raises:
        InputError: A source, a table or a black-list is not what it should be.
        AbsentError: No row lies in the period.
        DataError: A file cannot be read.
    """
    files = source.read()
    table = _within(files.table, period, source.name)
    climatology = climatology_at(model, table) if model is not None else None
    controlled, left_out = control_table(table, control, Evidence(climatology=climatology))
    return Controlled(controlled, files, left_out)


def _within(
    table: ObservationTable,
    period: tuple[pd.Timestamp | None, pd.Timestamp | None],
    name: str,
) -> ObservationTable:
    """Rows of a period, at least one."""
    if len(table) == 0:
        raise AbsentError(f"{name}: the files hold no observation that can be read")
    times = table.frame["valid_time"]
    start, end = period[0] or times.min(), period[1] or times.max()
    found = table.between(start, end)
    if len(found) == 0:
        raise AbsentError(
            f"{name}: no observation from {start:%Y-%m-%dT%H:%M} to {end:%Y-%m-%dT%H:%M} UTC; the "
            f"files hold {times.min():%Y-%m-%dT%H:%M} to {times.max():%Y-%m-%dT%H:%M}"
        )
    return found
