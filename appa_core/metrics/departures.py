"""Whether departures from observations are what errors and spread account for.

d_b = y - H(x_b) and d_a = y - H(x_a), of ensemble means. In a consistent analysis their products
are the errors of the observations, of the background and of the analysis:

    E[d_a d_b] = R,   E[(d_b - d_a) d_b] = H B H^T,   E[(d_b - d_a) d_a] = H A H^T

Reference:
    Desroziers et al. 2005, Diagnosis of observation, background and analysis-error statistics in
        observation space, eq. 1 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DepartureStatistics:
    """Departures of one kind of observation, SI units; roots are NaN where a mean is negative.

    Args:
        count: Rows.
        bias_background: Mean of d_b.
        std_background: Standard deviation of d_b.
        bias_analysis: Mean of d_a.
        std_analysis: Standard deviation of d_a.
        error_assigned: Root mean square of the errors that observations were given.
        error_desroziers: Root of the mean of d_a d_b.
        error_ratio: Of the two; above 1 where observations are worse than they are taken for.
        spread_background: Root mean square spread of the background.
        spread_desroziers: Root of the mean of (d_b - d_a) d_b.
        spread_ratio: Of the two; above 1 where the background is worse than its spread.
        innovation_ratio: Mean d_b^2 over what error and spread account for; 1 if consistent.
    """

    count: int
    bias_background: float
    std_background: float
    bias_analysis: float
    std_analysis: float
    error_assigned: float
    error_desroziers: float
    error_ratio: float
    spread_background: float
    spread_desroziers: float
    spread_ratio: float
    innovation_ratio: float


def departure_statistics(
    background: np.ndarray,
    analysis: np.ndarray,
    error_std: np.ndarray,
    spread: np.ndarray,
    members: int,
) -> DepartureStatistics:
    """Statistics of departures.

    Args:
        background: d_b (N,).
        analysis: d_a (N,).
        error_std: Errors that observations were given (N,).
        spread: Of the background where they are (N,); NaN for one member.
        members: M: the mean of so few is (M + 1) / M times as uncertain as their spread.
    """
    moved = background - analysis
    error = float(np.mean(analysis * background))
    expected = float(np.mean(moved * background))
    assigned, variance = float(np.mean(error_std**2)), float(np.mean(spread**2))
    variance *= (members + 1) / members
    return DepartureStatistics(
        count=len(background),
        bias_background=float(background.mean()),
        std_background=float(background.std()),
        bias_analysis=float(analysis.mean()),
        std_analysis=float(analysis.std()),
        error_assigned=assigned**0.5,
        error_desroziers=_root(error),
        error_ratio=_root(error / assigned) if assigned > 0 else float("nan"),
        spread_background=float(np.sqrt(np.mean(spread**2))),
        spread_desroziers=_root(expected),
        spread_ratio=_root(expected / variance) if variance > 0 else float("nan"),
        innovation_ratio=float(np.mean(background**2)) / (assigned + variance),
    )


def _root(value: float) -> float:
    return value**0.5 if value >= 0 else float("nan")
