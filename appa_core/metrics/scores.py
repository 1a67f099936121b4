"""Scores as functions of mean statistics, whatever they are means over.

Statistics that are means over cells are averaged over dates first, then made a score: the root of
a mean square is no mean of roots. Only `acc` is a mean of the correlations of the dates.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from appa_core.metrics.members import crps_of, ratio_of, spread_of, spread_skill_of


def single_scores(means: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Scores of a forecast without members, or of a mean.

    Args:
        means: Of `verification.FieldSums`, averaged over dates, (...,) each.
    """
    scores = {
        "rmse": np.sqrt(means["squared_error"]),
        "bias": means["error"],
        "mae": means["absolute_error"],
    }
    return scores | ({"acc": means["acc"]} if "acc" in means else {})


def ensemble_scores(means: Mapping[str, np.ndarray], members: int) -> dict[str, np.ndarray]:
    """Scores of an ensemble: `single_scores` of its mean, and more.

    `crps` and `energy` are fair: what an infinite ensemble like this one would have.
    `crps_ensemble` and `energy_ensemble` are those of the members as they are. `coverage:50` and
    the like are shares; a calibrated ensemble has the share of the name.
    """
    scores = single_scores(means)
    scores |= _crps("crps", means, "", members) | _crps("energy", means, "energy_", members)
    scores["spread"] = spread_of(means["variance"], members)
    if "expected" in means:
        scores["ssr"] = ratio_of(np.sqrt(means["expected"]), scores["rmse"])
    else:
        scores["ssr"] = spread_skill_of(scores["spread"], scores["rmse"], members)
    scores["variogram"] = means["variogram"]
    for name, values in means.items():
        if name.startswith("inside_"):
            scores[f"coverage:{name.removeprefix('inside_')}"] = values
        elif name.startswith("brier:"):
            scores[name] = values
    return scores


def _crps(
    name: str, means: Mapping[str, np.ndarray], prefix: str, members: int
) -> dict[str, np.ndarray]:
    """The score that is fair, and that of the members as they are."""
    error = means["energy_error" if prefix else "member_error"]
    whole = means["energy_distance" if prefix else "member_distance"]
    fair = means.get(f"{prefix}fair_distance")
    return {
        name: crps_of(error, whole, members, fair=True) if fair is None else error - fair / 2,
        f"{name}_ensemble": crps_of(error, whole, members),
    }
