"""Scores of analyses: against the truth away from observations, and against other observations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from appa_core.metrics.members import ensemble_crps, variances
from appa_core.observations.keyed import keys_of, normal
from appa_core.observations.table import ObservationTable
from appa_core.steps.departures import departures, equivalents
from appa_core.steps.drawn import DrawnEnsemble
from benchmarks.observed import Analysis


@dataclass(frozen=True)
class Scores:
    """Of the headline fields over cell-times without an observation, (F,) each, SI units.

    Args:
        squared_error: Of the ensemble mean.
        expected: What members account for of it: the variance of one and that of their mean.
        crps: Fair.
        climatology: Squared error of the climatology.
    """

    squared_error: np.ndarray
    expected: np.ndarray
    crps: np.ndarray
    climatology: np.ndarray

    @classmethod
    def of(cls, analysis: Analysis, ensemble: DrawnEnsemble) -> Scores:
        """Scores of an ensemble."""
        errors = analysis.fields(ensemble).astype(np.float64) - analysis.truth
        weights = analysis.unobserved[:, None]

        def mean(values: np.ndarray) -> np.ndarray:
            total = (values * weights).sum(axis=(0, 2, 3))
            return np.asarray(total / weights.sum())

        flat = errors.reshape(len(errors), -1)
        crps = ensemble_crps(flat, paired=analysis.paired).reshape(errors.shape[1:])
        told = variances(errors, paired=analysis.paired)
        return cls(
            mean(errors.mean(axis=0) ** 2),
            mean(told.member + told.mean),
            mean(crps),
            mean((analysis.climatology - analysis.truth) ** 2),
        )


@dataclass(frozen=True)
class Verification:
    """An ensemble against observations that were never assimilated.

    Args:
        frame: Columns `quantity`, `crps`, `crps_prior`, `rank` of each row.
        members: How many members are ranked among: one of each pair, where they are pairs.
    """

    frame: pd.DataFrame
    members: int

    @classmethod
    def of(cls, analysis: Analysis, table: ObservationTable) -> Verification:
        """Of all rows of a table that can be read.

        Ranks are those of observations among members with errors of their own, drawn like those
        that the observations have.
        """
        used = table.used
        frame = used.frame[["quantity", "valid_time"]].copy()
        for name, ensemble in (("crps", analysis.posterior), ("crps_prior", analysis.prior)):
            read = equivalents(analysis.product, used, ensemble)
            turned = -np.stack([departures(used.frame, r) for r in read.T.astype(float)])
            frame[name] = ensemble_crps(turned, paired=analysis.paired)
            if name == "crps":
                independent = turned[:: 2 if analysis.paired else 1]
                frame["rank"] = _ranks(used, independent)
        return cls(frame, len(independent))

    def thinned(self) -> np.ndarray:
        """Ranks of one row for each quantity and time, which are nearly independent.

        Rows are picked at random, by a seed that follows from the times: the same place at all
        times would show that place's error again and again.
        """
        groups = self.frame.groupby(["quantity", "valid_time"], sort=True)
        random = np.random.default_rng(int(self.frame["valid_time"].min().timestamp()))
        picks = [random.choice(rows) for rows in groups.indices.values()]
        return self.frame["rank"].to_numpy()[picks]


def _ranks(table: ObservationTable, turned: np.ndarray) -> np.ndarray:
    """Rank of observations among members with errors, (N,): 0 to M."""
    places = [table.frame[n].to_numpy() for n in ("latitude", "longitude", "quantity")]
    times = table.frame["valid_time"].astype("int64").to_numpy(float)
    noise = [normal(keys_of(m, "ranks", [*places, times])) for m in range(len(turned))]
    errors = turned + table.frame["error_std"].to_numpy() * np.stack(noise)
    return np.asarray((errors < 0).sum(axis=0))
