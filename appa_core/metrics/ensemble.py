"""Scores of ensembles and of single forecasts, as sums that add over dates.

A score is computed in three steps: the statistics of one forecast against its truth, their sum
over forecasts (an associative, commutative addition with a neutral element), and the metric as
a function of the sum. However the dates are split among workers, the metric is the same.

Every statistic is an area-weighted mean over the globe, of shape (T, C) = (lead, channel) and
float64. A value that is not finite raises; none is left out of a mean.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from appa_core.errors import DataError, InputError, NumericalError
from appa_core.metrics.members import (
    crps_of,
    ensemble_fields,
    rank_counts,
    ratio_of,
    spread_of,
)


@dataclass(frozen=True, eq=False)
class _DateSums:
    """Sums over dates of statistics, arrays of leading shape (T, C), and how many dates."""

    dates: int
    error: np.ndarray
    absolute_error: np.ndarray
    squared_error: np.ndarray

    def __add__(self, other: Self) -> Self:
        """Statistics of both sets of dates together.

        Raises:
            InputError: The two do not describe the same leads, channels and member count.
        """
        if type(self) is not type(other):
            return NotImplemented
        mine, theirs = self._addends(), other._addends()
        for name, value in mine.items():
            if np.shape(value) != np.shape(theirs[name]):
                raise InputError(
                    f"statistics of {name} have shapes {np.shape(value)} and "
                    f"{np.shape(theirs[name])}; only forecasts of the same leads, channels and "
                    f"number of members can be averaged"
                )
        return type(self)(**{name: value + theirs[name] for name, value in mine.items()})

    def _addends(self) -> dict[str, np.ndarray]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def _mean(self, total: np.ndarray) -> np.ndarray:
        if self.dates == 0:
            raise InputError("no forecast has been scored yet, so its metrics are undefined")
        return np.asarray(total / self.dates)

    @property
    def bias(self) -> np.ndarray:
        """Mean of forecast minus truth, (T, C); the ensemble mean is the forecast."""
        return self._mean(self.error)

    @property
    def mae(self) -> np.ndarray:
        """Mean absolute error, (T, C); the ensemble mean is the forecast."""
        return self._mean(self.absolute_error)

    @property
    def rmse(self) -> np.ndarray:
        """Root of the mean squared error, (T, C); the ensemble mean is the forecast."""
        return np.asarray(np.sqrt(self._mean(self.squared_error)))


@dataclass(frozen=True, eq=False)
class FieldStatistics(_DateSums):
    """Statistics of single forecasts: persistence, climatology, a deterministic model."""

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> Self:
        """Neutral element of the addition, for `shape` = (leads, channels)."""
        return cls(0, np.zeros(shape), np.zeros(shape), np.zeros(shape))

    @classmethod
    def of(cls, forecast: np.ndarray, truth: np.ndarray, latitude_weights: np.ndarray) -> Self:
        """Statistics of one forecast.

        Args:
            forecast: (T, C, H, W).
            truth: (T, C, H, W), same units.
            latitude_weights: (H,) of mean 1, such as `Grid.area_weights`.

        Raises:
            DataError: Shapes differ, weights do not have mean 1, or the truth is not finite.
            NumericalError: The forecast or a statistic is not finite.
        """
        _check_inputs(forecast, truth, latitude_weights)
        sums = [np.empty(truth.shape[:2]) for _ in range(3)]
        for where in np.ndindex(*truth.shape[:2]):
            error = forecast[where].astype(np.float64) - truth[where]
            for total, field in zip(sums, (error, np.abs(error), error**2), strict=True):
                total[where] = _area_mean(field, latitude_weights)
        _check_finite_statistics(*sums)
        return cls(1, *sums)


@dataclass(frozen=True, eq=False)
class EnsembleStatistics(_DateSums):
    """Statistics of ensemble forecasts.

    Args:
        dates: Number of forecasts.
        error: Sum of the ensemble mean minus the truth, (T, C).
        absolute_error: Sum of its absolute value.
        squared_error: Sum of its square.
        variance: Sum of the unbiased variance of members; zero for one member.
        expected: Sum of the squared error of the mean if the truth is like a member: the variance
            of a member plus that of the mean.
        member_error: Sum of mean_m |x_m - y|.
        member_distance: Sum of mean_{m, n} |x_m - x_n|, all M^2 pairs counted.
        fair_distance: Sum of that of independent members; zero for one member.
        rank_counts: Sum of grid points whose truth has rank 0..M among the members,
            (T, C, M + 1), not area-weighted; a tie over k + 1 ranks adds 1 / (k + 1) to each.
    """

    variance: np.ndarray
    expected: np.ndarray
    member_error: np.ndarray
    member_distance: np.ndarray
    fair_distance: np.ndarray
    rank_counts: np.ndarray

    @classmethod
    def empty(cls, members: int, shape: tuple[int, int]) -> Self:
        """Neutral element of the addition, for `shape` = (leads, channels)."""
        zeros = {f.name: np.zeros(shape) for f in fields(cls) if f.name != "dates"}
        return cls(dates=0, **zeros | {"rank_counts": np.zeros((*shape, members + 1))})

    @classmethod
    def of(
        cls,
        ensemble: np.ndarray,
        truth: np.ndarray,
        latitude_weights: np.ndarray,
        *,
        paired: bool = False,
    ) -> Self:
        """Statistics of one forecast; one field at a time is held in float64.

        Args:
            ensemble: (M, T, C, H, W).
            truth: (T, C, H, W), same units.
            latitude_weights: (H,) of mean 1, such as `Grid.area_weights`.
            paired: Members come in pairs of opposite noise; see `appa_core.metrics.members`.

        Raises:
            DataError: Shapes differ, weights do not have mean 1, or the truth is not finite.
            NumericalError: The ensemble or a statistic is not finite.
        """
        if ensemble.ndim != 5 or ensemble.shape[0] == 0:
            raise DataError(
                f"an ensemble has shape (member, lead, channel, latitude, longitude) with at "
                f"least one member; this one has {ensemble.shape}"
            )
        _check_inputs(ensemble, truth, latitude_weights)
        shape = truth.shape[:2]
        total = cls.empty(ensemble.shape[0], shape)
        for lead, channel in np.ndindex(*shape):
            errors = ensemble[:, lead, channel].astype(np.float64) - truth[lead, channel]
            means = {
                name: _area_mean(field, latitude_weights)
                for name, field in ensemble_fields(errors, paired=paired).items()
            }
            for name, mean in (_of_independent(means, len(errors)) | means).items():
                getattr(total, name)[lead, channel] = mean
            total.rank_counts[lead, channel] = rank_counts(errors)
        _check_finite_statistics(total.member_error, total.squared_error, total.variance)
        return replace(total, dates=1)

    @property
    def members(self) -> int:
        """Number of members M."""
        return int(self.rank_counts.shape[-1]) - 1

    @property
    def crps(self) -> np.ndarray:
        """CRPS of the empirical distribution, (T, C): E|X - y| - E|X - X'| / 2."""
        return self._mean(crps_of(self.member_error, self.member_distance, self.members))

    @property
    def crps_fair(self) -> np.ndarray:
        """CRPS expected of an infinite ensemble, (T, C): pairs of distinct members only.

        NaN for one member, which has no such pair.
        """
        alone = np.nan if self.members == 1 else 1.0
        return self._mean(alone * (self.member_error - self.fair_distance / 2))

    @property
    def spread(self) -> np.ndarray:
        """Root of the mean unbiased ensemble variance, (T, C); NaN for one member."""
        return spread_of(self._mean(self.variance), self.members)

    @property
    def spread_skill_ratio(self) -> np.ndarray:
        """sqrt(expected) / rmse, (T, C): 1 where members and truth are alike.

        Of M independent members it is sqrt((M + 1) / M) spread / rmse. NaN for one member and
        where spread and error are both zero.
        """
        alone = np.nan if self.members == 1 else 1.0
        return alone * ratio_of(np.sqrt(self._mean(self.expected)), self.rmse)

    @property
    def rank_histogram(self) -> np.ndarray:
        """Share of grid points whose truth has each rank, (T, C, M + 1); it sums to 1."""
        counts = self._mean(self.rank_counts)
        return np.asarray(counts / counts.sum(axis=-1, keepdims=True))


def _of_independent(means: dict[str, float], members: int) -> dict[str, float]:
    """What follows from other statistics if all members are independent."""
    return {
        "expected": means["variance"] * (members + 1) / members,
        "fair_distance": means["member_distance"] * members / max(members - 1, 1),
    }


def _area_mean(field: np.ndarray, latitude_weights: np.ndarray) -> float:
    return float(latitude_weights @ field.mean(axis=-1) / latitude_weights.size)


def _check_inputs(forecast: np.ndarray, truth: np.ndarray, latitude_weights: np.ndarray) -> None:
    if truth.ndim != 4 or forecast.shape[-4:] != truth.shape:
        raise DataError(
            f"the forecast has shape {forecast.shape} and the truth {truth.shape}; both must end "
            f"with the same (lead, channel, latitude, longitude)"
        )
    rows = truth.shape[2]
    if latitude_weights.shape != (rows,) or not np.isclose(latitude_weights.mean(), 1.0):
        raise DataError(
            f"latitude weights must have shape ({rows},) and mean 1; these have shape "
            f"{latitude_weights.shape} and mean {latitude_weights.mean():g}"
        )
    _check_finite_fields("truth", truth, DataError)
    _check_finite_fields("forecast", forecast, NumericalError)


def _check_finite_fields(what: str, values: np.ndarray, error: type[Exception]) -> None:
    """Raise for the first field (..., H, W) that holds NaN or infinity."""
    for where in np.ndindex(*values.shape[:-2]):
        if not np.isfinite(values[where]).all():
            *member, lead, channel = where
            place = f"lead {lead}, channel {channel}" + "".join(f", member {m}" for m in member)
            raise error(f"the {what} holds values that are not finite at {place} (from 0)")


def _check_finite_statistics(*statistics: np.ndarray) -> None:
    if not all(np.isfinite(s).all() for s in statistics):
        raise NumericalError(
            "a statistic of finite fields is not finite: the forecast's values are too large"
        )
