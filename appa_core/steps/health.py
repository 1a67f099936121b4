"""How a store fares: what it lacks of what should have come, and whether skill drifts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from appa_core.errors import AppaError
from appa_core.io.census import children
from appa_core.io.cube import Cube
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.metrics.drift import drift
from appa_core.steps.ingest import STATES
from appa_core.steps.score import SCORES

_STEP = "scores"
_LEAD_HOURS = 24


@dataclass(frozen=True)
class Holding:
    """Ingested states of a source.

    Args:
        source: Its name.
        url: Of their cube.
        states: How many there are.
        last: Time of the last, UTC; None if there is none.
        gaps: Half-open spans without states between the first and the last.
    """

    source: str
    url: str
    states: int
    last: pd.Timestamp | None
    gaps: tuple[tuple[pd.Timestamp, pd.Timestamp], ...]

    def age_hours(self, now: pd.Timestamp) -> float:
        """Hours since the last state; infinite if there is none."""
        if self.last is None:
            return float("inf")
        return (now - self.last) / pd.Timedelta(hours=1)


@dataclass(frozen=True)
class Skill:
    """How the error of a field has changed.

    Args:
        field: Variable and level.
        forecasts: How many have been scored.
        last: RMSE over that of climatology of the last, at 24 h or the first lead.
        drift: See `appa_core.metrics.drift`; None if there are too few.
    """

    field: str
    forecasts: int
    last: float
    drift: float | None


def holdings(store: ArtifactStore) -> list[Holding]:
    """Ingested states of all sources of a store; cubes that are damaged are passed over."""
    found = []
    for key in children(store, STATES):
        try:
            cube = Cube.load(f"{store.url}/{STATES}/{key}")
        except AppaError:
            continue
        times = cube.times()
        source = str(cube.spec.config["source"])
        gaps = tuple(cube.gaps(times[0], times[-1])) if len(times) else ()
        found.append(
            Holding(source, cube.url, len(times), times[-1] if len(times) else None, gaps)
        )
    return found


def skills(store: ArtifactStore, recent: int = 3, least: int = 5) -> list[Skill]:
    """Drift of the skill of forecasts, by field, in order of when they were scored."""
    history: dict[str, list[float]] = {}
    scored = [a for a in store.artifacts(_STEP, lenient=True) if a.summary.get("rows")]
    for artifact in sorted(scored, key=_created):
        for field, ratio in _ratios(artifact):
            history.setdefault(field, []).append(ratio)
    return [
        Skill(field, len(values), values[-1], drift(values, recent, least))
        for field, values in history.items()
    ]


def _created(artifact: Artifact) -> str:
    return str(artifact.manifest["provenance"]["created"])


def _ratios(artifact: Artifact) -> Iterator[tuple[str, float]]:
    """Fields of a forecast, and their RMSE over that of climatology."""
    with artifact.verify().local() as folder:
        table = pd.read_csv(Path(folder) / SCORES)
    leads = table["lead_hours"]
    lead = _LEAD_HOURS if (leads == _LEAD_HOURS).any() else leads.min()
    for row in table[leads == lead].to_dict("records"):
        level = "" if pd.isna(row["level"]) else f" {int(row['level'])}"
        yield f"{row['variable']}{level}", float(row["rmse"] / row["rmse_climatology"])


def alerts(
    held: list[Holding],
    measured: list[Skill],
    now: pd.Timestamp,
    *,
    late_hours: float,
    drift_limit: float,
) -> list[str]:
    """What somebody should look at, in words.

    Args:
        held: Of `holdings`.
        measured: Of `skills`.
        now: Time of asking, UTC.
        late_hours: Hours since the last state of a source after which it is late.
        drift_limit: Growth of a field's error, as a share, from which on its skill has drifted.
    """
    found = []
    for holding in held:
        for start, end in holding.gaps:
            found.append(f"{holding.source}: no states from {start} to before {end}")
        if holding.age_hours(now) > late_hours:
            last = "there are none" if holding.last is None else f"the last is of {holding.last}"
            found.append(f"{holding.source}: no states for more than {late_hours:g} h, {last}")
    found += [
        f"{skill.field}: error has grown by {skill.drift:.0%}, limit {drift_limit:.0%}"
        for skill in measured
        if skill.drift is not None and skill.drift > drift_limit
    ]
    return found
