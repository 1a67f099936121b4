"""The usual state of the atmosphere at a time of year and day, and departures from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

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
        out = np.empty((len(times), *self.coefficients.shape[2:]), np.float32)
        for i, state in enumerate(self.each(times)):
            out[i] = state
        return out

    def each(self, times: np.ndarray) -> Iterator[np.ndarray]:
        """Climatological states (C, H, W) float32 one by one, in one array that is used again."""
        hours, terms = self.coefficients.shape[:2]
        basis = year_harmonics(times, (terms - 1) // 2).astype(np.float32)
        slots = np.rint(day_progress(times) * hours).astype(int) % hours
        state, term = (np.empty(self.coefficients.shape[2:], np.float32) for _ in range(2))
        for weights, hour in zip(basis, slots, strict=True):
            # no matrix product: its threads keep the cores busy for a while after they are done,
            # which halves the speed of the networks that come next
            np.copyto(state, self.coefficients[hour, 0])  # the constant's weight is 1
            for k in range(1, terms):
                state += np.multiply(self.coefficients[hour, k], weights[k], out=term)
            yield state


class SeasonalFit:
    """Least-squares fit of a seasonal climatology, from sums that add up over any pieces.

    Args:
        hours: States a day.
        harmonics: Harmonics of the year.
        shape: (C, H, W) of a state.
        weights: Area weights by latitude, (H,), mean 1.
    """

    def __init__(
        self, hours: int, harmonics: int, shape: tuple[int, int, int], weights: np.ndarray
    ) -> None:
        terms = 2 * harmonics + 1
        self._weights = weights
        self.sums = {
            "count": np.zeros(hours),
            "gram": np.zeros((hours, terms, terms)),
            "moment": np.zeros((hours, terms, *shape)),
            "square": np.zeros((hours, *shape)),
            "present": np.zeros(shape),
        }

    def add(self, states: np.ndarray, times: np.ndarray) -> None:
        """Take states (T, C, H, W) at times (T,) into account; NaN marks cells without values."""
        hours, terms = self.sums["gram"].shape[:2]
        slot = np.rint(day_progress(times) * hours).astype(int) % hours
        basis = year_harmonics(times, (terms - 1) // 2)
        self.sums["present"] += np.isfinite(states).sum(axis=0)
        for hour in range(hours):
            b, x = basis[slot == hour], states[slot == hour].astype(np.float64)
            x = np.nan_to_num(x, copy=False)
            self.sums["count"][hour] += len(x)
            self.sums["gram"][hour] += b.T @ b
            self.sums["moment"][hour] += np.tensordot(b, x, axes=(0, 0))
            self.sums["square"][hour] += (x * x).sum(axis=0)

    def merge(self, sums: Mapping[str, np.ndarray]) -> None:
        """Add the sums of another fit."""
        for name, value in sums.items():
            self.sums[name] += value

    def solve(self) -> Normalisation:
        """The climatology and the spread of departures, area-weighted over cells and times.

        Raises:
            DataError: Too few states for the number of harmonics, cells that have values at some
                times only, or channels that never vary.
        """
        count, gram, moment = (self.sums[n] for n in ("count", "gram", "moment"))
        hours, terms = gram.shape[:2]
        if (count < terms).any():
            raise DataError(
                f"a climatology with {(terms - 1) // 2} harmonics needs {terms} states at each of "
                f"{hours} hours of the day; there are {int(count.min())}"
            )
        missing = self.sums["present"] == 0
        if ((self.sums["present"] != count.sum()) & ~missing).any():
            raise DataError(
                "some cells have values at some times and none at others; a mask must be fixed"
            )
        flat = moment.reshape(hours, terms, -1)
        coefficients = np.linalg.solve(gram, flat).reshape(moment.shape)
        departures = (self.sums["square"] - (coefficients * moment).sum(axis=1)).sum(axis=0)
        area = ~missing * self._weights[:, None]
        variance = (departures * area).sum(axis=(1, 2)) / (area.sum(axis=(1, 2)) * count.sum())
        return _normalisation(coefficients, variance, missing)


class PooledFit:
    """Mean and spread of each channel over all cells and times, from sums that add up.

    Args:
        shape: (C, H, W) of a state.
        weights: Area weights by latitude, (H,), mean 1.
    """

    def __init__(self, shape: tuple[int, int, int], weights: np.ndarray) -> None:
        self._weights = weights
        self.sums = {name: np.zeros(shape[0]) for name in ("weight", "moment", "square")}
        self.sums["present"] = np.zeros(shape)

    def add(self, states: np.ndarray, times: np.ndarray) -> None:  # noqa: ARG002
        """Take states (T, C, H, W) into account; NaN marks cells without values."""
        for state in states:  # one at a time: states can be large
            finite = np.isfinite(state)
            x = np.where(finite, state, 0).astype(np.float64)
            self.sums["present"] += finite
            self.sums["weight"] += finite.sum(axis=2) @ self._weights
            self.sums["moment"] += x.sum(axis=2) @ self._weights
            self.sums["square"] += np.einsum("chw,chw->ch", x, x) @ self._weights

    def merge(self, sums: Mapping[str, np.ndarray]) -> None:
        """Add the sums of another fit."""
        for name, value in sums.items():
            self.sums[name] += value

    def solve(self) -> Normalisation:
        """The mean and the standard deviation by channel.

        Raises:
            DataError: There is no value of a channel, or it never varies.
        """
        weight, moment, square = (self.sums[n] for n in ("weight", "moment", "square"))
        if (weight == 0).any():
            raise DataError(f"channels {np.flatnonzero(weight == 0).tolist()} have no value")
        mean = moment / weight
        missing = self.sums["present"] == 0
        return _normalisation(mean[None, None, :, None, None], square / weight - mean**2, missing)


ClimatologyFit: TypeAlias = SeasonalFit | PooledFit


def _normalisation(
    coefficients: np.ndarray, variance: np.ndarray, missing: np.ndarray
) -> Normalisation:
    std = np.sqrt(np.maximum(variance, 0.0))
    if (std <= 0).any():
        raise DataError(f"channels {np.flatnonzero(std <= 0).tolist()} never vary")
    return Normalisation(
        SeasonalClimatology(coefficients.astype(np.float32)),
        std.astype(np.float32),
        missing if missing.any() else None,
    )


@dataclass(frozen=True)
class Normalisation:
    """Standardised states: departures from a base state in units of their spread.

    Args:
        base: What is subtracted.
        std: (C,) standard deviation of the departures.
        missing: Cells that have no value, such as sea surface temperature over land: (C, H, W)
            bool, or None if there are none.
    """

    base: SeasonalClimatology
    std: np.ndarray
    missing: np.ndarray | None = None

    def standardise(
        self, states: np.ndarray, times: np.ndarray, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Physical to standardised states; cells without a value become 0.

        Args:
            states: (..., T, C, H, W).
            times: (T,) datetime64.
            out: Where to write, (..., T, C, H, W) float32; may be `states`. A new array if None.

        Returns:
            `out`.
        """
        if out is None:
            out = np.empty(states.shape, np.float32)
        std = self.std[:, None, None].astype(out.dtype)
        # state by state: each stays in the processor's caches until it is done
        for i, base in enumerate(self.base.each(times)):
            state = np.subtract(states[..., i, :, :, :], base, out=out[..., i, :, :, :])
            state /= std
            if self.missing is not None:
                np.copyto(state, 0, where=self.missing)
        return out

    def restore(self, states: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Standardised (..., T, C, H, W) to physical states; NaN where there is no value."""
        out = np.asarray(states * self.std[:, None, None] + self.base.at(times))
        return out if self.missing is None else np.where(self.missing, np.float32("nan"), out)
