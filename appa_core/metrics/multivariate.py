"""Scores of whole fields: whether members vary together as the atmosphere does.

References:
    Gneiting & Raftery 2007, Strictly proper scoring rules, prediction, and estimation, eq. 22.
    Scheuerer & Hamill 2015, Variogram-based proper scoring rules for probabilistic forecasts of
        multivariate quantities, eq. 12.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from appa_core.metrics.regions import RegionWeights

#: Order p of the variogram: of the three that its authors tried, that which discriminates best.
VARIOGRAM_ORDER = 0.5


@dataclass(frozen=True)
class Lags:
    """Which pairs of cells a variogram score compares.

    Args:
        rows: Rows apart along meridians; 0 leaves them out.
        columns: Columns apart along circles of latitude; 0 leaves them out.
        is_periodic: Whether columns go round the globe.
    """

    rows: int
    columns: int
    is_periodic: bool

    @classmethod
    def of(cls, latitudes: np.ndarray, longitudes: np.ndarray, degrees: float = 10.0) -> Lags:
        """Pairs about so many degrees apart, and a cell at least."""
        steps = [float(np.diff(axis).mean()) for axis in (latitudes, longitudes)]
        rows, columns = (max(1, round(degrees / step)) for step in steps)
        gap = longitudes[0] + 360 - longitudes[-1]
        return cls(rows, columns, bool(gap < 1.5 * steps[1]))


def weighted_gram(errors: np.ndarray, weights: RegionWeights) -> np.ndarray:
    """Products of all pairs of members' errors, (M, H, W) to (R, M, M), weighted sums."""
    flat = errors.reshape(len(errors), -1)
    out = np.zeros((len(weights.names), len(errors), len(errors)))
    for region, rows in enumerate(weights.rows):
        if rows.any():
            out[region] = (flat * weights.weights(region).ravel()) @ flat.T
    return out


def energy_parts(
    gram: np.ndarray, sizes: np.ndarray, *, paired: bool = False
) -> dict[str, np.ndarray]:
    """mean_m |x_m - y| and mean_{m, n} |x_m - x_n| with |d|^2 the area mean of d^2.

    Args:
        gram: (R, M, M) of `weighted_gram`, over all cells.
        sizes: Sums of the weights, (R,).
        paired: Members come in pairs of opposite noise; see `appa_core.metrics.members`.

    Returns:
        `energy_error`, `energy_distance` and, of pairs, `energy_fair_distance`, which leaves out
        partners: (R,) each, in the units of the field.
    """
    gram = gram / sizes[:, None, None]
    own = np.diagonal(gram, axis1=-2, axis2=-1)
    # rounding can leave a little less than zero between members that are alike
    apart = np.clip(own[:, :, None] + own[:, None, :] - 2 * gram, 0, None)
    distances, members = np.sqrt(apart), apart.shape[-1]
    found = {
        "energy_error": np.sqrt(own).mean(axis=-1),
        "energy_distance": distances.mean(axis=(-2, -1)),
    }
    if paired:
        first = np.arange(0, members, 2)
        partners = 2 * distances[:, first, first + 1].sum(axis=-1)
        total = distances.sum(axis=(-2, -1)) - partners
        found["energy_fair_distance"] = total / (members * (members - 2))
    return found


def variogram_sums(
    ensemble: np.ndarray, truth: np.ndarray, weights: RegionWeights, lags: Lags, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted sums of (|y_i - y_j|^p - mean_m |x_mi - x_mj|^p)^2 over pairs, and of weights.

    A pair counts with the area of its southern or western cell.

    Args:
        ensemble: (M, H, W), of which pairs begin in the first `count` rows.
        truth: (H, W); pairs with a NaN, which masks have, do not count.
        weights: Of the first `count` rows.
        lags: Which pairs.
        count: Rows h.

    Returns:
        Two arrays (R,).
    """
    total, size = np.zeros(len(weights.names)), np.zeros(len(weights.names))
    pairs = min(count, truth.shape[0] - lags.rows)
    if lags.rows and pairs > 0:
        first, second = slice(0, pairs), slice(lags.rows, lags.rows + pairs)
        gap = _gap(truth[second], truth[first])
        gap -= _mean_gap(ensemble[:, second], ensemble[:, first])
        _add_pairs(gap, weights.slab(first), total, size)
    if lags.columns:
        field, members = truth[:count], ensemble[:, :count]
        columns = field.shape[1] if lags.is_periodic else field.shape[1] - lags.columns
        if columns > 0:
            east = np.roll(np.arange(field.shape[1]), -lags.columns)[:columns]
            gap = _gap(field[:, east], field[:, :columns])
            gap -= _mean_gap(members[..., east], members[..., :columns])
            mask = None if weights.mask is None else weights.mask[:, :columns]
            part = replace(weights, columns=weights.columns[:, :columns], mask=mask)
            _add_pairs(gap, part, total, size)
    return total, size


def _add_pairs(
    gap: np.ndarray, weights: RegionWeights, total: np.ndarray, size: np.ndarray
) -> None:
    if weights.mask is not None:
        weights = replace(weights, mask=weights.mask & np.isfinite(gap))
    total += weights.sums(gap**2)
    size += weights.sizes


def _gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.abs(np.subtract(a, b, dtype=np.float64))))


def _mean_gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    total = np.zeros(a.shape[1:])
    for one, other in zip(a, b, strict=True):
        total += _gap(one, other)
    return total / len(a)
