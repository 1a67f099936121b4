"""Differences between two treatments of the same cases, with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from appa_core.errors import InputError


@dataclass(frozen=True)
class Change:
    """A mean relative change and its interval.

    Args:
        mean: Of a / b - 1 over pairs.
        low: Lower bound; NaN for a single pair.
        high: Upper bound.
        pairs: How many.
    """

    mean: float
    low: float
    high: float
    pairs: int


def paired_change(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Change:
    """Mean of a / b - 1 over pairs and its interval, by Student's t.

    It takes pairs for independent of each other.

    Args:
        a: Scores of one treatment, one for each case.
        b: Scores of the other, of the same cases.
        level: Of confidence.

    Raises:
        InputError: There are not as many of both, or there are none.
    """
    if len(a) != len(b) or not len(a):
        raise InputError(f"expected pairs of scores; there are {len(a)} and {len(b)}")
    change = np.asarray(a, float) / np.asarray(b, float) - 1
    mean, count = float(change.mean()), len(change)
    if count == 1:
        return Change(mean, float("nan"), float("nan"), 1)
    t = float(stats.t.ppf(0.5 + level / 2, count - 1))
    half = t * float(change.std(ddof=1)) / count**0.5
    return Change(mean, mean - half, mean + half, count)
