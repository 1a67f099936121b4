"""What members read where there are observations: used, withheld and rejected ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.metrics.members import ensemble_crps, variances
from appa_core.observations.table import ObservationTable
from appa_core.observe.quantities import QUANTITIES
from appa_core.steps.drawn import DrawnEnsemble
from appa_core.steps.fields import BLOCK_STATES, Product
from appa_core.steps.filtering import FilteredMembers, FilterJob, of_cycle
from appa_core.steps.observing import OBSERVATIONS, WITHHELD, kept_observations
from appa_core.steps.reported import observed_rows, table_operator, unusable_rows
from appa_core.steps.step import run_step

#: What became of a row.
USED, REJECTED = "used", "rejected"
BACKGROUND, ANALYSIS = "background", "analysis"


def measure_departures(
    store: ArtifactStore,
    product: Product,
    ensembles: Mapping[str, DrawnEnsemble],
    *,
    recompute: bool = False,
) -> Artifact:
    """Write `observations.parquet`.

    The columns of the table; `status`, which is `used`, `withheld` or `rejected` (why is in
    `rejected`); and of each ensemble, `background` and `analysis`, its mean, spread, departure
    (observation minus mean), CRPS and what every member reads: `analysis_0` and so on, in SI
    units. They are NaN where a row cannot be read from the trajectories.

    Args:
        store: Where artifacts live.
        product: The observations, and how they are read.
        ensembles: Trajectories by name, all of the same times.
        recompute: Write again what is there.
    """
    drawing = product.drawing
    recipe = Recipe(
        "departures",
        2,
        {"kind": product.kind, **drawing.hashed()},
        {
            "observations": product.observations.key,
            **{f"{n}-{k}": v for n, e in ensembles.items() for k, v in e.parents.items()},
        },
    )

    def build(folder: Path) -> Mapping[str, Any]:
        table = kept_observations(product.observations)
        read = {name: equivalents(product, table, e) for name, e in ensembles.items()}
        return _write(folder, table, read, paired=drawing.paired)

    return run_step(store, recipe, build, recompute=recompute)


def measure_cycles(
    store: ArtifactStore,
    product: Product,
    job: FilterJob,
    members: Sequence[FilteredMembers],
    *,
    recompute: bool = False,
) -> Artifact:
    """Write `observations.parquet` of cycles; see `measure_departures`.

    The background of a row is the forecast from the cycle before its own.
    """
    drawing = product.drawing
    stretches = {
        f"{m.members.start}-{i}-{name}": piece.artifact.key
        for m in members
        for name, pieces in ((ANALYSIS, m.analyses), (BACKGROUND, m.backgrounds))
        for i, piece in enumerate(pieces)
    }
    recipe = Recipe(
        "departures",
        2,
        {"kind": product.kind, "cycles": [str(t) for t in job.current_times], **drawing.hashed()},
        {"observations": product.observations.key, **stretches},
    )

    def build(folder: Path) -> Mapping[str, Any]:
        table = kept_observations(product.observations)
        shape = len(table), job.members
        read = {name: np.full(shape, np.nan, np.float32) for name in (BACKGROUND, ANALYSIS)}
        valid = table.frame["valid_time"]
        for cycle in job.plan:
            since = valid > job.times[cycle.before] if cycle.number else valid >= job.times[0]
            rows = np.flatnonzero(since & (valid <= job.times[cycle.now]))
            for name, values in read.items():
                drawn = of_cycle(job, members, cycle, is_background=name == BACKGROUND)
                values[rows] = equivalents(product, table.rows(rows), drawn)
        return _write(folder, table, read, paired=drawing.paired)

    return run_step(store, recipe, build, recompute=recompute)


def _write(
    folder: Path, table: ObservationTable, read: Mapping[str, np.ndarray], *, paired: bool
) -> Mapping[str, Any]:
    """The table with what became of its rows and what ensembles read."""
    frame = table.frame.assign(status=_status(table))
    parts = [_columns(name, table.frame, values, paired=paired) for name, values in read.items()]
    pd.concat([frame, *parts], axis=1).to_parquet(folder / OBSERVATIONS, index=False)
    return {"rows": len(frame)}


def equivalents(product: Product, table: ObservationTable, ensemble: DrawnEnsemble) -> np.ndarray:
    """What members read at every row, (N, members) float32, SI units; NaN where they cannot."""
    drawing, times = product.drawing, ensemble.times
    model, reading = drawing.model, drawing.reading
    out = np.full((len(table), ensemble.members), np.nan, np.float32)
    readable = unusable_rows(table, model, times, reads_all=reading.reads_all) == ""
    position = observed_rows(table, times).state
    for states in ensemble.blocks(BLOCK_STATES, overlap=1):
        inside = (position >= states.start) & (position <= states.stop - 1)
        rows = np.flatnonzero(readable & inside & np.isnan(out[:, 0]))
        if not len(rows):
            continue
        operator = table_operator(
            model, table.rows(rows), times[states.start : states.stop], reading
        )
        with torch.no_grad():
            for member, values in enumerate(ensemble.each(states)):
                read = operator(values[None].to(model.latent_mean.device)) * operator.scale
                out[rows, member] = read[0].cpu().numpy()
    return out


def _status(table: ObservationTable) -> np.ndarray:
    reason = table.frame["rejected"]
    return np.select([reason == "", reason == WITHHELD], [USED, WITHHELD], REJECTED).astype(object)


def _columns(name: str, frame: pd.DataFrame, read: np.ndarray, *, paired: bool) -> pd.DataFrame:
    """Mean, spread, departure, CRPS and members of an ensemble at each row."""
    mean = read.mean(axis=1, dtype=np.float64)
    variance = variances(read.T.astype(np.float64), paired=paired).member
    spread = np.sqrt(variance) if read.shape[1] > 1 else np.nan * mean
    # a member's departure from the observation, so that angles turn the short way
    turned = -np.stack([departures(frame, member) for member in read.T.astype(float)])
    columns = {
        f"{name}_mean": mean,
        f"{name}_spread": spread,
        f"{name}_departure": departures(frame, mean),
        f"{name}_crps": ensemble_crps(turned, paired=paired),
    }
    members = {f"{name}_{m}": read[:, m] for m in range(read.shape[1])}
    return pd.DataFrame(columns | members, index=frame.index)


def departures(frame: pd.DataFrame, read: np.ndarray) -> np.ndarray:
    """Observation minus what is read, (N,); of angles the smaller turn, in degrees."""
    difference = frame["value"].to_numpy(float) - read
    angles = [name for name, q in QUANTITIES.items() if q.is_angle]
    is_angle = frame["quantity"].isin(angles).to_numpy(bool)
    turned: np.ndarray = np.where(is_angle, (difference + 180.0) % 360.0 - 180.0, difference)
    return turned


def members_of(frame: pd.DataFrame, name: str) -> list[str]:
    """Columns of the members of an ensemble."""
    return [c for c in frame.columns if c.startswith(f"{name}_") and c[len(name) + 1 :].isdigit()]


def departures_summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Departures by status, platform and quantity, of rows that are used or withheld.

    Columns: `rows`; `bias`, the mean of observation minus analysis; `rms` of it, and
    `rms_background`; `expected`, what errors and spread account for of `rms`; `crps` of the
    analysis and `crps_background`, against the observations. SI units.
    """
    frame = frame[frame["status"].isin([USED, WITHHELD]) & frame["analysis_mean"].notna()].copy()
    frame["square"] = frame["analysis_departure"] ** 2
    frame["square_background"] = frame["background_departure"] ** 2
    frame["allowed"] = frame["error_std"] ** 2 + frame["analysis_spread"].fillna(0.0) ** 2
    groups = frame.groupby(["status", "platform", "quantity"], sort=True)
    table = pd.DataFrame(
        {
            "rows": groups.size(),
            "bias": groups["analysis_departure"].mean(),
            "rms": _root(groups["square"].mean()),
            "expected": _root(groups["allowed"].mean()),
            "rms_background": _root(groups["square_background"].mean()),
            "crps": groups["analysis_crps"].mean(),
            "crps_background": groups["background_crps"].mean(),
        }
    )
    return table.reset_index()


def _root(values: pd.Series) -> pd.Series:
    return values.pow(0.5)


def read_departures(artifact: Artifact) -> pd.DataFrame:
    """What `measure_departures` wrote."""
    with artifact.verify().local() as folder:
        return pd.read_parquet(folder / OBSERVATIONS)
