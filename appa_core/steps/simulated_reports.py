"""What a simulated network reads of known states, with the errors that it declares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from appa_core.climatology import Normalisation
from appa_core.config.build_network import NetworkData, build_instruments
from appa_core.config.observing import SimulatedNetwork
from appa_core.observations.correlation import correlated, error_blocks
from appa_core.observations.errors import ErrorTable, assign_errors, grid_spacing_km
from appa_core.observations.keyed import normal
from appa_core.observations.simulated import IN_SPREADS, network_rows, row_keys
from appa_core.observations.table import ObservationTable
from appa_core.observe.quantities import QUANTITIES
from appa_core.observe.reports import ReportOperator
from appa_core.observe.terms import unusable
from appa_core.schema import StateSchema
from appa_core.steps.forecast import StateSource
from appa_core.steps.reported import observed_rows

#: States that are read at once, which bounds memory.
_STATES_AT_ONCE = 16


@dataclass(frozen=True)
class Truth:
    """Known states, as a model sees them.

    Args:
        source: Where they are read.
        schema: Fields of a state of the model.
        normalisation: Of the model; its spreads are the units of standardised errors.
        model_key: Hash of the model.
    """

    source: StateSource
    schema: StateSchema
    normalisation: Normalisation
    model_key: str


def simulated_reports(
    network: SimulatedNetwork,
    data: NetworkData,
    truth: Truth,
    times: pd.DatetimeIndex,
    errors: ErrorTable,
) -> ObservationTable:
    """Reports of a network on known states.

    A value is what the operator of the assimilation reads of the known states themselves, plus an
    error of the declared standard deviation. Errors follow from the seed and from the row alone,
    but for what is correlated within a report. Rows that cannot be read are left out.

    Args:
        network: What is observed.
        data: What its configuration refers to.
        truth: Known states.
        times: Valid times of the states, a step apart.
        errors: Where errors are not declared in units of the spread.

    Raises:
        InputError: The source has no state of some time.
    """
    instruments = build_instruments(network, truth.schema, data)
    rows = network_rows(instruments, times)
    rows = rows[_readable(rows, truth, times)].reset_index(drop=True)
    values, spread = _read(ObservationTable(rows), truth, times)
    in_spreads = rows.pop(IN_SPREADS).to_numpy(bool)
    std = rows["error_std"].to_numpy(float) * np.where(in_spreads, spread, 1.0)
    table = ObservationTable(rows.assign(value=values, error_std=std))
    table = assign_errors(table, errors, grid_spacing_km(truth.schema.grid))
    frame = table.frame.assign(error_std=table.frame["error_std"] * network.error)
    noise = correlated(normal(row_keys(frame, network.seed, "error")), error_blocks(table))
    values = values + frame["error_std"].to_numpy(float) * noise
    angles = frame["quantity"].map(lambda name: QUANTITIES[name].is_angle).to_numpy(bool)
    frame["value"] = np.where(angles, values % 360.0, values)
    # no check of values: an error may well leave what is plausible, such as rain below zero
    return ObservationTable(frame)


def _readable(rows: pd.DataFrame, truth: Truth, times: pd.DatetimeIndex) -> np.ndarray:
    reasons = unusable(
        observed_rows(ObservationTable(rows), times),
        truth.schema,
        len(times),
        truth.normalisation.missing,
    )
    return np.asarray(reasons == "", bool)


def _read(
    table: ObservationTable, truth: Truth, times: pd.DatetimeIndex
) -> tuple[np.ndarray, np.ndarray]:
    """What rows read of the known states and its spread, SI units, (N,) each."""
    value, spread = np.zeros(len(table)), np.ones(len(table))
    states = observed_rows(table, times).state
    for part in _parts(len(times)):
        last = part.stop == len(times)
        here = (states >= part.start) & ((states < part.stop - 1) | last)
        if here.any():
            value[here], spread[here] = _read_part(table.rows(here), truth, times[part])
    return value, spread


def _parts(count: int) -> Iterator[slice]:
    """Stretches of states that share their ends, so that no row lies between two."""
    for first in range(0, max(count - 1, 1), _STATES_AT_ONCE):
        yield slice(first, min(first + _STATES_AT_ONCE + 1, count))


def _read_part(
    table: ObservationTable, truth: Truth, times: pd.DatetimeIndex
) -> tuple[np.ndarray, np.ndarray]:
    states = truth.schema.stack(truth.source.open().read(times))
    standard = torch.from_numpy(truth.normalisation.standardise(states, times.values))
    operator = ReportOperator.build(
        lambda known: known,
        observed_rows(table, times),
        truth.schema,
        truth.normalisation,
        times.values,
    )
    with torch.no_grad():
        read = operator(standard[None])[0]
    spread = operator.scale.double().numpy()
    return read.double().numpy() * spread, spread
