"""Physics and spectra of some states: of members, of the truth, of the autoencoder alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from appa_core.errors import DataError
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.truth import positions
from appa_core.metrics.harmonics import resolved_degrees
from appa_core.metrics.physics import (
    Check,
    PhysicsGrid,
    check_slopes,
    check_state,
    tendency_rms,
)
from appa_core.metrics.spectra import power_spectrum
from appa_core.schema import MASKED, Channel
from appa_core.steps.evaluated import Evaluated
from appa_core.steps.step import run_step

PHYSICS, SPECTRA, TENDENCIES = "physics.parquet", "spectra.parquet", "tendencies.parquet"
MEMBERS, MEAN, TRUTH, AUTOENCODER = "members", "mean", "truth", "autoencoder"
State = dict[Channel, np.ndarray]


@dataclass(frozen=True)
class PhysicsUnit:
    """One state, and the next to take the change from.

    Args:
        of: The result.
        state: Which.
    """

    of: Evaluated
    state: int

    def __str__(self) -> str:
        return f"physics of state {self.state}"

    @cached_property
    def states(self) -> list[int]:
        """The state, and the next if the result has it."""
        last = len(self.of.fields().valid_times) - 1
        return [self.state, self.state + 1] if self.state < last else [self.state]

    @cached_property
    def times(self) -> pd.DatetimeIndex:
        """Valid times of the states."""
        return self.of.fields().valid_times[self.states]


def plan_physics(of: Evaluated) -> list[PhysicsUnit]:
    """Units of states that are spread evenly, the first and one before the last among them."""
    count, wanted = len(of.fields().valid_times), of.request.physics_states
    last = max(count - 2, 0)
    picks = np.unique(np.linspace(0, last, min(wanted, last + 1)).round().astype(int))
    return [PhysicsUnit(of, int(state)) for state in picks]


def evaluate_physics(unit: PhysicsUnit) -> Artifact:
    """Keep checks, power and power of changes of a unit, a row for every member and source."""
    of = unit.of
    known = of.truth is not None and bool(unit.times.isin(of.truth.open().times).all())
    times = unit.times if known else unit.times[:0]
    recipe = Recipe("evaluation-physics", 1, {"states": unit.states}, of.parents(times))

    def build(folder: Path) -> Mapping[str, Any]:
        where = PhysicsGrid(of.fields().grid)
        tables = _Tables(unit, where)
        mean: list[State] = []
        for member in range(of.fields().members):
            pair = _read_member(unit, member)
            tables.add(MEMBERS, pair, member)
            mean = _added(mean, pair)
        if of.fields().members:
            tables.add_power(MEAN, {c: f / of.fields().members for c, f in mean[0].items()})
        if known:
            for source, pair in _known_states(unit):
                tables.add(source, pair)
        return tables.write(folder)

    return run_step(ArtifactStore(of.store), recipe, build)


class _Tables:
    """Rows of three tables."""

    def __init__(self, unit: PhysicsUnit, where: PhysicsGrid) -> None:
        fields = unit.of.fields()
        self._where = where
        self._about = {
            "init_time": fields.init_time,
            "lead_hours": int(fields.lead_hours[unit.state]),
        }
        self._rows: dict[str, list[dict[str, Any]]] = {PHYSICS: [], SPECTRA: [], TENDENCIES: []}

    def add(self, source: str, pair: list[State], member: int = 0) -> None:
        """Take a state, and what it becomes, into account."""
        state = pair[0]
        checks = check_state(state, self._where)
        checks += check_slopes(self.add_power(source, state), self._where)
        if len(pair) > 1:
            change = {c: pair[1][c].astype(np.float64) - f for c, f in state.items()}
            self._add_power(TENDENCIES, source, change)
            checks += [
                Check("tendency", c.variable, c.level, "", tendency_rms(d, self._where), c.units)
                for c, d in change.items()
                if c.variable not in MASKED
            ]
        about = self._about | {"source": source, "member": member}
        self._rows[PHYSICS] += [about | vars(check) for check in checks]

    def add_power(self, source: str, state: State) -> dict[Channel, np.ndarray]:
        """Take the power of a state into account, and return it by channel."""
        return self._add_power(SPECTRA, source, state)

    def _add_power(self, table: str, source: str, state: State) -> dict[Channel, np.ndarray]:
        channels = [c for c in state if c.variable not in MASKED]
        if not self._where.is_global or not channels:
            return {}
        grid = self._where.grid
        stack = np.stack([state[c] for c in channels]).astype(np.float64)
        power = power_spectrum(stack, grid, resolved_degrees(grid))
        about = self._about | {"source": source}
        self._rows[table] += [
            about | {"variable": c.variable, "level": c.level, "wavenumber": n, "power": value}
            for c, line in zip(channels, power.tolist(), strict=True)
            for n, value in enumerate(line)
        ]
        return dict(zip(channels, power, strict=True))

    def write(self, folder: Path) -> Mapping[str, Any]:
        """Write the tables."""
        for name, rows in self._rows.items():
            pd.DataFrame(rows).to_parquet(folder / name, index=False)
        return {"rows": len(self._rows[PHYSICS])}


def _read_member(unit: PhysicsUnit, member: int) -> list[State]:
    """A member's states."""
    fields = unit.of.fields()
    out: list[State] = [{} for _ in unit.states]
    for variable, levels in fields.levels.items():
        values = fields.read(variable, unit.states, slice(member, member + 1))[0]
        for state, per_level in zip(out, values, strict=True):
            for level, field in zip(levels, per_level, strict=True):
                state[Channel(variable, level)] = field
    return out


def _added(total: list[State], pair: list[State]) -> list[State]:
    """Sums of first states over members, in float64."""
    if not total:
        return [{c: f.astype(np.float64) for c, f in pair[0].items()}]
    for channel, field in pair[0].items():
        total[0][channel] += field
    return total


def _known_states(unit: PhysicsUnit) -> Iterator[tuple[str, list[State]]]:
    """True states, and those that the autoencoder makes of them, on the result's cells."""
    of = unit.of
    truth, fields = of.truth_fields(), of.fields()
    states: list[State] = [{} for _ in unit.states]
    for variable, levels in fields.levels.items():
        values = truth.read(variable, levels, unit.times)
        for state, per_level in zip(states, values, strict=True):
            for level, field in zip(levels, per_level, strict=True):
                state[Channel(variable, level)] = field
    yield TRUTH, states
    coded = _coded(unit)
    if coded is not None:
        yield AUTOENCODER, coded


def _coded(unit: PhysicsUnit) -> list[State] | None:
    """True states after the autoencoder alone; None if it cannot be told."""
    of = unit.of
    if of.model is None or of.truth is None:
        return None
    model = of.model.load()
    if model.stored_normalisation is None:
        return None
    schema, times = model.preset.state.build(), unit.times.values
    try:
        states = schema.stack(of.truth.open().read(unit.times))
    except DataError:
        # the states lack a channel that the weights know
        return None
    standard = model.normalisation.standardise(states, times)
    with torch.no_grad():
        latents = model.encode(torch.from_numpy(standard).to(of.model.device))
        decoded = model.decode(latents).cpu().numpy()
    restored = schema.bound(model.normalisation.restore(decoded, times).astype(np.float32))
    grid = of.fields().grid
    rows, columns = (
        positions(np.asarray(a), np.asarray(b), dim, "the model")
        for a, b, dim in (
            (schema.grid.latitudes, grid.latitudes, "latitude"),
            (schema.grid.longitudes, grid.longitudes, "longitude"),
        )
    )
    return [
        {
            c: state[schema.index(c.variable, c.level)][rows][:, columns]
            for c in of.fields().channels
        }
        for state in restored
    ]
