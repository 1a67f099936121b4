"""Random numbers of observations as functions of what is observed, not of what else there is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def keys_of(seed: int, purpose: str, columns: Sequence[np.ndarray]) -> np.ndarray:
    """64 bits for each of N rows, from the contents of the row alone.

    Args:
        seed: Seed of the network.
        purpose: Tells streams of one seed apart.
        columns: Numbers or texts, (N,) each.

    Returns:
        (N,) uint64.
    """
    start = int.from_bytes(_digest(f"{seed} {purpose}"), "little")
    keys = np.full(len(columns[0]), start, np.uint64)
    for column in columns:
        keys = _mixed(keys ^ _bits(column))
    return keys


def uniform(keys: np.ndarray) -> np.ndarray:
    """Keys to numbers of (0, 1), float64."""
    return np.asarray(((keys >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52)


def normal(keys: np.ndarray) -> np.ndarray:
    """Keys to unit normal numbers, float64."""
    return np.asarray(ndtri(uniform(keys)))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _bits(column: np.ndarray) -> np.ndarray:
    if column.dtype.kind in "OUT":
        names, inverse = np.unique(column.astype(str), return_inverse=True)
        known = [int.from_bytes(_digest(name), "little") for name in names]
        return np.array(known, np.uint64)[inverse]
    numbers = column.astype(np.float64) + 0.0  # no negative zero
    return np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64)


def _mixed(keys: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014, figure 15)."""
    with np.errstate(over="ignore"):
        keys = keys + _GOLDEN
        keys = (keys ^ (keys >> np.uint64(30))) * _FIRST
        keys = (keys ^ (keys >> np.uint64(27))) * _SECOND
    return np.asarray(keys ^ (keys >> np.uint64(31)))
