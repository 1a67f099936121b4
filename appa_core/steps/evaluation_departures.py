"""Members against observations: by platform and quantity, used and withheld."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from appa_core.io.results import Result
from appa_core.metrics.departures import departure_statistics
from appa_core.steps.departures import (
    ANALYSIS,
    BACKGROUND,
    USED,
    departures_summary,
    members_of,
)
from appa_core.steps.observing import WITHHELD

_KEYS = ["platform", "quantity", "used"]
_CRPS = ["crps_background", "crps"]
COLUMNS = (
    *_KEYS, "count", "bias_background", "std_background", "bias_analysis", "std_analysis",
    "error_assigned", "error_desroziers", "error_ratio", "spread_background",
    "spread_desroziers", "spread_ratio", "innovation_ratio", "crps_background", "crps_analysis",
)  # fmt: skip


def departure_table(results: Sequence[Result]) -> pd.DataFrame:
    """Departures of all results together, `COLUMNS`, SI units; empty without observations.

    Of withheld rows, which the analysis did not see, the ratios by products of departures mean
    nothing and are left out.
    """
    frames = [pd.read_parquet(r.observations) for r in results if r.observations is not None]
    if not frames:
        return pd.DataFrame(columns=list(COLUMNS))
    frame = pd.concat(frames, ignore_index=True)
    members = len(members_of(frame, ANALYSIS))
    summary = departures_summary(frame).rename(columns={"status": "used"}).set_index(_KEYS)
    read = frame[f"{ANALYSIS}_mean"].notna() & frame[f"{BACKGROUND}_mean"].notna()
    kept = frame[read & frame["status"].isin([USED, WITHHELD])].rename(columns={"status": "used"})
    rows: list[dict[str, Any]] = []
    for keys, part in kept.groupby(_KEYS, sort=True):
        about: dict[str, Any] = dict(zip(_KEYS, keys, strict=True))
        found = departure_statistics(
            part[f"{BACKGROUND}_departure"].to_numpy(float),
            part[f"{ANALYSIS}_departure"].to_numpy(float),
            part["error_std"].to_numpy(float),
            part[f"{BACKGROUND}_spread"].to_numpy(float),
            members,
        )
        row = about | vars(found)
        if row["used"] == WITHHELD:
            unknown = ("error_desroziers", "error_ratio", "spread_desroziers", "spread_ratio")
            row |= dict.fromkeys(unknown, float("nan"))
        row["crps_background"], row["crps_analysis"] = summary.loc[tuple(about.values()), _CRPS]
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))
