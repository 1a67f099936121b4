"""Pieces of an evaluation: each reads some states of a variable and keeps their statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from appa_core.errors import DataError
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.truth import require_finite
from appa_core.metrics.events import Event
from appa_core.metrics.multivariate import Lags
from appa_core.metrics.regions import RegionWeights
from appa_core.metrics.verification import FieldSums, Scoring, verify_ensemble, verify_single
from appa_core.schema import MASKED
from appa_core.steps.evaluated import Evaluated, climatology
from appa_core.steps.evaluation_thresholds import event_of, threshold_key
from appa_core.steps.step import run_step

#: What a piece reads of members at once.
BLOCK_BYTES = 128 << 20
STATISTICS, RANKS, RELIABILITY = "statistics.parquet", "ranks.parquet", "reliability.parquet"
ENSEMBLE = "ensemble"


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
    for variable in of.fields().levels:
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
        }
        | ({"paired": True} if of.result.paired else {}),
        of.parents(needed) | {e.name: t for e in events if (t := threshold_key(of, e))},
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
    levels = fields.levels[variable]
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
    scoring = Scoring(Lags.of(lat, lon), paired=of.result.paired)
    thresholds = {e.name: event_of(of, e) for e in of.events(variable)}
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
