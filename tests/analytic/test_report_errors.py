"""Correlated errors of a table's reports in an assimilation, against the closed form."""

import numpy as np
import pandas as pd
import pytest
import torch

from appa_core.diffusion.samplers import DpmSolver
from appa_core.diffusion.schedule import LogLogitSchedule
from appa_core.guidance.covariance import DiagonalCovariance
from appa_core.guidance.mmps import Mmps
from appa_core.observations.correlation import INDEPENDENT_SHARE
from appa_core.observations.table import ObservationTable
from appa_core.posterior.diffusion import DiffusionPosterior, Fold
from appa_core.posterior.task import draw_posterior
from appa_core.posterior.variational import Variational
from appa_core.steps.reported import error_covariance
from benchmarks.closed_forms import GaussianProblem, ar1_covariance
from benchmarks.posterior import moments

DRAWS = 8192
SEEN = [0, 5, 1, 7, 2, 4]
REPORT = ["A", "B", "A", "", "A", "B"]
LEVEL = np.array([1000.0, 800.0, 700.0, 500.0, 400.0, 300.0])
ERROR = torch.tensor([0.5, 0.3, 0.4, 0.2, 0.6, 0.3], dtype=torch.float64)
LOST = torch.full((6,), 0.01, dtype=torch.float64)
LENGTH = 0.7
# of the states, the first of which all rows report at
TIMES = pd.date_range("2024-01-01", periods=2, freq="6h")


def table():
    return ObservationTable.of(
        pd.DataFrame(
            {
                "valid_time": "2024-01-01",
                "latitude": 0.0,
                "longitude": 0.0,
                "level": LEVEL,
                "quantity": "temperature",
                "value": 250.0,
                "error_std": 1.0,
                "platform": "radiosonde",
                "station_id": "A",
                "report_id": REPORT,
                "correlation_ln_p": LENGTH,
            }
        )
    )


def dense_errors():
    """By its definition, row by row."""
    out = torch.diag(ERROR**2 + LOST)
    for i in range(6):
        for j in range(6):
            if i != j and REPORT[i] and REPORT[i] == REPORT[j]:
                share = np.exp(-abs(np.log(LEVEL[i] / LEVEL[j])) / LENGTH)
                out[i, j] = (1 - INDEPENDENT_SHARE) * share * ERROR[i] * ERROR[j]
    return out


def problem(
    errors=lambda dtype: error_covariance(table(), TIMES, ERROR.to(dtype), LOST.to(dtype)),
):
    h = torch.eye(8, dtype=torch.float64)[SEEN]
    return GaussianProblem(ar1_covariance(8, 0.9), h, errors, dense_errors())


METHODS = {
    "mmps": DiffusionPosterior(
        LogLogitSchedule(),
        DpmSolver(2),
        64,
        Mmps("cg", iterations=24, tolerance=1e-8),
        Fold(1 << 20),
    ),
    "4D-Var": Variational("4dvar"),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_reports_with_correlated_errors_give_the_posterior(method):
    draws = 4 * DRAWS if isinstance(method, Variational) else DRAWS
    task = problem().task(draws, background=True)
    errors = moments(draw_posterior(task, method), problem())
    assert errors.mean < 0.02
    assert errors.sd < 0.03
    assert errors.correlation < 0.05
    assert errors.deviation < 8


def test_without_the_correlation_it_is_another_posterior():
    alone = lambda dtype: DiagonalCovariance((ERROR**2 + LOST).to(dtype)[None])
    task = problem(alone).task(DRAWS, background=True)
    assert moments(draw_posterior(task, METHODS["4D-Var"]), problem()).mean > 0.1
