"""From a table of observations to what a posterior sampler needs of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from appa_core.errors import InputError
from appa_core.guidance.covariance import DiagonalCovariance
from appa_core.guidance.observation import Observation
from appa_core.observations.table import ObservationTable
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


def reject_unusable(
    table: ObservationTable, model: Model, times: pd.DatetimeIndex
) -> ObservationTable:
    """The table with rows rejected that no operator reads from a trajectory of a model."""
    schema = model.preset.state.build()
    missing = model.normalisation.missing
    reasons = unusable(observed_rows(table, times), schema, len(times), missing)
    for reason in sorted(set(reasons) - {""}):
        table = table.reject(reasons == reason, str(reason))
    return table


def report_operator(
    model: Model, table: ObservationTable, times: pd.DatetimeIndex
) -> ReportOperator:
    """What the rows of a table would read, all of which `reject_unusable` leaves."""
    return ReportOperator.build(
        lambda z: model.autoencoder.decode(z * model.latent_std + model.latent_mean),
        observed_rows(table, times),
        model.preset.state.build(),
        model.normalisation,
        times.values,
        model.latent_mean.device,
    )


def report_observation(
    model: Model, table: ObservationTable, times: pd.DatetimeIndex
) -> Observation:
    """The used rows of a table as an observation of a trajectory.

    Errors are those of the rows and, independent of them, those of the autoencoder.

    Args:
        model: Networks.
        table: Observations with errors.
        times: Valid times of the trajectory's states.

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
    operator = report_operator(model, used, times)
    device = operator.scale.device
    rows, columns = model.preset.state.build().grid.shape
    lost = operator.variance_of(model.reconstruction_rmse.to(device), rows * columns)
    value, error = (
        torch.from_numpy(used.frame[name].to_numpy(np.float32)).to(device) / operator.scale
        for name in ("value", "error_std")
    )
    return Observation(
        y=value[None],
        A=operator,
        cov_y=DiagonalCovariance((error.square() + lost)[None]),
    )
