"""Real reports by file or catalog entry, and the checks of everything that uses observations."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from appa_core.config.control import load_control
from appa_core.config.observing import (
    CatalogObservations,
    FileObservations,
    ReportTemplate,
    SimulatedNetwork,
    parse_observations,
)
from appa_core.config.requests import ObservedRequest
from appa_core.observations.table import ObservationTable
from appa_core.steps.forecast import StateSource
from appa_core.steps.models import cached_model
from appa_core.steps.observations import ObservationSource, controlled_observations
from appa_core.steps.observed import ObservedJob, prepare_observed
from appa_core.steps.observing import ReportSource
from appa_core.steps.publish import check_output
from tasks.allowed import require_allowed_operator
from tasks.catalog import model_folder, observation_entries, resolve_observations, state_source

#: Known states that a simulated network observes unless others are named.
_DEFAULT_TRUTH = "sample"


def read_reports(
    source: ReportSource,
    job: ObservedJob,
    times: pd.DatetimeIndex,
) -> ObservationTable:
    """The table of real reports of a period, after control.

    What lends a simulated network its places may be of any time; its values go unused, so that no
    climatology judges them.

    Args:
        source: Where they are.
        job: Whose model's climatology tells unusual values.
        times: First and last valid time, and those between.

    Raises:
        InputError: There is no such file or entry, or no report of the period.
        DataError: A file cannot be read.
    """
    where, control = located(source), load_control("default")
    if isinstance(source, ReportTemplate):
        return controlled_observations(where, control).table
    model = cached_model(job.model_folder, job.model_key, job.device)
    period = times[0], times[-1]
    return controlled_observations(where, control, period, model).table


def located(source: ReportSource) -> ObservationSource:
    """Where real reports are.

    Raises:
        InputError: There is no such file or entry.
    """
    if isinstance(source, CatalogObservations):
        return resolve_observations(source.name, source.parameters)
    return resolve_observations(source.location)


def prepare_job(
    kind: str, request: ObservedRequest, device: str, output: str | None
) -> ObservedJob:
    """Check what a request refers to, before anything is written.

    Raises:
        InputError: Something that was asked for does not exist or is not possible.
        IntegrityError: Data or weights are damaged.
    """
    if output is not None:
        check_output(Path(output))
    require_allowed_operator(request.operator)
    source = parse_observations(request.observations, observation_entries())
    needed = source.templates if isinstance(source, SimulatedNetwork) else (source,)
    for reports in needed:
        located(reports)
    truth = truth_of(request.known_states, source)
    return prepare_observed(kind, request, source, truth, model_folder(request.model), device)


def truth_of(
    name: str, source: SimulatedNetwork | FileObservations | CatalogObservations
) -> StateSource | None:
    """Known states: those that are named, else what a simulated network observes."""
    if not name and not isinstance(source, SimulatedNetwork):
        return None
    return state_source(name or _DEFAULT_TRUTH)
