"""A result with all that it is held against: true states, climatology, baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pandas as pd

from appa_core.climatology import SeasonalClimatology
from appa_core.config.evaluation import EvaluationRequest, EventSpec
from appa_core.errors import InputError
from appa_core.io.datasets import Archive
from appa_core.io.result_blocks import ResultFields
from appa_core.io.results import Result
from appa_core.io.truth import TruthFields, positions
from appa_core.steps.forecast import StateSource
from appa_core.steps.models import Model, cached_model


@dataclass(frozen=True)
class ModelReference:
    """Registered weights, which know the climatology and hold the autoencoder.

    Args:
        folder: Where.
        key: Hash of their files.
        device: Where networks run.
    """

    folder: str
    key: str
    device: str = "cpu"

    def load(self) -> Model:
        """The networks and the climatology; a process loads them once."""
        return cached_model(self.folder, self.key, self.device)


@dataclass(frozen=True)
class Evaluated:
    """A result with what it is compared with.

    Args:
        store: Where pieces are kept.
        result: An exported folder.
        request: What is evaluated.
        truth: Known states; None if there are none.
        model: Weights whose climatology and autoencoder are used; None if they are not known.
        baselines: Forecasts that are scored beside the ensemble.
    """

    store: str
    result: Result
    request: EvaluationRequest = field(repr=False)
    truth: StateSource | None
    model: ModelReference | None
    baselines: tuple[str, ...] = ()

    def fields(self) -> ResultFields:
        """The result, opened; a process opens it once."""
        return _fields(self.result)

    def truth_fields(self) -> TruthFields:
        """Known states on the result's cells."""
        if self.truth is None:
            raise InputError(f"{self.result.folder}: no true states are known")
        return TruthFields(_archive(self.truth), self.truth.name, self.fields().grid)

    @property
    def known(self) -> list[int]:
        """States of the result whose truth is known."""
        if self.truth is None:
            return []
        return np.flatnonzero(self.fields().valid_times.isin(_archive(self.truth).times)).tolist()

    @property
    def persists(self) -> bool:
        """Whether the state at the start is known, to persist."""
        return (
            "persistence" in self.baselines
            and self.truth is not None
            and self.fields().init_time in _archive(self.truth).times
        )

    def parents(self, times: pd.DatetimeIndex) -> dict[str, str]:
        """Identities of all that statistics at some times depend on."""
        found = {"result": self.result.digest}
        if self.truth is not None and len(times):
            found["truth"] = self.truth.identity(times)
        if self.model is not None:
            found["model"] = self.model.key
        return found

    def events(self, variable: str) -> list[EventSpec]:
        """Events of a variable that the result has."""
        channels = self.fields().channels
        return [
            e for e in self.request.event_specs if e.variable == variable and e.channel in channels
        ]


@lru_cache(maxsize=4)
def _archive(source: StateSource) -> Archive:
    return source.open()


@lru_cache(maxsize=16)
def _fields(result: Result) -> ResultFields:
    return ResultFields(result)


def climatology(
    of: Evaluated, variable: str, levels: Sequence[int | None], times: pd.DatetimeIndex
) -> np.ndarray | None:
    """The usual states of some times on the result's cells, (T, L, H, W); None if not known."""
    if of.model is None:
        return None
    model = of.model.load()
    if model.stored_normalisation is None:
        return None
    schema, grid = model.preset.state.build(), of.fields().grid
    picks = [schema.index(variable, level) for level in levels]
    part = model.stored_normalisation.base.coefficients[:, :, picks]
    states = SeasonalClimatology(part).at(times.values)
    rows = positions(np.asarray(schema.grid.latitudes), np.asarray(grid.latitudes),
                     "latitude", "the model")  # fmt: skip
    columns = positions(np.asarray(schema.grid.longitudes), np.asarray(grid.longitudes),
                        "longitude", "the model")  # fmt: skip
    whole = np.broadcast_to(states, (*states.shape[:2], *schema.grid.shape))
    return np.asarray(whole[:, :, rows][..., columns])
