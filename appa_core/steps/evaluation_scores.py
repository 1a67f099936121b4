"""Scores with intervals, and comparisons of two runs, from the statistics of dates.

Statistics of dates are sorted before they are summed, so that no answer depends on the pieces
that they were made in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from appa_core.errors import DataError
from appa_core.metrics.intervals import (
    block_length,
    paired_p,
    percentile_interval,
    resampled_counts,
)
from appa_core.metrics.regions import GLOBAL
from appa_core.metrics.scores import ensemble_scores, single_scores
from appa_core.steps.evaluation_fields import ENSEMBLE

SCORE_COLUMNS = (
    "forecast", "score", "variable", "level", "lead_hours", "region", "season", "value", "low",
    "high", "dates",
)  # fmt: skip
COMPARISON_COLUMNS = (
    "score", "variable", "level", "lead_hours", "region", "season", "value", "other",
    "difference", "low", "high", "p", "dates",
)  # fmt: skip
ALL = "all"
_KEYS = ("variable", "level", "region")
_ABOUT = (*_KEYS, "forecast", "init_time", "valid_time", "lead_hours", "season")
#: Scores that are roots; what is tested is the mean that they are the root of.
_SQUARES = {"rmse": "squared_error", "spread": "variance"}
_SEASONS = ("DJF", "MAM", "JJA", "SON")


@dataclass(frozen=True)
class Pooling:
    """How dates are averaged.

    Args:
        members: Size of the ensembles.
        is_analysis: Whether leads are averaged too: they are times of one long trajectory.
        resamples: Draws of dates for intervals.
        seed: Of the draws.
    """

    members: int
    is_analysis: bool
    resamples: int
    seed: int


@dataclass(frozen=True, eq=False)
class _Group:
    """Statistics of one lead and season.

    Args:
        lead: In hours; None of all.
        season: Its name.
        cells: (variable, level, region) of each row (G).
        dates: (D,) datetime64.
        values: By statistic, (D, G).
    """

    lead: int | None
    season: str
    cells: list[tuple[Any, ...]]
    dates: np.ndarray
    values: dict[str, np.ndarray]

    def means(self, counts: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Means over dates, (G,), or over draws of them, (samples, G)."""
        if counts is None:
            return {name: v.mean(axis=0) for name, v in self.values.items()}
        weights = counts / counts.sum(axis=1, keepdims=True)
        return {name: weights @ v for name, v in self.values.items()}

    def counts(self, pooling: Pooling) -> np.ndarray | None:
        """Draws of the dates; the same for all that has the same dates."""
        seed = [pooling.seed, 0 if self.lead is None else self.lead + 1]
        block = block_length(self.dates)
        rng = np.random.default_rng(seed)
        return resampled_counts(len(self.dates), block, pooling.resamples, rng)


def score_table(statistics: pd.DataFrame, pooling: Pooling) -> pd.DataFrame:
    """A row for each forecast, score, channel, lead, region and season, `SCORE_COLUMNS`."""
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(statistics["forecast"]) if len(statistics) else ():
        for group in _groups(statistics[statistics["forecast"] == name], pooling):
            rows += _score_rows(str(name), group, pooling)
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS)).astype({"level": "Int64"})


def _scores(name: str, means: Mapping[str, np.ndarray], members: int) -> dict[str, np.ndarray]:
    return ensemble_scores(means, members) if name == ENSEMBLE else single_scores(means)


def _score_rows(name: str, group: _Group, pooling: Pooling) -> Iterator[dict[str, Any]]:
    found = _scores(name, group.means(), pooling.members)
    counts = group.counts(pooling)
    drawn = {} if counts is None else _scores(name, group.means(counts), pooling.members)
    for score, values in found.items():
        low, high = _bounds(drawn.get(score), values)
        for i, cell in _scored_cells(group, score, values):
            yield {
                "forecast": name, "score": score, **dict(zip(_KEYS, cell, strict=True)),
                "lead_hours": group.lead, "season": group.season, "value": values[i],
                "low": low[i], "high": high[i], "dates": len(group.dates),
            }  # fmt: skip


def _scored_cells(
    group: _Group, score: str, values: np.ndarray
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Cells that have a score: an event is of one channel only."""
    for i, cell in enumerate(group.cells):
        if not (score.startswith("brier:") and np.isnan(values[i])):
            yield i, cell


def _bounds(drawn: np.ndarray | None, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if drawn is None:
        return (np.full(values.shape, np.nan),) * 2
    return percentile_interval(drawn)


def comparison_table(
    statistics: pd.DataFrame, other: pd.DataFrame, pooling: Pooling, other_members: int
) -> pd.DataFrame:
    """Differences of two ensembles at the dates and leads of both, `COMPARISON_COLUMNS`.

    Bounds are of the difference, from draws of dates for both alike; `p` is of a paired t-test of
    means over blocks of dates (of squares, for scores that are roots; none of `ssr`).
    """
    keys = [*_KEYS, "init_time", "valid_time"]
    ours, theirs = (
        t[t["forecast"] == ENSEMBLE].set_index(keys).sort_index() for t in (statistics, other)
    )
    both = ours.index.intersection(theirs.index)
    pairs = [_groups(t.loc[both].reset_index(), pooling) for t in (ours, theirs)]
    rows: list[dict[str, Any]] = []
    for one, two in zip(*pairs, strict=True):
        rows += _difference_rows(one, two, pooling, other_members)
    return pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS)).astype({"level": "Int64"})


def _difference_rows(
    one: _Group, two: _Group, pooling: Pooling, other_members: int
) -> Iterator[dict[str, Any]]:
    sizes = (pooling.members, other_members)
    a, b = (ensemble_scores(g.means(), m) for g, m in zip((one, two), sizes, strict=True))
    daily = [ensemble_scores(g.values, m) for g, m in zip((one, two), sizes, strict=True)]
    counts, block = one.counts(pooling), block_length(one.dates)
    drawn = [
        {} if counts is None else ensemble_scores(g.means(counts), m)
        for g, m in zip((one, two), sizes, strict=True)
    ]
    for score in (s for s in a if s in b):
        change = drawn[0][score] - drawn[1][score] if drawn[0] else None
        low, high = _bounds(change, a[score])
        p = _paired_p(score, one, two, daily, block)
        for i, cell in _scored_cells(one, score, a[score]):
            yield {
                "score": score, **dict(zip(_KEYS, cell, strict=True)), "lead_hours": one.lead,
                "season": one.season, "value": a[score][i], "other": b[score][i],
                "difference": a[score][i] - b[score][i], "low": low[i], "high": high[i],
                "p": p[i], "dates": len(one.dates),
            }  # fmt: skip


def _paired_p(
    score: str,
    one: _Group,
    two: _Group,
    daily: Sequence[Mapping[str, np.ndarray]],
    block: int,
) -> np.ndarray:
    if score == "ssr":
        return np.full(len(one.cells), np.nan)
    if score in _SQUARES:
        return paired_p(one.values[_SQUARES[score]] - two.values[_SQUARES[score]], block)
    return paired_p(daily[0][score] - daily[1][score], block)


def _groups(table: pd.DataFrame, pooling: Pooling) -> list[_Group]:
    """Statistics by lead and season, leads ascending, all leads first where they are pooled."""
    table = table.assign(level=table["level"].astype("Int64").fillna(-1).astype(int))
    table = table.assign(season=season_of(table["valid_time"]))
    seasons = [ALL] + ([s for s in _SEASONS if (table["season"] == s).any()])
    seasons = seasons if len(seasons) > 2 else [ALL]
    parts: list[tuple[int | None, pd.DataFrame]] = []
    if pooling.is_analysis:
        parts.append((None, table))
    for lead, part in table.groupby("lead_hours", sort=True):
        is_long = pooling.is_analysis and (part["region"] == GLOBAL).any()
        # every time of a long trajectory in every region is more than anyone reads
        parts.append((int(cast(int, lead)), part[part["region"] == GLOBAL] if is_long else part))
    found = []
    for hours, part in parts:
        for season in seasons if hours is None or not pooling.is_analysis else [ALL]:
            chosen = part if season == ALL else part[part["season"] == season]
            if len(chosen):
                found.append(_group(chosen, hours, season))
    return found


def _group(table: pd.DataFrame, lead: int | None, season: str) -> _Group:
    table = table.sort_values(["valid_time", "init_time", *_KEYS], kind="stable")
    cells = table[list(_KEYS)].drop_duplicates().sort_values(list(_KEYS))
    dates = table[["valid_time", "init_time"]].drop_duplicates()
    if len(table) != len(cells) * len(dates):
        raise DataError(
            f"lead {lead}: {len(table)} statistics of {len(cells)} fields at {len(dates)} dates; "
            "expected each field at each date: results overlap in time or differ in fields"
        )
    shape = (len(dates), len(cells))
    names = [c for c in table.columns if c not in _ABOUT and table[c].notna().any()]
    return _Group(
        lead,
        season,
        [
            (variable, None if level < 0 else level, region)
            for variable, level, region in cells.itertuples(index=False)
        ],
        dates["valid_time"].to_numpy(),
        {name: table[name].to_numpy(float).reshape(shape) for name in names},
    )


def season_of(times: pd.Series) -> np.ndarray:
    """Meteorological seasons of times, by name."""
    names: np.ndarray = np.asarray(_SEASONS, object)[times.dt.month.to_numpy() % 12 // 3]
    return names
