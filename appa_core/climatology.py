"""The usual state of the atmosphere at a time of year and day, and departures from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from appa_core.calendar import day_progress, year_progress
from appa_core.errors import DataError


def year_harmonics(times: np.ndarray, harmonics: int) -> np.ndarray:
    """Constant, then cosine and sine of each harmonic of the year.

    Args:
        times: (T,) datetime64.
        harmonics: Number of harmonics.

    Returns:
        (T, 2 harmonics + 1) float64.
    """
    angle = 2 * np.pi * year_progress(times)[:, None] * np.arange(1, harmonics + 1)
    return np.concatenate([np.ones((len(times), 1)), np.cos(angle), np.sin(angle)], axis=1)


@dataclass(frozen=True)
class SeasonalClimatology:
    """Mean state by cell, hour of day and day of year.

    Args:
        coefficients: (hours of day, 2 harmonics + 1, C, H, W); H and W may be 1.
    """

    coefficients: np.ndarray

    def at(self, times: np.ndarray) -> np.ndarray:
        """Climatological states, (T, C, H, W) float32 (H and W as in the coefficients)."""
        hours, terms = self.coefficients.shape[:2]
        basis = year_harmonics(times, (terms - 1) // 2)
        slot = np.rint(day_progress(times) * hours).astype(int) % hours
        out = np.empty((len(times), *self.coefficients.shape[2:]), np.float32)
        for i, (weights, hour) in enumerate(zip(basis, slot, strict=True)):
            out[i] = np.tensordot(weights.astype(np.float32), self.coefficients[hour], axes=1)
        return out


class ClimatologyFit:
    """Least-squares fit of a seasonal climatology, from sums that add up over any pieces.

    Args:
        hours: States a day.
        harmonics: Harmonics of the year.
        shape: (C, H, W) of a state.
        weights: Area weights by latitude, (H,), mean 1.
        pooled: Fit one value per channel instead of one per cell.
    """

    def __init__(
        self,
        hours: int,
        harmonics: int,
        shape: tuple[int, int, int],
        weights: np.ndarray,
        *,
        pooled: bool = False,
    ) -> None:
        if pooled:
            hours, harmonics = 1, 0
        terms = 2 * harmonics + 1
        self.hours, self.harmonics, self.pooled = hours, harmonics, pooled
        self._weights = weights
        self.count = np.zeros(hours)
        self.gram = np.zeros((hours, terms, terms))
        self.moment = np.zeros((hours, terms, *shape))
        self.square = np.zeros((hours, *shape))

    def add(self, states: np.ndarray, times: np.ndarray) -> None:
        """Take states (T, C, H, W) at times (T,) into account."""
        slot = np.rint(day_progress(times) * self.hours).astype(int) % self.hours
        basis = year_harmonics(times, self.harmonics)
        for hour in range(self.hours):
            b, x = basis[slot == hour], states[slot == hour].astype(np.float64)
            self.count[hour] += len(x)
            self.gram[hour] += b.T @ b
            self.moment[hour] += np.tensordot(b, x, axes=(0, 0))
            self.square[hour] += (x * x).sum(axis=0)

    def merge(self, other: ClimatologyFit) -> None:
        """Take everything into account that another fit has seen."""
        self.count += other.count
        self.gram += other.gram
        self.moment += other.moment
        self.square += other.square

    def solve(self) -> tuple[SeasonalClimatology, np.ndarray]:
        """The climatology and the standard deviation of departures from it.

        Returns:
            The climatology, and (C,) float32: area-weighted over all cells and times.

        Raises:
            DataError: Too few states for the number of harmonics.
        """
        terms = self.gram.shape[1]
        if (self.count < terms).any():
            raise DataError(
                f"a climatology with {self.harmonics} harmonics needs {terms} states at each of "
                f"{self.hours} hours of the day; there are {int(self.count.min())}"
            )
        moment = self.moment
        if self.pooled:
            mean = (moment * self._weights[:, None]).mean(axis=(-2, -1), keepdims=True)
            coefficients = mean / self.gram[0, 0, 0]
            explained = coefficients * moment
        else:
            flat = moment.reshape(self.hours, terms, -1)
            coefficients = np.linalg.solve(self.gram, flat).reshape(moment.shape)
            explained = coefficients * moment
        departures = self.square - explained.sum(axis=1)
        if self.pooled:  # the pooled mean is not each cell's own projection
            n = self.gram[0, 0, 0]
            departures = self.square - 2 * explained[:, 0] + n * coefficients[:, 0] ** 2
        mean_square = (departures.sum(axis=0) * self._weights[:, None]).mean(axis=(1, 2))
        std = np.sqrt(np.maximum(mean_square, 0.0) / self.count.sum())
        if (std <= 0).any():
            raise DataError(f"channels {np.flatnonzero(std <= 0).tolist()} never vary")
        return SeasonalClimatology(coefficients.astype(np.float32)), std.astype(np.float32)


@dataclass(frozen=True)
class Normalisation:
    """Standardised states: departures from a base state in units of their spread.

    Args:
        base: What is subtracted.
        std: (C,) standard deviation of the departures.
    """

    base: SeasonalClimatology
    std: np.ndarray

    def standardise(self, states: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Physical (..., T, C, H, W) to standardised states."""
        return np.asarray((states - self.base.at(times)) / self.std[:, None, None])

    def restore(self, states: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Standardised (..., T, C, H, W) to physical states."""
        return np.asarray(states * self.std[:, None, None] + self.base.at(times))
