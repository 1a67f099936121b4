"""Pieces of an evaluation: each reads some states of a variable and keeps their statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from appa_core.climatology import SeasonalClimatology
from appa_core.config.evaluation import EvaluationRequest, EventSpec
from appa_core.errors import DataError, InputError
from appa_core.io.results import Result, ResultFields
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors, save_tensors
from appa_core.io.truth import TruthFields, positions, require_finite
from appa_core.metrics.events import Event
from appa_core.metrics.multivariate import Lags
from appa_core.metrics.regions import RegionWeights
from appa_core.metrics.verification import FieldSums, Scoring, verify_ensemble, verify_single
from appa_core.schema import MASKED
from appa_core.steps.forecast import StateSource
from appa_core.steps.models import Model, cached_model
from appa_core.steps.step import run_step

#: What a piece reads of members at once.
BLOCK_BYTES = 128 << 20
STATISTICS, RANKS, RELIABILITY = "statistics.parquet", "ranks.parquet", "reliability.parquet"
ENSEMBLE = "ensemble"
_THRESHOLD_STATES = 120
_THRESHOLD = "threshold.safetensors"


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
        return TruthFields(self.truth.open(), self.truth.name, self.fields().grid)

    @property
    def known(self) -> list[int]:
        """States of the result whose truth is known."""
        if self.truth is None:
            return []
        return np.flatnonzero(self.fields().valid_times.isin(self.truth.open().times)).tolist()

    @property
    def persists(self) -> bool:
        """Whether the state at the start is known, to persist."""
        return (
            "persistence" in self.baselines
            and self.truth is not None
            and self.fields().init_time in self.truth.open().times
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


@lru_cache(maxsize=16)
def _fields(result: Result) -> ResultFields:
    return ResultFields(result)


@dataclass(frozen=True)
class FieldUnit:
    """Some states of one variable.

    Args:
        of: The result.
        variable: Its name.
        states: Which.
    """

    of: Evaluated
    variable: str
    states: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.variable}, states {self.states[0]} to {self.states[-1]}"


def plan_fields(of: Evaluated, block_bytes: int = BLOCK_BYTES) -> list[FieldUnit]:
    """Units that cover all states whose truth is known."""
    known, units = of.known, []
    for variable in dict.fromkeys(c.variable for c in of.fields().channels):
        size = of.fields().block_states(variable, block_bytes)
        blocks: dict[int, list[int]] = {}
        for state in known:
            blocks.setdefault(state // size, []).append(state)
        units += [FieldUnit(of, variable, tuple(states)) for states in blocks.values()]
    return units


def evaluate_fields(unit: FieldUnit) -> Artifact:
    """Keep the statistics of a unit: three tables, whose rows are of one date, lead and region."""
    of, fields = unit.of, unit.of.fields()
    times = fields.valid_times[list(unit.states)]
    needed = times.union([fields.init_time]) if of.persists else times
    events = of.events(unit.variable)
    recipe = Recipe(
        "evaluation-fields",
        1,
        {
            "variable": unit.variable,
            "states": list(unit.states),
            "boxes": {name: vars(box) for name, box in of.request.boxes.items()},
            "events": [e.name for e in events],
            "baselines": list(of.baselines),
        },
        of.parents(needed) | {e.name: t for e in events if (t := _threshold_key(of, e))},
    )

    def build(folder: Path) -> Mapping[str, Any]:
        rows: dict[str, list[dict[str, Any]]] = {STATISTICS: [], RANKS: [], RELIABILITY: []}
        for part in _each_field(unit):
            part.add_to(rows)
        for name, records in rows.items():
            pd.DataFrame(records).to_parquet(folder / name, index=False)
        return {"rows": len(rows[STATISTICS])}

    return run_step(ArtifactStore(of.store), recipe, build)


@dataclass(frozen=True)
class _Field:
    """One field with what it is compared with."""

    about: dict[str, Any]
    ensemble: np.ndarray
    truth: np.ndarray
    single: dict[str, np.ndarray]
    base: np.ndarray | None
    weights: RegionWeights
    scoring: Scoring
    events: Sequence[Event]

    def add_to(self, rows: dict[str, list[dict[str, Any]]]) -> None:
        """Append what is found to tables."""
        found = verify_ensemble(
            self.ensemble, self.truth, self.weights, self.scoring, self.base, self.events
        )
        rows[STATISTICS] += self._rows(ENSEMBLE, found)
        for name, forecast in self.single.items():
            sums = verify_single(forecast, self.truth, self.weights, self.base)
            rows[STATISTICS] += self._rows(name, sums)
        for r, region in enumerate(self.weights.names):
            about = self.about | {"region": region}
            rows[RANKS] += [
                about | {"rank": rank, "count": count} for rank, count in enumerate(found.ranks[r])
            ]
            for event, table in found.reliability.items():
                rows[RELIABILITY] += [
                    about
                    | {"event": event, "bin": i}
                    | dict(zip(("weight", "forecast", "happened", "count"), line, strict=True))
                    for i, line in enumerate(table[r].tolist())
                ]

    def _rows(self, name: str, sums: FieldSums) -> list[dict[str, Any]]:
        return [
            self.about
            | {"forecast": name, "region": region}
            | {key: float(values[r]) for key, values in sums.means.items()}
            for r, region in enumerate(self.weights.names)
        ]


def _each_field(unit: FieldUnit) -> Iterator[_Field]:
    of, fields, variable = unit.of, unit.of.fields(), unit.variable
    levels = [c.level for c in fields.channels if c.variable == variable]
    times = fields.valid_times[list(unit.states)]
    ensemble = fields.read(variable, unit.states)
    truth = of.truth_fields().read(variable, levels, times)
    if variable not in MASKED:
        require_finite(ensemble, variable, levels, times, f"members of {of.result.folder}")
    base = climatology(of, variable, levels, times)
    singles = {"climatology": base} if base is not None and "climatology" in of.baselines else {}
    if of.persists:
        first = of.truth_fields().read(variable, levels, pd.DatetimeIndex([fields.init_time]))
        singles["persistence"] = np.broadcast_to(first, truth.shape)
    lat, lon = (np.asarray(axis) for axis in (fields.grid.latitudes, fields.grid.longitudes))
    weights = RegionWeights.of(of.request.boxes, lat, lon)
    scoring = Scoring(Lags.of(lat, lon))
    thresholds = {e.name: _event(of, e) for e in of.events(variable)}
    for t, l in np.ndindex(len(unit.states), len(levels)):
        about = {
            "variable": variable, "level": levels[l], "init_time": fields.init_time,
            "lead_hours": int(fields.lead_hours[unit.states[t]]), "valid_time": times[t],
        }  # fmt: skip
        events = [thresholds[e.name] for e in of.events(variable) if e.level == levels[l]]
        parts = {name: values[t, l] for name, values in singles.items()}
        here = None if base is None else base[t, l]
        yield _masked(
            _Field(about, ensemble[:, t, l], truth[t, l], parts, here, weights, scoring, events)
        )


def _masked(found: _Field) -> _Field:
    """The field without cells that have no value; they must be the same in all of it."""
    missing = np.isnan(found.truth)
    if not missing.any() and not np.isnan(found.ensemble).any():
        return found
    for values in (*found.ensemble, *found.single.values()):
        if (np.isnan(values) != missing).any():
            about = found.about
            raise DataError(
                f"{about['variable']} at {about['valid_time']:%Y-%m-%dT%H:%M} UTC has values in "
                "other cells than the true states have; expected one mask"
            )
    return replace(found, weights=found.weights.masked(~missing))


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


def fit_thresholds(of: Evaluated) -> None:
    """Find the thresholds of events that are percentiles, before units need them."""
    for event in of.request.event_specs:
        if event.of_climatology and event.channel in of.fields().channels and of.known:
            _threshold(of, event)


def _threshold_recipe(of: Evaluated, event: EventSpec) -> tuple[Recipe, pd.DatetimeIndex]:
    assert of.truth is not None
    every = of.truth.open().times
    picks = np.unique(
        np.linspace(0, len(every) - 1, min(len(every), _THRESHOLD_STATES)).astype(int)
    )
    times, grid = every[picks], of.fields().grid
    config = {
        "event": event.hashed(),
        "times": [str(times[0]), str(times[-1]), len(times)],
        "cells": [
            [round(float(x), 6) for x in axis] for axis in (grid.latitudes, grid.longitudes)
        ],
    }
    return Recipe("evaluation-threshold", 1, config, {"truth": of.truth.identity(times)}), times


def _threshold_key(of: Evaluated, event: EventSpec) -> str:
    return _threshold_recipe(of, event)[0].key if event.of_climatology else ""


def _threshold(of: Evaluated, event: EventSpec) -> Artifact:
    """Percentile of the true states by cell, over states evenly spread over all that are known."""
    recipe, times = _threshold_recipe(of, event)

    def build(folder: Path) -> Mapping[str, Any]:
        states = of.truth_fields().read(event.variable, [event.level], times)[:, 0]
        value = np.quantile(states, event.threshold / 100, axis=0).astype(np.float32)
        save_tensors(folder / _THRESHOLD, {"value": torch.from_numpy(value)})
        return {"states": len(times)}

    return run_step(ArtifactStore(of.store), recipe, build)


def _event(of: Evaluated, spec: EventSpec) -> Event:
    if not spec.of_climatology:
        return Event(spec.name, np.asarray(spec.threshold), spec.is_above)
    with _threshold(of, spec).verify().local() as folder:
        value = load_tensors(folder / _THRESHOLD)["value"].numpy()
    return Event(spec.name, value, spec.is_above)
