"""Whether scores become worse with time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from appa_core.errors import InputError


def drift(scores: Sequence[float], recent: int = 3, least: int = 5) -> float | None:
    """Change of the mean of recent scores against that of those before, mean(r) / mean(b) - 1.

    Args:
        scores: In order of time, such as RMSE over that of climatology, which takes most of the
            weather's own changes out. Values that are not finite are left out.
        recent: How many count as recent.
        least: How many are needed before them.

    Returns:
        Above 0 if errors have grown; None if there are too few to say.

    Raises:
        InputError: `recent` or `least` is no positive number.
    """
    if recent < 1 or least < 1:
        raise InputError(f"expected recent and least of 1 or more, got {recent} and {least}")
    values = np.asarray(scores, float)
    values = values[np.isfinite(values)]
    before, now = values[:-recent], values[-recent:]
    if len(before) < least:
        return None
    return float(now.mean() / before.mean() - 1)
