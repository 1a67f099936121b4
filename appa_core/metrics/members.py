"""What an ensemble says at every cell, and how its statistics make scores.

References:
    Gneiting & Raftery 2007, Strictly proper scoring rules, prediction, and estimation, eq. 21, 22.
    Ferro 2014, Fair scores for ensemble forecasts, section 3.
    Fortin et al. 2014, Why should ensemble spread match the RMSE of the ensemble mean?, eq. 15.
    Hamill 2001, Interpretation of rank histograms for verifying ensemble forecasts.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def crps_of(
    member_error: np.ndarray, member_distance: np.ndarray, members: int, *, fair: bool = False
) -> np.ndarray:
    """E|X - y| - E|X - X'| / 2, of means or sums of both; also the energy score (eq. 22).

    Args:
        member_error: mean_m |x_m - y|.
        member_distance: mean_{m, n} |x_m - x_n|, all M^2 pairs counted.
        members: M.
        fair: Of pairs of distinct members only, what an infinite ensemble would have; NaN for one.
    """
    if not fair:
        return np.asarray(member_error - member_distance / 2)
    pairs = members / (members - 1) if members > 1 else np.nan
    return np.asarray(member_error - pairs * member_distance / 2)


def spread_of(variance: np.ndarray, members: int) -> np.ndarray:
    """Root of a mean unbiased ensemble variance; NaN for one member."""
    return np.asarray(np.sqrt(variance) if members > 1 else np.full(np.shape(variance), np.nan))


def spread_skill_of(spread: np.ndarray, rmse: np.ndarray, members: int) -> np.ndarray:
    """sqrt((M + 1) / M) spread / rmse (Fortin et al. 2014, eq. 15); NaN where both are zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt((members + 1) / members) * spread / rmse)


def sort_members(errors: np.ndarray) -> None:
    """Sort along the first axis, in place, by exchanges of whole fields.

    A network of comparisons (Knuth, The Art of Computer Programming, 5.2.2, algorithm M), which
    for as few members as ensembles have is several times faster than sorting cell by cell.

    Args:
        errors: (M, ...).
    """
    low = np.empty_like(errors[0])
    for i, j in _exchanges(len(errors)):
        np.minimum(errors[i], errors[j], out=low)
        np.maximum(errors[i], errors[j], out=errors[j])
        errors[i] = low


@lru_cache
def _exchanges(count: int) -> tuple[tuple[int, int], ...]:
    """Pairs to bring in order, one after the other, that sort so many items."""
    pairs = []
    top = 1 << max(0, (count - 1).bit_length() - 1)
    p = top if count > 1 else 0
    while p:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(count - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2
    return tuple(pairs)


def ensemble_crps(errors: np.ndarray) -> np.ndarray:
    """CRPS of an infinite ensemble like this one at every point, fair (Ferro 2014).

    Args:
        errors: Members minus truth, (M, N); the CRPS of a single member is its absolute error.

    Returns:
        (N,).
    """
    members = len(errors)
    ordered = np.sort(errors.astype(np.float64), axis=0)
    factors = 2.0 * np.arange(members) - (members - 1)
    pairs = max(members * (members - 1), 1)
    distance = np.tensordot(factors, ordered, axes=1) * (2 / pairs)
    return np.asarray(np.abs(ordered).mean(axis=0) - distance / 2)


def ensemble_fields(errors: np.ndarray) -> dict[str, np.ndarray]:
    """Fields (H, W) by statistic, from members minus truth sorted along axis 0.

    With sorted members, sum_{m, n} |x_m - x_n| = 2 sum_k (2 k - M + 1) x_k for k = 0..M-1.
    """
    members = errors.shape[0]
    mean = errors.mean(axis=0)
    variance = ((errors - mean) ** 2).sum(axis=0) / max(members - 1, 1)
    factors = 2.0 * np.arange(members) - (members - 1)
    distance = np.tensordot(factors, errors, axes=1) * (2 / members**2)
    return {
        "error": mean,
        "absolute_error": np.abs(mean),
        "squared_error": mean**2,
        "variance": variance,
        "member_error": np.abs(errors).mean(axis=0),
        "member_distance": distance,
    }


def rank_counts(errors: np.ndarray) -> np.ndarray:
    """Grid points by rank of the truth among the members, (M + 1,); ties are shared out."""
    below = (errors < 0).sum(axis=0).ravel()
    ties = (errors == 0).sum(axis=0).ravel()
    size = errors.shape[0] + 2
    share = 1 / (ties + 1)
    starts = np.bincount(below, share, size)
    stops = np.bincount(below + ties + 1, share, size)
    return np.asarray(np.cumsum(starts - stops)[:-1])
