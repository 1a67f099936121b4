"""Where a time stands in the year and in the day."""

from __future__ import annotations

import numpy as np

_SECONDS_PER_DAY = 86400.0


def year_progress(times: np.ndarray) -> np.ndarray:
    """Share of the year that has passed, in [0, 1).

    Args:
        times: (T,) datetime64, UTC.

    Returns:
        (T,) float64.
    """
    years = times.astype("datetime64[Y]")
    start = years.astype("datetime64[s]")
    length = (years + 1).astype("datetime64[s]") - start
    return np.asarray((times.astype("datetime64[s]") - start) / length)


def day_progress(times: np.ndarray) -> np.ndarray:
    """Share of the UTC day that has passed, in [0, 1), for (T,) datetime64."""
    seconds = times.astype("datetime64[s]") - times.astype("datetime64[D]")
    return np.asarray(seconds / np.timedelta64(1, "s") / _SECONDS_PER_DAY)


def date_encoding(times: np.ndarray, longitudes: np.ndarray) -> np.ndarray:
    """Sine and cosine of the year's progress and of the local hour.

    Args:
        times: (T,) datetime64, UTC.
        longitudes: (W,) degrees east.

    Returns:
        (T, 4, W) float32.
    """
    year = np.broadcast_to(year_progress(times)[:, None], (len(times), len(longitudes)))
    local = day_progress(times)[:, None] + longitudes[None] / 360.0
    waves = [f(2 * np.pi * x) for x in (year, local) for f in (np.sin, np.cos)]
    return np.stack(waves, axis=1).astype(np.float32)
