"""Observed rows as linear terms of the fields of a trajectory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from appa_core.climatology import Normalisation
from appa_core.constants import STANDARD_GRAVITY
from appa_core.observe.interpolation import (
    CellWeights,
    Weights,
    between,
    bilinear,
    footprint,
    in_pressure,
)
from appa_core.observe.quantities import Quantity, quantity
from appa_core.schema import StateSchema

_WINDS = frozenset(
    {
        "u_component_of_wind",
        "v_component_of_wind",
        "10m_u_component_of_wind",
        "10m_v_component_of_wind",
    }
)
_ACCUMULATED = frozenset({"total_precipitation_6hr"})
#: Highest station whose pressure is derived from that at sea level.
HIGHEST_STATION_M = 800.0


@dataclass(frozen=True)
class ObservedRows:
    """What operators need of a table of N observations, a column each; NaN where it has none.

    Args:
        quantity: Names, (N,) object.
        state: Valid time in steps since the first state of the trajectory, (N,) float64.
        latitude: Degrees, (N,).
        longitude: Degrees, (N,).
        level: hPa, (N,).
        top_level: hPa, (N,).
        weighting_width: In ln p, (N,).
        elevation_m: (N,).
        footprint_km: (N,).
        value: SI units, (N,).
    """

    quantity: np.ndarray
    state: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray
    level: np.ndarray
    top_level: np.ndarray
    weighting_width: np.ndarray
    elevation_m: np.ndarray
    footprint_km: np.ndarray
    value: np.ndarray

    def __len__(self) -> int:
        return len(self.quantity)

    def rows(self, picks: np.ndarray) -> ObservedRows:
        """Some rows."""
        return ObservedRows(**{name: column[picks] for name, column in vars(self).items()})


@dataclass(frozen=True)
class Term:
    """A linear function of the fields for each of N rows: sum of weight x field over entries.

    Args:
        state: States that are read, (N, K) int64.
        channel: (N, K) int64.
        cell: In a flattened (H, W), (N, K) int64.
        weight: (N, K) float64.
    """

    state: np.ndarray
    channel: np.ndarray
    cell: np.ndarray
    weight: np.ndarray


def unusable(
    rows: ObservedRows, schema: StateSchema, states: int, missing: np.ndarray | None
) -> np.ndarray:
    """Why rows cannot be read from a trajectory, (N,) object; empty where they can.

    Args:
        rows: Observations.
        schema: Fields of the states.
        states: How many the trajectory has.
        missing: Cells without a value, (C, H, W) bool.
    """
    reason = np.full(len(rows), "", object)

    def mark(where: np.ndarray, why: str) -> None:
        reason[(reason == "") & where] = why

    mark(~((rows.state >= 0) & (rows.state <= states - 1)), "outside the period")
    for name in np.unique(rows.quantity.astype(str)):
        here, known = rows.quantity == name, quantity(str(name))
        if set(known.fields) - set(schema.variables):
            mark(here, "no such field in the model")
            continue
        for why, where in _misplaced(rows, known, np.asarray(schema.levels, float)).items():
            mark(here & where, why)
        if missing is not None:
            mark(here & _touches(rows, known, schema, missing), "no value there")
    return reason


def _misplaced(rows: ObservedRows, known: Quantity, levels: np.ndarray) -> dict[str, np.ndarray]:
    """Where a quantity cannot be read, by reason, (N,) bool each."""
    wrong = {}
    if known.place in {"level", "layer"}:
        wrong["outside the model's levels"] = ~in_pressure(levels, rows.level).is_inside
    if known.place == "layer":
        wrong["outside the model's levels"] |= ~in_pressure(levels, rows.top_level).is_inside
        wrong["top below the bottom"] = ~(rows.top_level < rows.level)
    if known.place == "station":
        wrong["station too high"] = rows.elevation_m > HIGHEST_STATION_M
    if known.name in _ACCUMULATED:
        wrong["between accumulations"] = rows.state != np.round(rows.state)
    return wrong


def _touches(
    rows: ObservedRows, known: Quantity, schema: StateSchema, missing: np.ndarray
) -> np.ndarray:
    """Rows that would read a cell without a value."""
    channels = [i for i, c in enumerate(schema.channels) if c.variable in known.fields]
    if not missing[channels].any():
        return np.zeros(len(rows), bool)
    cells = bilinear(schema.grid, rows.latitude, rows.longitude)
    absent = missing[channels].any(axis=0).ravel()
    found: np.ndarray = (absent[cells.index] & (cells.weight > 0)).any(axis=1)
    return found


def terms_of(rows: ObservedRows, known: Quantity, schema: StateSchema, states: int) -> list[Term]:
    """The linear terms that a quantity follows from, each for all rows of that quantity."""
    time = between(np.arange(states, dtype=float), rows.state)
    cells = _cells(rows, schema)
    levels = np.asarray(schema.levels, float)
    if known.place == "column":
        level_sets = [_column(len(rows), levels)]
    elif known.place == "weighted":
        level_sets = [_weighted(rows, levels)]
    elif known.place == "layer":
        level_sets = [in_pressure(levels, rows.level), in_pressure(levels, rows.top_level)]
    elif known.place == "level":
        level_sets = [in_pressure(levels, rows.level)]
    else:
        surface = np.zeros((len(rows), 1), np.int64)
        level_sets = [Weights(surface, np.ones(surface.shape), np.ones(len(rows), bool))]
    return [_term(field, schema, time, at, cells) for field in known.fields for at in level_sets]


def _cells(rows: ObservedRows, schema: StateSchema) -> CellWeights:
    has_area = rows.footprint_km > 0
    if not has_area.any():
        return bilinear(schema.grid, rows.latitude, rows.longitude)
    radius = np.where(has_area, rows.footprint_km, 1e-9)  # a point holds no centre
    return footprint(schema.grid, rows.latitude, rows.longitude, radius)


def _column(count: int, levels: np.ndarray) -> Weights:
    """Integral over pressure / g: trapezes between levels in hPa."""
    pressure = 100.0 * levels
    thickness = np.zeros(len(levels))
    thickness[:-1] += 0.5 * np.diff(pressure)
    thickness[1:] += 0.5 * np.diff(pressure)
    weight = np.tile(thickness / STANDARD_GRAVITY, (count, 1))
    return Weights(np.tile(np.arange(len(levels)), (count, 1)), weight, np.ones(count, bool))


def _weighted(rows: ObservedRows, levels: np.ndarray) -> Weights:
    """Gaussian in ln p around the peak."""
    distance = np.log(levels)[None] - np.log(rows.level)[:, None]
    weight = np.exp(-0.5 * (distance / rows.weighting_width[:, None]) ** 2)
    weight /= weight.sum(axis=1, keepdims=True)
    index = np.tile(np.arange(len(levels)), (len(rows), 1))
    return Weights(index, weight, np.ones(len(rows), bool))


def _term(
    field: str, schema: StateSchema, time: Weights, levels: Weights, cells: CellWeights
) -> Term:
    """Products of the weights in time, in the vertical and on the sphere."""
    own = np.array([i for i, c in enumerate(schema.channels) if c.variable == field])
    channel = own[levels.index]
    on_sphere = cells.weight * np.where(cells.is_across & (field in _WINDS), -1.0, 1.0)
    shape = (len(channel), time.index.shape[1], channel.shape[1], cells.index.shape[1])

    def spread(values: np.ndarray, axis: int) -> np.ndarray:
        view: list[slice | None] = [slice(None), None, None, None]
        view[axis] = slice(None)
        return np.broadcast_to(values[tuple(view)], shape).reshape(shape[0], -1)

    weight = spread(time.weight, 1) * spread(levels.weight, 2) * spread(on_sphere, 3)
    return Term(spread(time.index, 1), spread(channel, 2), spread(cells.index, 3), weight)


def base_values(
    term: Term, normalisation: Normalisation, times: np.ndarray, cells: int
) -> np.ndarray:
    """What the climatology contributes to a term, (N,) float64; one state at a time.

    Args:
        term: Of N rows.
        normalisation: Its base is a state of each time.
        times: Valid times of the states, (L,) datetime64.
        cells: H W.
    """
    total = np.zeros(len(term.weight))
    for state in np.unique(term.state[term.weight != 0]):
        base = normalisation.base.at(times[state : state + 1])[0]
        flat = base.reshape(len(base), -1)
        if flat.shape[1] == 1:  # one value for all cells
            flat = np.broadcast_to(flat, (len(base), cells))
        here = np.where(term.state == state, term.weight, 0.0)
        values = np.where(here != 0, flat[term.channel, term.cell], 0.0)
        total += (here * values).sum(axis=1)
    return total
