"""Controlling observations: what a model expects of them, and the checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from appa_core.config.build_control import build_control
from appa_core.config.control import BlackListConfig, CheckConfig, ControlConfig, ListingConfig
from appa_core.errors import InputError
from appa_core.io.readers.black_list import read_black_list
from appa_core.observations.control.check import Evidence, Expectation
from appa_core.observations.table import ObservationTable
from appa_core.observe.quantities import OWN
from appa_core.observe.terms import unusable
from appa_core.steps.models import Model
from appa_core.steps.reported import observed_rows, report_operator

#: States that are held at once.
_BLOCK_STATES = 8
_LISTINGS: TypeAdapter[tuple[ListingConfig, ...]] = TypeAdapter(tuple[ListingConfig, ...])


def control_table(
    table: ObservationTable, control: ControlConfig, evidence: Evidence
) -> tuple[ObservationTable, tuple[str, ...]]:
    """A table after the checks that what is known allows.

    Args:
        table: Observations.
        control: Checks; files of black-lists are read.
        evidence: What is known of the very rows of the table.

    Returns:
        The table, and the kinds of checks that were left out because they need to know more.
    """
    config = with_lists_read(control)
    checks = build_control(config)
    left_out = tuple(
        described.kind
        for described, check in zip(config.checks, checks.checks, strict=True)
        if not check.needs <= evidence.known
    )
    return checks.possible(evidence.known)(table, evidence), left_out


def with_lists_read(config: ControlConfig) -> ControlConfig:
    """The control with what its black-lists' files say in the place of their paths.

    Raises:
        InputError: There is no such file, or it is no black-list.
    """
    return ControlConfig(checks=tuple(_read(check) for check in config.checks))


def _read(check: CheckConfig) -> CheckConfig:
    if not isinstance(check, BlackListConfig) or check.file is None:
        return check
    try:
        found = _LISTINGS.validate_python(read_black_list(check.file))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputError(f"the black-list {check.file} is not valid: {problems}") from error
    return check.model_copy(update={"listings": (*check.listings, *found), "file": None})


def climatology_at(model: Model, table: ObservationTable) -> Expectation:
    """What a model's climatology expects of rows; NaN of those that it cannot read.

    The standard deviation is that of the model's standardised channels, carried through the
    operator of each row.

    Args:
        model: Of the normalisation.
        table: N rows.
    """
    schema = model.preset.state.build()
    rows, columns = schema.grid.shape

    def expect(usable: ObservationTable, times: pd.DatetimeIndex) -> Expectation:
        operator = report_operator(model, usable, times)
        shape = (1, len(operator.read_states), len(schema.channels), rows, columns)
        mean = operator.read(torch.zeros(shape, device=operator.scale.device))[0]
        ones = torch.ones(len(schema.channels), device=operator.scale.device)
        std = operator.variance_of(ones, rows * columns).sqrt() * operator.scale
        return Expectation(_array(mean), _array(std))

    found = _nothing(len(table))
    for picks, times in _blocks(table, pd.Timedelta(hours=schema.step_hours)):
        _fill(found, picks, _where_usable(model, table.rows(picks), times, expect))
    return found


def background_at(
    model: Model, table: ObservationTable, times: pd.DatetimeIndex, latents: Tensor
) -> Expectation:
    """What an ensemble expects of rows; NaN of those that cannot be read from it.

    Args:
        model: Its decoder.
        table: N rows.
        times: Of the ensemble's states, (L,).
        latents: Standardised latents of its members, (M, L, c, h, w). A single member has no
            spread.
    """

    def expect(usable: ObservationTable, times: pd.DatetimeIndex) -> Expectation:
        operator = report_operator(model, usable, times)
        with torch.no_grad():
            read = torch.stack([operator(m[None])[0] * operator.scale for m in latents]).double()
        spread = read.std(dim=0) if len(read) > 1 else torch.zeros_like(read[0])
        # directions are read near those observed, so that a plain mean is theirs
        return Expectation(_array(read.mean(dim=0)), _array(spread))

    return _where_usable(model, table, times, expect)


def _where_usable(
    model: Model,
    table: ObservationTable,
    times: pd.DatetimeIndex,
    expect: Callable[[ObservationTable, pd.DatetimeIndex], Expectation],
) -> Expectation:
    """What is expected of the rows that can be read from a trajectory; NaN of the others."""
    schema = model.preset.state.build()
    reasons = unusable(
        observed_rows(table, times), schema, len(times), model.normalisation.missing
    )
    found = _nothing(len(table))
    # of what a user's own operator reads nothing is expected
    picks = np.flatnonzero((reasons == "") & (table.frame["quantity"] != OWN).to_numpy())
    if len(picks):
        _fill(found, picks, expect(table.rows(picks), times))
    return found


def _blocks(
    table: ObservationTable, step: pd.Timedelta
) -> Iterator[tuple[np.ndarray, pd.DatetimeIndex]]:
    """Rows by blocks of a few states, and the states' times."""
    times = table.frame["valid_time"]
    if times.empty:
        return
    start = times.min().floor(step)
    block = ((times - start) // (_BLOCK_STATES * step)).to_numpy()
    for number in np.unique(block):
        first = start + int(number) * _BLOCK_STATES * step
        yield (
            np.flatnonzero(block == number),
            pd.date_range(first, periods=_BLOCK_STATES + 1, freq=step),
        )


def _nothing(count: int) -> Expectation:
    return Expectation(np.full(count, np.nan), np.full(count, np.nan))


def _fill(whole: Expectation, picks: np.ndarray, part: Expectation) -> None:
    whole.mean[picks], whole.std[picks] = part.mean, part.std


def _array(values: Tensor) -> np.ndarray:
    return values.cpu().numpy().astype(np.float64)
