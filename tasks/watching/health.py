"""The health of a store as metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from prometheus_client import CollectorRegistry, Gauge

from appa_core.errors import InputError
from appa_core.steps.health import Holding, Skill
from tasks.watching.metrics import write_metrics


def write_health(
    path: Path,
    held: Sequence[Holding],
    measured: Sequence[Skill],
    found: Sequence[str],
    now: pd.Timestamp,
) -> None:
    """Write gauges of what a store holds and of how skill drifts; see `write_metrics`.

    Raises:
        InputError: The file cannot be written.
    """
    own = CollectorRegistry()
    age = Gauge("appa_states_age_seconds", "Time since the last state", ["source"], registry=own)
    gaps = Gauge(
        "appa_states_gaps", "Spans without states between others", ["source"], registry=own
    )
    skill = Gauge(
        "appa_skill_ratio", "Last RMSE over that of climatology", ["field"], registry=own
    )
    change = Gauge(
        "appa_skill_drift", "Growth of recent errors, as a share", ["field"], registry=own
    )
    Gauge("appa_alerts", "What somebody should look at", registry=own).set(len(found))
    for holding in held:
        age.labels(holding.source).set(3600 * holding.age_hours(now))
        gaps.labels(holding.source).set(len(holding.gaps))
    for each in measured:
        skill.labels(each.field).set(each.last)
        if each.drift is not None:
            change.labels(each.field).set(each.drift)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_metrics(own, path)
    except OSError as error:
        raise InputError(f"cannot write --metrics {path}: {error.strerror}") from error
