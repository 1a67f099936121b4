"""All statistics of one field of a forecast against its truth, by region.

Fields are worked through in slabs of rows that fit a processor's caches; a statistic is a sum
over cells, so that the slabs are no part of the answer.

References:
    Murphy & Epstein 1989, Skill scores and correlation coefficients in model verification, eq. 4
        (the anomaly correlation, not centred).
    Gneiting, Balabdaoui & Raftery 2007, Probabilistic forecasts, calibration and sharpness
        (coverage of central intervals).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from appa_core.errors import DataError, NumericalError
from appa_core.metrics.events import Event, bins_of, brier_sums, reliability_sums
from appa_core.metrics.members import are_pairs, ensemble_fields, rank_counts, sort_members
from appa_core.metrics.multivariate import Lags, energy_parts, variogram_sums, weighted_gram
from appa_core.metrics.regions import RegionWeights

_SLAB_BYTES = 1 << 20
_SINGLE = ("error", "absolute_error", "squared_error")


@dataclass(frozen=True)
class Scoring:
    """What is scored of ensembles.

    Args:
        lags: Pairs of cells of the variogram score.
        coverages: Shares of central intervals, such as 0.5; those that the members cannot tell
            are left out (`intervals_of`).
        paired: Members come in pairs of opposite noise (`appa_core.metrics.members`): ranks and
            intervals are those of one member of each.
    """

    lags: Lags
    coverages: tuple[float, ...] = (0.5, 0.9)
    paired: bool = False


@dataclass(frozen=True, eq=False)
class FieldSums:
    """Statistics of one field.

    Args:
        means: Area-weighted means over each region, (R,) by name.
        ranks: Cells by rank of the truth, not weighted, (R, M + 1), of pairs
            (R, M / 2 + 1); empty for single forecasts.
        reliability: (R, bins, 4) by event; see `events.reliability_sums`.
    """

    means: dict[str, np.ndarray]
    ranks: np.ndarray
    reliability: dict[str, np.ndarray]


def intervals_of(members: int, coverages: Sequence[float]) -> dict[float, float]:
    """Nominal shares of central intervals by rank of their lower end, 1..M.

    A calibrated truth is below the k-th smallest of M members with probability k / (M + 1).
    Shares wider than the range of the members cannot be told; the range itself,
    (M - 1) / (M + 1), is always among them.
    """
    wanted = {(1 - share) / 2 * (members + 1): share for share in coverages}
    told = {rank: share for rank, share in wanted.items() if 1 <= rank < (members + 1) / 2}
    return told if members < 2 else told | {1.0: (members - 1) / (members + 1)}


def verify_single(
    forecast: np.ndarray,
    truth: np.ndarray,
    weights: RegionWeights,
    base: np.ndarray | None = None,
) -> FieldSums:
    """Statistics of a forecast without members.

    Args:
        forecast: (H, W).
        truth: (H, W), same units.
        weights: Of regions.
        base: Climatology (H, W) that anomalies are departures from; no `acc` if None.
    """
    truth = weights.filled(truth)
    error = weights.filled(forecast).astype(np.float64) - truth
    sums = {"error": error, "absolute_error": np.abs(error), "squared_error": error**2}
    means = {name: weights.means(field) for name, field in sums.items()}
    if base is not None:
        means["acc"] = _correlation(_anomaly_sums(error, truth, base, weights))
    _require_finite(means)
    return FieldSums(means, np.zeros((len(weights.names), 0)), {})


def verify_ensemble(
    ensemble: np.ndarray,
    truth: np.ndarray,
    weights: RegionWeights,
    scoring: Scoring,
    base: np.ndarray | None = None,
    events: Sequence[Event] = (),
) -> FieldSums:
    """Statistics of an ensemble.

    Args:
        ensemble: (M, H, W).
        truth: (H, W), same units.
        weights: Of regions.
        scoring: What is scored.
        base: Climatology (H, W) that anomalies are departures from; no `acc` if None.
        events: Whose probability is scored.

    Raises:
        DataError: Shapes differ.
        NumericalError: A statistic is not finite.
    """
    if ensemble.ndim != 3 or ensemble.shape[1:] != truth.shape or not len(ensemble):
        raise DataError(
            f"expected members of the truth's shape (member, {truth.shape[0]}, {truth.shape[1]}), "
            f"got {ensemble.shape}"
        )
    sums = _Sums(len(ensemble), weights, scoring, base is not None, events)
    for rows in _slabs(ensemble.shape):
        sums.add(ensemble, truth, rows, base)
    found = sums.result()
    _require_finite(found.means)
    return found


class _Sums:
    """Sums over slabs of rows."""

    def __init__(
        self,
        members: int,
        weights: RegionWeights,
        scoring: Scoring,
        has_base: bool,
        events: Sequence[Event],
    ) -> None:
        self._weights, self._scoring, self._events = weights, scoring, events
        self._are_pairs = are_pairs(members, scoring.paired)
        self._ranked = members // 2 if self._are_pairs else members
        self._intervals = intervals_of(self._ranked, scoring.coverages)
        regions = len(weights.names)
        self._fields: dict[str, np.ndarray] = {}
        self._anomalies = np.zeros((3, regions)) if has_base else None
        self._gram = np.zeros((regions, members, members))
        self._variogram = np.zeros((2, regions))
        self._ranks = np.zeros((regions, self._ranked + 1))
        bins = int(bins_of(members)[-1]) + 1
        self._reliability = {e.name: np.zeros((regions, bins, 4)) for e in events}

    def add(
        self, ensemble: np.ndarray, truth: np.ndarray, rows: slice, base: np.ndarray | None
    ) -> None:
        """Take some rows into account."""
        part = self._weights.slab(rows)
        members, y = part.filled(ensemble[:, rows]), part.filled(truth[rows])
        errors = np.subtract(members, y, dtype=np.float64)
        self._gram += weighted_gram(errors, part)
        ranked = errors
        if self._are_pairs:  # partners lie on both sides of the truth more often than others do
            ranked = errors[::2].copy()
            sort_members(ranked)
        fields = ensemble_fields(errors, paired=self._are_pairs)
        if base is not None and self._anomalies is not None:
            self._anomalies += _anomaly_sums(fields["error"], y, base[rows], part)
        for rank, share in self._intervals.items():
            fields[f"inside_{100 * share:.0f}"] = _inside(ranked, rank)
        for name, field in fields.items():
            self._add(name, part.sums(field))
        for region in range(len(part.names)):
            self._ranks[region] += rank_counts(part.cells(region, ranked))
        self._add_events(members, y, rows, part)
        lags = self._scoring.lags
        reach = slice(rows.start, rows.stop + lags.rows)
        self._variogram += variogram_sums(ensemble[:, reach], truth[reach], part, lags, len(y))

    def _add(self, name: str, sums: np.ndarray) -> None:
        self._fields[name] = self._fields.get(name, 0.0) + sums

    def _add_events(
        self, members: np.ndarray, truth: np.ndarray, rows: slice, part: RegionWeights
    ) -> None:
        for whole in self._events:
            event = whole.slab(rows)
            counts = event.happens(members).sum(axis=0)
            happened = event.happens(truth)
            self._add(f"brier:{event.name}", brier_sums(counts / len(members), happened, part))
            self._reliability[event.name] += reliability_sums(counts, happened, part, len(members))

    def result(self) -> FieldSums:
        """Means over all rows."""
        sizes = self._weights.sizes
        means = {name: sums / sizes for name, sums in self._fields.items()}
        means |= energy_parts(self._gram, sizes, paired=self._are_pairs)
        with np.errstate(invalid="ignore"):  # a region may be too narrow for any pair
            means["variogram"] = self._variogram[0] / self._variogram[1]
        if self._anomalies is not None:
            means["acc"] = _correlation(self._anomalies)
        return FieldSums(means, self._ranks, self._reliability)


def _slabs(shape: tuple[int, ...]) -> Iterator[slice]:
    members, rows, columns = shape
    step = max(1, _SLAB_BYTES // (8 * members * columns))
    return (slice(low, min(low + step, rows)) for low in range(0, rows, step))


def _inside(errors: np.ndarray, rank: float) -> np.ndarray:
    """Whether 0 lies within a central interval of sorted errors (M, H, W), as a share.

    Between two ranks both intervals count, by how close they are: the share of a calibrated
    ensemble is the nominal one then, of whatever distribution.
    """
    whole = int(rank)
    inside = _within(errors, whole).astype(np.float64)
    if rank > whole:
        inside += (rank - whole) * (_within(errors, whole + 1) - inside)
    return inside


def _within(errors: np.ndarray, rank: int) -> np.ndarray:
    """Whether 0 lies between the `rank`-th smallest and the `rank`-th largest."""
    if 2 * rank > len(errors):
        return np.zeros(errors.shape[1:], bool)
    return np.asarray((errors[rank - 1] <= 0) & (errors[-rank] >= 0))


def _anomaly_sums(
    error: np.ndarray, truth: np.ndarray, base: np.ndarray, weights: RegionWeights
) -> np.ndarray:
    """Sums of f' o', f'^2 and o'^2, (3, R), of departures f' and o' from a climatology."""
    observed = np.subtract(truth, weights.filled(base), dtype=np.float64)
    forecast = error + observed
    return weights.sums(np.stack([forecast * observed, forecast**2, observed**2]))


def _correlation(sums: np.ndarray) -> np.ndarray:
    """Anomaly correlation (R,); 0 where one side has no anomaly, as climatology itself."""
    norm = np.sqrt(sums[1] * sums[2])
    return np.asarray(np.divide(sums[0], norm, out=np.zeros_like(norm), where=norm > 0))


def _require_finite(means: dict[str, np.ndarray]) -> None:
    for name, values in means.items():
        if name != "variogram" and not np.isfinite(values).all():
            raise NumericalError(
                f"the statistic {name} of finite fields is not finite: values are too large"
            )
