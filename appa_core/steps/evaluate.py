"""Evaluating results: what can be wrong with a request, and the tables of all pieces together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from appa_core.errors import InputError
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.metrics.regions import RegionWeights
from appa_core.steps.evaluated import Evaluated
from appa_core.steps.evaluation_departures import departure_table
from appa_core.steps.evaluation_fields import RANKS, RELIABILITY, STATISTICS
from appa_core.steps.evaluation_physics import PHYSICS, SPECTRA, TENDENCIES
from appa_core.steps.evaluation_scores import (
    SCORE_COLUMNS,
    Pooling,
    comparison_table,
    score_table,
)
from appa_core.steps.evaluation_tables import (
    calibration_table,
    physics_table,
    rank_table,
    reliability_table,
    spectra_table,
)
from appa_core.steps.publish import described, export_files
from appa_core.steps.step import run_step

#: Folder of an evaluation within a result.
EVALUATION = "evaluation"
SCORES, COMPARISON = "scores.csv", "comparison.csv"


@dataclass(frozen=True)
class EvaluationJob:
    """Results that are evaluated together, and another run to compare them with.

    Args:
        results: Of one kind, with the same fields, cells and members.
        others: Of another run; empty if there is none.
    """

    results: tuple[Evaluated, ...]
    others: tuple[Evaluated, ...] = ()

    def __post_init__(self) -> None:
        """Check what can be wrong before any work.

        Raises:
            InputError: Results do not go together, have no time that is known, or lack what was
                asked for.
            IntegrityError: A file of a result is damaged.
        """
        for part in (*self.results, *self.others):
            part.result.verify()
        self._require_alike()
        self._require_known()
        self._require_requested()

    def _require_alike(self) -> None:
        first, *rest = self.results
        for other in (*rest, *self.others):
            for name in ("grid", "channels"):
                if getattr(other.fields(), name) != getattr(first.fields(), name):
                    raise InputError(
                        f"{other.result.folder} has other {name} than {first.result.folder}; "
                        "expected the same cells, variables and levels: evaluate them one by one"
                    )
        for runs in (self.results, self.others):
            kinds = {r.result.kind for r in runs}
            sizes = {r.fields().members for r in runs}
            if len(kinds) > 1 or len(sizes) > 1:
                raise InputError(
                    f"results of {sorted(kinds)} with {sorted(sizes)} members cannot be pooled; "
                    "expected one kind and one size of ensemble"
                )

    def _require_known(self) -> None:
        if any(r.known for r in self.results):
            return
        spans = "; ".join(
            f"{r.result.folder} holds {r.fields().valid_times[0]:%Y-%m-%dT%H:%M} to "
            f"{r.fields().valid_times[-1]:%Y-%m-%dT%H:%M} UTC"
            for r in self.results
        )
        truth = self.results[0].truth
        if truth is not None:
            raise InputError(
                f"no time of the results is known: {spans}; "
                f"{self.results[0].truth_fields().span()}; name other states with --truth"
            )
        if all(r.result.observations is None for r in self.results):
            raise InputError(
                f"there is nothing to evaluate against: {spans}, without true states or "
                "observations; name states with --truth"
            )

    def _require_requested(self) -> None:
        first = self.results[0]
        channels = first.fields().channels
        missing = [e.name for e in first.request.event_specs if e.channel not in channels]
        if first.request.events is not None and missing:
            names = ", ".join(c.name for c in channels)
            raise InputError(f"no field for the events {', '.join(missing)}; there are: {names}")
        weights_of(first)

    @property
    def pooling(self) -> Pooling:
        """How dates are averaged."""
        first = self.results[0]
        request = first.request
        is_analysis = first.result.kind == "analysis"
        return Pooling(first.fields().members, is_analysis, request.resamples, request.seed)


def weights_of(of: Evaluated) -> RegionWeights:
    """Regions on a result's cells.

    Raises:
        InputError: None holds a cell.
    """
    grid = of.fields().grid
    axes = (np.asarray(grid.latitudes), np.asarray(grid.longitudes))
    return RegionWeights.of(of.request.boxes, *axes)


@dataclass(frozen=True)
class Pieces:
    """Artifacts of the pieces of an evaluation.

    Args:
        fields: Of the results.
        physics: Of the results.
        others: Fields of the other run.
    """

    fields: list[Artifact] = field(default_factory=list)
    physics: list[Artifact] = field(default_factory=list)
    others: list[Artifact] = field(default_factory=list)


def combine(job: EvaluationJob, pieces: Pieces) -> Artifact:
    """Write all tables of an evaluation."""
    first = job.results[0]
    parents = {
        f"{name}-{i}": artifact.key
        for name in ("fields", "physics", "others")
        for i, artifact in enumerate(getattr(pieces, name))
    }
    parents |= {f"result-{i}": r.result.digest for i, r in enumerate(job.results)}
    recipe = Recipe(
        EVALUATION, 1, {"request": first.request.hashed()}, parents, seed=first.request.seed
    )

    def build(folder: Path) -> Mapping[str, Any]:
        tables = _tables(job, pieces)
        for name, table in tables.items():
            table.to_csv(folder / name, index=False, float_format="%.6g", lineterminator="\n")
        return {name: len(table) for name, table in tables.items()}

    return run_step(ArtifactStore(first.store), recipe, build)


def _tables(job: EvaluationJob, pieces: Pieces) -> dict[str, pd.DataFrame]:
    pooling, weights = job.pooling, weights_of(job.results[0])
    is_analysis = pooling.is_analysis
    statistics, ranks = (_gathered(pieces.fields, n) for n in (STATISTICS, RANKS))
    counts = rank_table(ranks, is_analysis=is_analysis)
    calibration = calibration_table(ranks, counts, weights, is_analysis=is_analysis)
    tables = {
        SCORES: _with_rank_tests(score_table(statistics, pooling), calibration),
        "ranks.csv": counts,
        "calibration.csv": calibration,
        "reliability.csv": reliability_table(
            _gathered(pieces.fields, RELIABILITY), is_analysis=is_analysis
        ),
        "physics.csv": physics_table(_gathered(pieces.physics, PHYSICS)),
        "spectra.csv": spectra_table(_gathered(pieces.physics, SPECTRA)),
        "tendencies.csv": spectra_table(_gathered(pieces.physics, TENDENCIES)),
    }
    if is_analysis or any(r.result.observations for r in job.results):
        tables["departures.csv"] = departure_table([r.result for r in job.results])
    if job.others:
        other = _gathered(pieces.others, STATISTICS)
        members = job.others[0].fields().members
        tables[COMPARISON] = comparison_table(statistics, other, pooling, members)
        if tables[COMPARISON].empty:
            raise InputError(
                f"{job.others[0].result.folder} and {job.results[0].result.folder} have no time "
                "and lead in common; compare runs of the same dates"
            )
    return tables


def _gathered(pieces: Sequence[Artifact], name: str) -> pd.DataFrame:
    parts = []
    for piece in pieces:
        with piece.verify().local() as folder:
            parts.append(pd.read_parquet(folder / name))
    parts = [p for p in parts if len(p)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _with_rank_tests(scores: pd.DataFrame, calibration: pd.DataFrame) -> pd.DataFrame:
    """Scores with `rank_chi2_p` of all that has ranks."""
    if calibration.empty:
        return scores
    tests = calibration.assign(
        forecast="ensemble", score="rank_chi2_p", season="all", value=calibration["p"]
    )
    return pd.concat([scores, tests.reindex(columns=list(SCORE_COLUMNS))], ignore_index=True)


def export_evaluation(job: EvaluationJob, evaluation: Artifact, output: Path) -> Path:
    """Copy the tables of an evaluation into a folder, with a manifest.

    Raises:
        InputError: The folder cannot be written.
    """
    first = job.results[0]
    manifest = {
        "request": first.request.hashed(),
        "results": [{"file": r.result.file, "digest": r.result.digest} for r in job.results],
        "against": [{"file": r.result.file, "digest": r.result.digest} for r in job.others],
        "truth": None
        if first.truth is None
        else {"name": first.truth.name, "fingerprint": first.truth.fingerprint},
        "baselines": list(first.baselines),
        "model": first.result.manifest.get("model"),
        "seed": first.request.seed,
        "made_by": first.result.manifest.get("request"),
        "artifacts": described(evaluation),
    }
    names = sorted(str(name) for name in evaluation.manifest["files"])
    return export_files(output, manifest, [(evaluation, name) for name in names])
