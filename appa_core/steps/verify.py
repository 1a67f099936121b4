"""Scoring drawn trajectories against states that are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.metrics.ensemble import EnsembleStatistics, FieldStatistics
from appa_core.steps.fields import Product, read_blocks
from appa_core.steps.step import run_step

SCORES = "scores.csv"
COLUMNS = ("variable", "level", "valid_time", "rmse", "crps", "spread", "ssr", "rmse_climatology")


def score_fields(
    store: ArtifactStore,
    product: Product,
    fields: Artifact,
    times: pd.DatetimeIndex,
    *,
    recompute: bool = False,
) -> Artifact:
    """Write `scores.csv`: a row per variable, level and time, area-weighted, SI units.

    Times whose states are not known have no rows.

    Args:
        store: Where artifacts live.
        product: What was written, and the truth.
        fields: What `write_fields` made.
        times: Their valid times.
        recompute: Score again what is scored.
    """
    known = known_times(product, times)
    states = product.truth.identity(known) if product.truth and len(known) else ""
    recipe = Recipe(
        "analysis-scores",
        1,
        {"known": [str(t) for t in known], "columns": list(COLUMNS)},
        {"fields": fields.key, "states": states},
    )

    def build(folder: Path) -> Mapping[str, Any]:
        parts = [pd.DataFrame(columns=list(COLUMNS))]
        with fields.verify().local() as data:
            (path,) = data.iterdir()
            for states, ensemble in read_blocks(product, path):
                parts.append(_scores(product, times[states.start : states.stop], ensemble))
        table = pd.concat([p for p in parts if len(p)] or parts, ignore_index=True)
        table = table.astype({"level": "Int64"})
        table.to_csv(folder / SCORES, index=False, float_format="%.6g", lineterminator="\n")
        return {"rows": len(table)}

    return run_step(store, recipe, build, recompute=recompute)


def known_times(product: Product, times: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Those whose states the truth has."""
    if product.truth is None:
        return times[:0]
    return times[times.isin(product.truth.open().times)]


def truth_and_climatology(
    product: Product, times: pd.DatetimeIndex
) -> tuple[np.ndarray, np.ndarray]:
    """Known states and the climatology of their times, cut to the selection, (T, C, H, W) each."""
    assert product.truth is not None
    states = product.selection.schema.stack(product.truth.open().read(times))
    base = product.drawing.model.normalisation.base.at(times.values)
    cut = product.selection.of_states
    return cut(states), cut(np.broadcast_to(base, states.shape))


def _scores(product: Product, times: pd.DatetimeIndex, ensemble: np.ndarray) -> pd.DataFrame:
    known = known_times(product, times)
    if not len(known):
        return pd.DataFrame(columns=list(COLUMNS))
    truth, base = truth_and_climatology(product, known)
    weights = product.selection.latitude_weights
    scores = EnsembleStatistics.of(
        ensemble[:, times.isin(known)], truth, weights, paired=product.drawing.paired
    )
    columns = {
        "rmse": scores.rmse,
        "crps": scores.crps,
        "spread": scores.spread,
        "ssr": scores.spread_skill_ratio,
        "rmse_climatology": FieldStatistics.of(base, truth, weights).rmse,
    }
    rows = [
        {"variable": channel.variable, "level": channel.level, "valid_time": f"{time:%Y-%m-%dT%H}"}
        | {name: float(values[t, c]) for name, values in columns.items()}
        for t, time in enumerate(known)
        for c, channel in enumerate(product.selection.channels)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
