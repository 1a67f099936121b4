"""What an ensemble says at every cell, and how its statistics make scores.

Members are independent, or they are *paired*: 2k and 2k + 1 were drawn from opposite noise
(`KeyedNoise`). Half of the errors of a pair cancel in its mean, so that the mean of an ensemble is
worth that of a larger one, and formulas for independent members would take the spread for larger
than it is. Different pairs are independent; what follows is unbiased for them.

References:
    Hammersley & Morton 1956, A new Monte Carlo technique: antithetic variates.
    Gneiting & Raftery 2007, Strictly proper scoring rules, prediction, and estimation, eq. 21, 22.
    Ferro 2014, Fair scores for ensemble forecasts, section 3.
    Fortin et al. 2014, Why should ensemble spread match the RMSE of the ensemble mean?, eq. 15.
    Hamill 2001, Interpretation of rank histograms for verifying ensemble forecasts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np


class Variances(NamedTuple):
    """Unbiased variances, (...) each: of a member, and of the mean of all members."""

    member: np.ndarray
    mean: np.ndarray


def are_pairs(count: int, paired: bool) -> bool:
    """Whether so many members count as pairs.

    One pair says nothing of its own variance, and an odd member has no partner.
    """
    return paired and count % 2 == 0 and count > 2


def variances(members: np.ndarray, *, paired: bool = False) -> Variances:
    """Variances of members (M, ...); zero of a single one.

    The variance of a member of a pair (a, b) is that of (a + b) / 2, estimated from all pairs,
    plus the mean of ((a - b) / 2)^2.
    """
    count = len(members)
    if count == 1:
        return Variances(np.zeros(members.shape[1:]), np.zeros(members.shape[1:]))
    if not are_pairs(count, paired):
        each = members.var(axis=0, ddof=1)
        return Variances(each, each / count)
    pairs = members.reshape(count // 2, 2, *members.shape[1:])
    of_means = pairs.mean(axis=1).var(axis=0, ddof=1)
    halves = (pairs[:, 0] - pairs[:, 1]) / 2
    return Variances(of_means + (halves**2).mean(axis=0), of_means / len(pairs))


def distance(members: np.ndarray, *, paired: bool = False) -> np.ndarray:
    """Mean |x - x'| of independent members (M, ...), which are not of one pair; zero of one."""
    count = len(members)
    if count == 1:
        return np.zeros(members.shape[1:])
    total = count**2 * _mean_distance(np.sort(members, axis=0))
    if not are_pairs(count, paired):
        return np.asarray(total / (count * (count - 1)))
    return np.asarray((total - _partners(members)) / (count * (count - 2)))


def _mean_distance(ordered: np.ndarray) -> np.ndarray:
    """mean_{m, n} |x_m - x_n| of sorted members: sum 2 (2 k - M + 1) x_k / M^2, k = 0..M-1."""
    count = len(ordered)
    factors = 2.0 * np.arange(count) - (count - 1)
    return np.asarray(np.tensordot(factors, ordered, axes=1) * (2 / count**2))


def _partners(members: np.ndarray) -> np.ndarray:
    """Sum of |x - x'| over members of one pair, each counted twice."""
    return np.asarray(2 * np.abs(members[::2] - members[1::2]).sum(axis=0))


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
    return ratio_of(np.sqrt((members + 1) / members) * spread, rmse)


def ratio_of(expected: np.ndarray, rmse: np.ndarray) -> np.ndarray:
    """Expected error of a mean over its error; NaN where both are zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(expected / rmse)


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


def ensemble_crps(errors: np.ndarray, *, paired: bool = False) -> np.ndarray:
    """CRPS of an infinite ensemble like this one at every point, fair (Ferro 2014).

    Args:
        errors: Members minus truth, (M, N); the CRPS of a single member is its absolute error.
        paired: Members come in pairs of opposite noise.

    Returns:
        (N,).
    """
    exact = errors.astype(np.float64)
    return np.asarray(np.abs(exact).mean(axis=0) - distance(exact, paired=paired) / 2)


def ensemble_fields(errors: np.ndarray, *, paired: bool = False) -> dict[str, np.ndarray]:
    """Fields (H, W) by statistic, from members minus truth.

    Of pairs there are two more: `expected`, the squared error of the mean that a truth like a
    member would have, and `fair_distance`, that of independent members.

    Args:
        errors: (M, H, W); they are sorted in place.
        paired: Members come in pairs of opposite noise.
    """
    members = len(errors)
    of_pairs = _pair_fields(errors) if are_pairs(members, paired) else {}
    sort_members(errors)
    mean = errors.mean(axis=0)
    fields = {
        "error": mean,
        "absolute_error": np.abs(mean),
        "squared_error": mean**2,
        "variance": ((errors - mean) ** 2).sum(axis=0) / max(members - 1, 1),
        "member_error": np.abs(errors).mean(axis=0),
        "member_distance": _mean_distance(errors),
    }
    if of_pairs:
        total = members**2 * fields["member_distance"] - of_pairs.pop("partners")
        of_pairs["fair_distance"] = total / (members * (members - 2))
    return fields | of_pairs


def _pair_fields(errors: np.ndarray) -> dict[str, np.ndarray]:
    of = variances(errors, paired=True)
    return {
        "variance": of.member, "expected": of.member + of.mean, "partners": _partners(errors),
    }  # fmt: skip


def rank_counts(errors: np.ndarray) -> np.ndarray:
    """Grid points by rank of the truth among the members, (M + 1,); ties are shared out."""
    below = (errors < 0).sum(axis=0).ravel()
    ties = (errors == 0).sum(axis=0).ravel()
    size = errors.shape[0] + 2
    share = 1 / (ties + 1)
    starts = np.bincount(below, share, size)
    stops = np.bincount(below + ties + 1, share, size)
    return np.asarray(np.cumsum(starts - stops)[:-1])
