"""What every job from observations is checked for, and the table that it uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch

from appa_core.config.methods import (
    InterpolationConfig,
    MethodConfig,
    SmootherConfig,
    load_method,
)
from appa_core.config.observation_errors import load_error_table
from appa_core.config.observing import (
    CatalogObservations,
    FileObservations,
    SimulatedNetwork,
)
from appa_core.config.presets import Preset
from appa_core.config.requests import ObservedRequest
from appa_core.errors import InputError
from appa_core.io.forecasts import FieldSelection
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.observations.errors import assign_errors, grid_spacing_km
from appa_core.observations.table import ObservationTable
from appa_core.steps.drawing import Drawing, HeardRows
from appa_core.steps.fields import Product
from appa_core.steps.forecast import StateSource
from appa_core.steps.models import (
    RECONSTRUCTION,
    cached_model,
    model_key,
    read_model_preset,
    verify_model,
)
from appa_core.steps.observing import (
    Reader,
    keep_observations,
    kept_observations,
    observe,
    observed_identity,
    withhold,
)
from appa_core.steps.own_operator import OwnReference, try_operator
from appa_core.steps.reported import reject_unusable
from appa_core.steps.simulated_reports import Truth

ObservationSource: TypeAlias = SimulatedNetwork | FileObservations | CatalogObservations
#: Of these methods none differentiates operators.
_DERIVATIVE_FREE = (SmootherConfig, InterpolationConfig)


@dataclass(frozen=True)
class ObservedJob:
    """A checked request, before anything is read or written.

    Args:
        kind: Such as `reanalysis`.
        request: What is asked.
        method: How posteriors are drawn.
        source: What is observed.
        truth: Known states, to observe or to score against; None if there are none.
        model_folder: Registered model.
        model_key: Hash of the model's files.
        device: Where networks run.
    """

    kind: str
    request: ObservedRequest
    method: MethodConfig
    source: ObservationSource
    truth: StateSource | None
    model_folder: str
    model_key: str
    device: str = "cpu"

    @cached_property
    def preset(self) -> Preset:
        """Configuration of the model."""
        return read_model_preset(Path(self.model_folder))

    def drawing(self, operator: OwnReference | None = None) -> Drawing:
        """How stretches are drawn."""
        return Drawing(
            self.method,
            self.model_folder,
            self.model_key,
            self.request.seed,
            self.request.dtype,
            operator,
            self.device,
        )


def prepare_observed(
    kind: str,
    request: ObservedRequest,
    source: ObservationSource,
    truth: StateSource | None,
    model_folder: Path,
    device: str,
) -> ObservedJob:
    """Check everything that can be wrong with a request, before any work.

    Raises:
        InputError: The method, a variable, level or device does not exist; a simulated network has
            no states to observe.
        IntegrityError: The model is damaged.
    """
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"cannot use device {device!r}: {error}") from error
    method = load_method(request.method)
    if isinstance(method, SmootherConfig) and request.members < 2:
        raise InputError("es-mda estimates covariances from its members; expected 2 or more")
    manifest = verify_model(model_folder)
    if RECONSTRUCTION not in manifest["files"]:
        raise InputError(
            f"model {request.model} came without the errors of its autoencoder "
            f"({RECONSTRUCTION}), which observations are weighed with: register it again with them"
        )
    key = model_key(manifest)
    job = ObservedJob(kind, request, method, source, truth, str(model_folder), key, device)
    FieldSelection.of(job.preset.state.build(), request)
    if isinstance(source, SimulatedNetwork) and truth is None:
        raise InputError("a simulated network observes known states: name them with --truth")
    return job


@dataclass(frozen=True)
class ObservedTable:
    """The observations of a job.

    Args:
        artifact: The kept table.
        operator: The user's own operator, if there is one.
        counts: Rows by platform and quantity, and what became of them, as text.
    """

    artifact: Artifact
    operator: OwnReference | None
    counts: str


def prepare_table(
    store: ArtifactStore,
    job: ObservedJob,
    times: pd.DatetimeIndex,
    read: Reader,
    *,
    deny: Callable[[ObservationTable], ObservationTable] = lambda table: table,
    recompute: bool = False,
) -> ObservedTable:
    """Read or simulate observations, assign errors, reject what cannot be used, withhold.

    Args:
        store: Where the table is kept.
        job: What is observed.
        times: Valid times of the states that observations may lie between.
        read: Reads real reports.
        deny: Rejects more rows.
        recompute: Simulate again what is there.

    Raises:
        InputError: No row is left, or an operator is not what it should be.
    """
    model = cached_model(job.model_folder, job.model_key, job.device)
    table = kept_observations(_observed(store, job, times, read, recompute=recompute))
    operator = None
    if job.request.operator:
        operator = OwnReference.find(job.request.operator, table)
    if table.frame["error_std"].isna().any():
        spacing = grid_spacing_km(job.preset.state.build().grid)
        table = assign_errors(table, load_error_table().build(), spacing)
    reads_all = operator is not None and operator.reads_all
    table = deny(reject_unusable(table, model, times, reads_all=reads_all))
    table = withhold(table, job.request.withhold, job.request.seed)
    _require_rows(table, times)
    _try(job, table, times, operator)
    artifact = keep_observations(store, table)
    return ObservedTable(artifact, operator, table.counts().to_string())


def _observed(
    store: ArtifactStore,
    job: ObservedJob,
    times: pd.DatetimeIndex,
    read: Reader,
    *,
    recompute: bool,
) -> Artifact:
    return observe(store, job.source, times, read, _truth(job), recompute=recompute)


def _truth(job: ObservedJob) -> Truth | None:
    if not isinstance(job.source, SimulatedNetwork) or job.truth is None:
        return None
    model = cached_model(job.model_folder, job.model_key, job.device)
    return Truth(job.truth, job.preset.state.build(), model.normalisation, job.model_key)


def identity_of_observations(job: ObservedJob, times: pd.DatetimeIndex, read: Reader) -> str:
    """Hash of what there is to observe, before anything is kept; see `observed_identity`."""
    return observed_identity(job.source, times, read, _truth(job))


def _require_rows(table: ObservationTable, times: pd.DatetimeIndex) -> None:
    if table.is_used.any():
        return
    span = f"{times[0]:%Y-%m-%dT%H:%M} to {times[-1]:%Y-%m-%dT%H:%M} UTC"
    if not len(table):
        raise InputError(f"there is no observation from {span}: the table has no rows")
    valid = table.frame["valid_time"]
    raise InputError(
        f"no observation is left from {span}; the table holds {valid.min():%Y-%m-%dT%H:%M} to "
        f"{valid.max():%Y-%m-%dT%H:%M}, and its rows are not used because:\n"
        f"{table.counts().to_string()}"
    )


def _try(
    job: ObservedJob,
    table: ObservationTable,
    times: pd.DatetimeIndex,
    operator: OwnReference | None,
) -> None:
    """Apply a user's own operator to the first blanket that has rows for it."""
    drawing = job.drawing(operator)
    reading = replace(drawing.reading, of_states=False)
    if reading.function is None:
        return
    states, heard = max(job.preset.denoiser.states, 2), HeardRows(table)
    for low in range(0, len(times), states - 1):
        part = times[low : low + states]
        rows = heard.of(part, 0)
        own = np.asarray((rows.frame["quantity"] == "own") | reading.reads_all, bool)
        if own.any():
            model = cached_model(job.model_folder, job.model_key, job.device)
            needs = not isinstance(job.method, _DERIVATIVE_FREE)
            try_operator(model, rows.rows(own), part, reading, needs_gradient=needs)
            return


def product_of(job: ObservedJob, table: ObservedTable) -> Product:
    """What is published."""
    return Product(job.kind, job.request, job.drawing(table.operator), table.artifact, job.truth)
