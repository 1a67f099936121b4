"""From a table of observations to what a posterior sampler needs of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from appa_core.errors import InputError
from appa_core.guidance.block_covariance import BlockCovariance
from appa_core.guidance.covariance import Covariance, DiagonalCovariance
from appa_core.guidance.observation import Observation
from appa_core.observations.correlation import error_blocks
from appa_core.observations.table import ObservationTable
from appa_core.observe.own import OwnFunction, OwnOperator
from appa_core.observe.points import Decoder
from appa_core.observe.quantities import OWN
from appa_core.observe.reports import ReportOperator
from appa_core.observe.terms import ObservedRows, unusable
from appa_core.steps.models import Model


def observed_rows(table: ObservationTable, times: pd.DatetimeIndex) -> ObservedRows:
    """The columns that operators read.

    Args:
        table: Observations.
        times: Valid times of a trajectory's states, a step apart.
    """
    frame = table.frame
    step = times[1] - times[0] if len(times) > 1 else pd.Timedelta(hours=1)
    numbers = {
        name: frame[name].to_numpy(np.float64)
        for name in ObservedRows.__dataclass_fields__
        if name not in {"quantity", "state"}
    }
    state = ((frame["valid_time"] - times[0]) / step).to_numpy(np.float64)
    return ObservedRows(quantity=frame["quantity"].to_numpy(object), state=state, **numbers)


def unusable_rows(
    table: ObservationTable, model: Model, times: pd.DatetimeIndex, *, reads_all: bool = False
) -> np.ndarray:
    """Why rows cannot be read from a trajectory of a model, (N,) object; empty where they can.

    Args:
        table: Observations.
        model: Fields of its states.
        times: Valid times of the trajectory's states.
        reads_all: A user's own operator reads all rows, wherever they are.
    """
    rows = observed_rows(table, times)
    if reads_all:
        rows = replace(rows, quantity=np.full(len(rows), OWN, object))
    missing = model.normalisation.missing
    return unusable(rows, model.preset.state.build(), len(times), missing)


def reject_unusable(
    table: ObservationTable, model: Model, times: pd.DatetimeIndex, *, reads_all: bool = False
) -> ObservationTable:
    """The table with rows rejected that no operator reads from a trajectory of a model."""
    reasons = unusable_rows(table, model, times, reads_all=reads_all)
    for reason in sorted(set(reasons) - {""}):
        table = table.reject(reasons == reason, str(reason))
    return table


@dataclass(frozen=True)
class Reading:
    """How a table is read.

    Args:
        function: A user's own operator, for the rows whose quantity is `own`.
        name: What to call it.
        reads_all: It reads all other rows too.
        of_states: Trajectories are of standardised states, not of latents.
    """

    function: OwnFunction | None = None
    name: str = ""
    reads_all: bool = False
    of_states: bool = False

    def is_own(self, rows: ObservedRows) -> np.ndarray:
        """Which rows the user's operator reads, (N,) bool."""
        return np.asarray((rows.quantity == OWN) | self.reads_all, bool)


#: Operators that come with the project, of latents.
BUILT_IN = Reading()


def report_operator(
    model: Model, table: ObservationTable, times: pd.DatetimeIndex
) -> ReportOperator:
    """What the rows of a table would read, all of which `reject_unusable` leaves."""
    return _built_in(model, observed_rows(table, times), times, BUILT_IN)


def table_operator(
    model: Model, table: ObservationTable, times: pd.DatetimeIndex, reading: Reading
) -> ReportOperator | OwnOperator:
    """The same with a user's own operator, or of trajectories of states."""
    rows = observed_rows(table, times)
    own = reading.is_own(rows)
    others = _built_in(model, rows.rows(np.flatnonzero(~own)), times, reading)
    if not own.any():
        return others
    if reading.function is None:
        raise InputError(
            f"{int(own.sum())} observations are of quantity {OWN!r}, which your own operator "
            "reads: name it with --operator package.module:function"
        )
    schema, normalisation = model.preset.state.build(), model.normalisation
    device = model.latent_mean.device
    columns, other_columns = (torch.from_numpy(np.flatnonzero(c)).to(device) for c in (own, ~own))
    scale = torch.ones(len(rows), device=device)
    scale[other_columns] = others.scale
    scale[columns] = float(np.std(rows.value[own])) or 1.0
    shape = (len(times), len(schema.channels), *schema.grid.shape)
    base = np.broadcast_to(normalisation.base.at(times.values), shape)
    if normalisation.missing is not None:
        base = np.where(normalisation.missing, np.float32("nan"), base)
    return OwnOperator(
        decode=others.decode,
        schema=schema,
        function=reading.function,
        name=reading.name,
        read_rows=rows.rows(np.flatnonzero(own)),
        columns=columns,
        scale=scale,
        base=torch.from_numpy(np.array(base, np.float32)).to(device),
        std=torch.from_numpy(normalisation.std)[:, None, None].to(device),
        times=times.values,
        states=range(len(times)),
        others=others,
        other_columns=other_columns,
    )


def _built_in(
    model: Model, rows: ObservedRows, times: pd.DatetimeIndex, reading: Reading
) -> ReportOperator:
    decode: Decoder = lambda z: model.autoencoder.decode(z * model.latent_std + model.latent_mean)
    return ReportOperator.build(
        (lambda x: x) if reading.of_states else decode,
        rows,
        model.preset.state.build(),
        model.normalisation,
        times.values,
        model.latent_mean.device,
    )


def report_observation(
    model: Model, table: ObservationTable, times: pd.DatetimeIndex, reading: Reading = BUILT_IN
) -> Observation:
    """The used rows of a table as an observation of a trajectory.

    Errors are those of the rows, correlated within reports as the table says, and, independent
    of them, those of the autoencoder.

    Args:
        model: Networks.
        table: Observations with errors.
        times: Valid times of the trajectory's states.
        reading: How rows are read.

    Raises:
        InputError: No row is left, or a row has no error.
    """
    used = table.used
    if len(used) == 0:
        raise InputError(
            "no observation is left after control; their reasons:\n"
            f"{table.counts().to_string() if len(table) else 'the table has no rows'}"
        )
    lacking = used.frame["error_std"].isna()
    if lacking.any():
        names = ", ".join(sorted(set(used.frame["quantity"][lacking])))
        raise InputError(
            f"{int(lacking.sum())} observations have no error_std ({names}); give that column, or "
            "assign errors first"
        )
    operator = table_operator(model, used, times, reading)
    device = operator.scale.device
    rows, columns = model.preset.state.build().grid.shape
    lost = operator.variance_of(model.reconstruction_rmse.to(device), rows * columns)
    value, error = (
        torch.from_numpy(used.frame[name].to_numpy(np.float32)).to(device) / operator.scale
        for name in ("value", "error_std")
    )
    return Observation(y=value[None], A=operator, cov_y=error_covariance(used, times, error, lost))


def nothing_observed(device: torch.device) -> Observation:
    """An observation of no row: what is drawn is the prior."""
    empty = torch.zeros(1, 0, device=device)
    return Observation(y=empty, A=_Nothing(), cov_y=DiagonalCovariance(empty))


class _Nothing:
    """The operator of no row."""

    def __call__(self, z: Tensor) -> Tensor:
        return z.flatten(1)[:, :0]

    def window(self, first: int, stop: int) -> tuple[_Nothing, Tensor]:  # noqa: ARG002
        """Itself, and no row."""
        return self, torch.zeros(1, 0, dtype=torch.bool)


def error_covariance(
    table: ObservationTable, times: pd.DatetimeIndex, error: Tensor, lost: Tensor
) -> Covariance:
    """The covariance of the errors of a table's rows.

    Args:
        table: M observations.
        times: Valid times of the trajectory's states.
        error: Their standard deviations in the units of the observation, (M,).
        lost: Variances of independent errors that add to them, (M,).
    """
    variances = error.square() + lost
    blocks = error_blocks(table, times.values)
    if not blocks:
        return DiagonalCovariance(variances[None])
    places = [torch.tensor(block.rows) for block in blocks]
    dense = [
        torch.outer(error[rows], error[rows]) * torch.from_numpy(block.correlation).to(error)
        + torch.diag(lost[rows])
        for rows, block in zip(places, blocks, strict=True)
    ]
    return BlockCovariance.of(dense, places, variances)
