"""What members of an ensemble tell: their variance, that of their mean, their distance.

Members are independent, or they are *paired*: 2k and 2k + 1 were drawn from opposite noise
(`KeyedNoise`). Half of the errors of a pair cancel in its mean, so that the mean of an ensemble is
worth that of a larger one, and formulas for independent members would take the spread for larger
than it is. Different pairs are independent; what follows is unbiased for them.

References:
    Hammersley & Morton 1956, A new Monte Carlo technique: antithetic variates.
    Ferro 2014, Fair scores for ensemble forecasts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Variances(NamedTuple):
    """Unbiased variances, (...) each: of a member, and of the mean of all members."""

    member: np.ndarray
    mean: np.ndarray


def variances(members: np.ndarray, *, paired: bool = False) -> Variances:
    """Variances of members (M, ...); zero of a single one.

    The variance of a member of a pair (a, b) is that of (a + b) / 2, estimated from all pairs,
    plus the mean of ((a - b) / 2)^2.
    """
    count = len(members)
    if count == 1:
        return Variances(np.zeros(members.shape[1:]), np.zeros(members.shape[1:]))
    if not _are_pairs(count, paired):
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
    # sorted, sum_{m, n} |x_m - x_n| = 2 sum_k (2 k - M + 1) x_k
    factors = 2.0 * np.arange(count) - (count - 1)
    total = 2 * np.tensordot(factors, np.sort(members, axis=0), axes=1)
    if not _are_pairs(count, paired):
        return np.asarray(total / (count * (count - 1)))
    partners = 2 * np.abs(members[::2] - members[1::2]).sum(axis=0)
    return np.asarray((total - partners) / (count * (count - 2)))


def _are_pairs(count: int, paired: bool) -> bool:
    """One pair says nothing of its own variance; an odd member has no partner."""
    return paired and count % 2 == 0 and count > 2
