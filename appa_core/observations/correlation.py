"""Errors that rows of one report share: along a sounding in ln p, along a swath in distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from appa_core.observations.table import ObservationTable
from appa_core.observe.interpolation import EARTH_RADIUS_KM, unit_vectors

#: Share of a row's error variance that no other row shares, however near: it keeps blocks well
#: conditioned where rows repeat.
INDEPENDENT_SHARE = 0.1
#: Most rows of a block. Longer reports are cut, in order of time and of level.
LARGEST_BLOCK = 64
_REPORT = [
    "platform",
    "station_id",
    "report_id",
    "quantity",
    "correlation_ln_p",
    "correlation_km",
]


@dataclass(frozen=True)
class ErrorBlock:
    """Rows whose errors are correlated.

    Args:
        rows: Positions in the table, (m,) int64.
        correlation: Symmetric and positive definite, (m, m).
    """

    rows: np.ndarray
    correlation: np.ndarray


def error_blocks(table: ObservationTable, times: np.ndarray | None = None) -> list[ErrorBlock]:
    """Blocks of correlated errors of two rows or more; rows of none have independent errors.

    Rows of a report and a quantity at distances d on the ground and dlnp in the vertical have the
    correlation (1 - s) exp(-d / L) exp(-|dlnp| / l), with s the independent share. Exponentials
    of distances on a sphere are positive definite (Gneiting 2013, table 1), and so are products.

    Args:
        table: Observations.
        times: Times of a trajectory's states, ascending datetime64, at which reports are cut: what
            is read of a part of the trajectory then shares no error with what is read of the rest.
    """
    rows = _SharingRows.of(table, times)
    if len(rows.position) == 0:
        return []
    change = np.flatnonzero(np.diff(rows.group)) + 1
    first = np.concatenate([[0], change])
    length = np.diff(np.concatenate([first, [len(rows.group)]]))
    blocks = []
    for low, count in zip(first, length, strict=True):
        for start in range(low, low + count, LARGEST_BLOCK):
            piece = slice(start, min(start + LARGEST_BLOCK, low + count))
            if piece.stop - piece.start > 1:
                blocks.append(ErrorBlock(rows.position[piece], rows.correlation(piece)))
    return blocks


def correlated(unit: np.ndarray, blocks: Sequence[ErrorBlock]) -> np.ndarray:
    """Independent unit noise (N,) to noise of unit variance with the blocks' correlations."""
    out = unit.copy()
    for block in blocks:
        out[block.rows] = np.linalg.cholesky(block.correlation) @ unit[block.rows]
    return out


@dataclass(frozen=True)
class _SharingRows:
    """Rows that share errors with others, group by group, in order of time and of level.

    Args:
        position: In the table, (N,) int64.
        group: Number of what they share errors with, ascending, (N,).
        place: Unit vectors, (N, 3).
        height: ln p; 0 at the surface, (N,).
        lengths: Correlation lengths in ln p and in km, (N, 2).
    """

    position: np.ndarray
    group: np.ndarray
    place: np.ndarray
    height: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, table: ObservationTable, times: np.ndarray | None) -> _SharingRows:
        frame = table.frame
        lengths = frame[["correlation_ln_p", "correlation_km"]].fillna(0.0)
        shares = (lengths > 0).any(axis=1) & (frame["report_id"] != "")
        frame = frame.assign(**lengths)[shares]
        keys = [frame[name] for name in _REPORT]
        # without a length, rows at other places or levels have nothing in common
        alone = frame["correlation_km"] == 0
        keys += [frame[n].where(alone) for n in ("valid_time", "latitude", "longitude")]
        keys.append(frame["level"].where(frame["correlation_ln_p"] == 0))
        if times is not None:
            valid = frame["valid_time"].to_numpy()
            sides = [np.searchsorted(times, valid, side=side) for side in ("left", "right")]
            keys += [pd.Series(side, frame.index, name=None) for side in sides]
        group = frame.groupby(keys, dropna=False).ngroup().to_numpy()
        seconds = frame["valid_time"].to_numpy().astype(np.int64)
        columns = [frame[n].to_numpy(float) for n in ("level", "longitude", "latitude")]
        order = np.lexsort((*columns, seconds, group))
        level, longitude, latitude = (column[order] for column in columns)
        return cls(
            frame.index.to_numpy(np.int64)[order],
            group[order],
            unit_vectors(latitude, longitude),
            np.log(np.where(np.isnan(level), 1.0, level)),
            frame[list(lengths)].to_numpy(float)[order],
        )

    def correlation(self, piece: slice) -> np.ndarray:
        """Of a stretch of rows of one group, (m, m)."""
        ln_p, km = self.lengths[piece][0]
        count = piece.stop - piece.start
        out = np.ones((count, count))
        if km > 0:
            place = self.place[piece]
            chord = np.linalg.norm(place[:, None] - place[None], axis=-1)
            out *= np.exp(-2 * EARTH_RADIUS_KM / km * np.arcsin(np.clip(chord / 2, 0, 1)))
        if ln_p > 0:
            height = self.height[piece]
            out *= np.exp(-np.abs(height[:, None] - height[None]) / ln_p)
        return (1 - INDEPENDENT_SHARE) * out + INDEPENDENT_SHARE * np.eye(count)
