"""What the flows from observations share: options as fields of requests, and what they print."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from appa_core.config.requests import Region
from appa_core.steps.departures import departures_summary
from tasks.cluster import ClusterSettings

_OF_CLUSTERS = ("dask_address", "workers", "worker_memory")
_HEADLINE = (
    ("geopotential", 500),
    ("temperature", 850),
    ("u_component_of_wind", 850),
    ("2m_temperature", None),
)


@dataclass(frozen=True)
class AnalysisResult:
    """Where a result is.

    Args:
        output: Folder with fields, `observations.parquet`, `scores.csv`, `report.html` and
            `manifest.json`.
        digest: Hash of the fields' data: the same for the same request, data and weights.
        counts: Observations by platform and quantity, and what became of them, as text.
    """

    output: Path
    digest: str
    counts: str


def request_fields(options: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """Fields of a request from what a caller gave."""
    merged = {**options, **fields}
    for name in ("variables", "levels"):
        if merged.get(name) is not None:
            merged[name] = tuple(merged[name])
    if isinstance(merged.get("region"), str):
        merged["region"] = Region.parse(merged["region"])
    return {name: value for name, value in merged.items() if value is not None}


def call_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of a command line as arguments of its function."""
    fields = dict(vars(arguments))
    fields.pop("traceback")
    cluster = ClusterSettings.of(arguments)
    for name in _OF_CLUSTERS:
        fields.pop(name)
    return fields | {"cluster": cluster}


def print_result(result: AnalysisResult, name: str) -> None:
    """Tables of departures and scores, and where everything is, for a terminal."""
    print("observations\n" + result.counts)
    summary = departures_summary(pd.read_parquet(result.output / "observations.parquet"))
    print("\ndepartures: observation minus ensemble mean (SI units)")
    print(summary.round(4).to_string(index=False))
    scores = pd.read_csv(result.output / "scores.csv")
    if scores.empty:
        print("\nno state of these times is known: no scores")
    else:
        print("\nscores: means over times")
        print(mean_scores(scores).round(4).to_string(index=False))
    print()
    for label, file in ((name, f"{name}.zarr"), ("report", "report.html")):
        print(f"{label:12}  {result.output / file}")
    print(f"{'departures':12}  {result.output / 'observations.parquet'}")
    print(f"{'digest':12}  {result.digest}")


def mean_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of well-known fields, averaged over times."""
    pairs = zip(scores["variable"], scores["level"], strict=True)
    known = [(v, None if pd.isna(level) else level) in _HEADLINE for v, level in pairs]
    rows = scores[known] if any(known) else scores
    groups = rows.groupby(["variable", "level"], dropna=False, sort=False)
    return groups.mean(numeric_only=True).reset_index()
