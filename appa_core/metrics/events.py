"""Probabilities of events: the Brier score and reliability.

References:
    Brier 1950, Verification of forecasts expressed in terms of probability.
    Murphy 1973, A new vector partition of the probability score.
    Wilks 2019, Statistical methods in the atmospheric sciences, 9.4.4 (reliability diagram).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from appa_core.metrics.regions import RegionWeights

#: Bins of probability in a reliability table, of ensembles with more members than this.
MOST_BINS = 10


@dataclass(frozen=True, eq=False)
class Event:
    """A value above (or below) a threshold.

    Args:
        name: As it appears in tables, such as `2m_temperature>303.15`.
        threshold: A value, () or (H, W) by cell, SI units.
        is_above: Whether the event is a value above it; below it otherwise.
    """

    name: str
    threshold: np.ndarray
    is_above: bool = True

    def slab(self, rows: slice) -> Event:
        """The same of some rows."""
        part = self.threshold[rows] if self.threshold.ndim else self.threshold
        return Event(self.name, part, self.is_above)

    def happens(self, values: np.ndarray) -> np.ndarray:
        """Whether it happens, (..., H, W) bool; a value at the threshold is no event."""
        return values > self.threshold if self.is_above else values < self.threshold


def brier_sums(
    probability: np.ndarray, happened: np.ndarray, weights: RegionWeights
) -> np.ndarray:
    """Weighted sums of (p - o)^2, (R,), of fields (H, W)."""
    return weights.sums((probability - happened) ** 2)


def bins_of(members: int) -> np.ndarray:
    """Bin of each count of members 0..M: one each, or about ten of equal width."""
    counts = np.arange(members + 1)
    return counts if members <= MOST_BINS else np.rint(counts * MOST_BINS / members).astype(int)


def reliability_sums(
    counts: np.ndarray, happened: np.ndarray, weights: RegionWeights, members: int
) -> np.ndarray:
    """Sums of a reliability table.

    Args:
        counts: Members in which the event happens, (H, W) int.
        happened: Whether it did, (H, W) bool.
        weights: Of regions.
        members: M.

    Returns:
        (R, bins, 4): sums by bin of weight, of weight times forecast probability, of weight where
        the event happened, and of cells.
    """
    bins = bins_of(members)
    out = np.zeros((len(weights.names), bins[-1] + 1, 4))
    for region in range(len(weights.names)):
        count, event, area = (
            weights.cells(region, field) for field in (counts, happened, weights.weights(region))
        )
        place = bins[count]
        for column, values in enumerate((area, area * count / members, area * event, None)):
            out[region, :, column] = np.bincount(place, values, out.shape[1])
    return out


def brier_parts(table: np.ndarray) -> dict[str, np.ndarray]:
    """Murphy's partition of the Brier score: reliability - resolution + uncertainty.

    Exact where every bin holds one probability.

    Args:
        table: (..., bins, 4) of `reliability_sums`.

    Returns:
        Arrays (...,) by name.
    """
    weight, forecast, event = (table[..., i] for i in range(3))
    total = weight.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        p, o = forecast / weight, event / weight
    climate = (event.sum(axis=-1) / total)[..., None]
    return {
        "reliability": np.nansum(weight * (p - o) ** 2, axis=-1) / total,
        "resolution": np.nansum(weight * (o - climate) ** 2, axis=-1) / total,
        "uncertainty": (climate * (1 - climate))[..., 0],
    }
