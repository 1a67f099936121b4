"""How sure scores and their differences are: Student's t, and resampling of dates.

Dates that follow each other closely share their weather. They are resampled in blocks of
consecutive dates, and tests take the mean over a block for one case.

References:
    Efron & Tibshirani 1993, An introduction to the bootstrap, chapter 13 (percentile intervals).
    Politis & Romano 1992, A circular block-resampling procedure for stationary data.
    Geer 2016, Significance of changes in medium-range forecast scores (tests of paired dates).
"""

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


def block_length(times: np.ndarray, hours: float = 72.0) -> int:
    """Consecutive dates that are taken for one: as many as come within some hours.

    Args:
        times: Dates, ascending, (D,) datetime64.
        hours: Over which the weather is taken for independent.
    """
    if len(times) < 2:
        return 1
    spacing = float(np.median(np.diff(times) / np.timedelta64(1, "h")))
    return max(1, round(hours / spacing)) if spacing > 0 else len(times)


def resampled_counts(
    dates: int, block: int, samples: int, rng: np.random.Generator
) -> np.ndarray | None:
    """How often each date is drawn, (samples, D), each row's sum about D; None for one block.

    Blocks of consecutive dates are drawn with replacement from all starts, round the end.

    Args:
        dates: D.
        block: Dates in a block.
        samples: How many draws.
        rng: Source of randomness.
    """
    blocks = -(-dates // block)
    if blocks < 2:
        return None
    starts = rng.integers(0, dates, (samples, blocks))
    counts = np.zeros((samples, dates))
    rows = np.arange(samples)[:, None]
    for shift in range(block):
        np.add.at(counts, (rows, (starts + shift) % dates), 1.0)
    return counts


def percentile_interval(values: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the middle of resampled values (samples, ...), by quantiles."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.asarray(low), np.asarray(high)


def paired_p(differences: np.ndarray, block: int = 1) -> np.ndarray:
    """Two-sided p of a zero mean, by Student's t over means of blocks of dates.

    Args:
        differences: Of additive statistics of two runs, in order of dates, (D, ...).
        block: Dates in a block; dates left over at the end join the last whole block.

    Returns:
        (...,); NaN for fewer than two blocks, 1 where all differences are zero.
    """
    blocks = len(differences) // block
    if blocks < 2:
        return np.full(differences.shape[1:], np.nan)
    edges = np.arange(blocks) * block
    sizes = np.diff(np.append(edges, len(differences)))
    means = np.add.reduceat(differences, edges, axis=0)
    means = means / sizes.reshape(-1, *[1] * (differences.ndim - 1))
    mean = means.mean(axis=0)
    error = means.std(axis=0, ddof=1) / blocks**0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(error > 0, mean / error, np.where(mean == 0, 0.0, np.inf))
    return np.asarray(2 * stats.t.sf(np.abs(t), blocks - 1))
