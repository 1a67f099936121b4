"""Prefect artifacts of results: maps, scores, and where everything is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from appa_core.report.figures import embedded, ensemble_maps
from appa_core.report.units import display_of
from appa_core.schema import VARIABLES
from tasks.series import Outcome

#: What is shown of a result, if it is there: variable and level in hPa.
_SHOWN = (("geopotential", 500), ("temperature", 850), ("2m_temperature", None))
_ROWS = 40


@task(cache_policy=NO_CACHE)
def show_result(folder: str, kind: str, key: str) -> None:
    """Show maps and scores of an exported result.

    Args:
        folder: The export.
        kind: Trunk of the name of its fields, such as `forecast`.
        key: Of the artifact: what supersedes it has the same.
    """
    create_markdown_artifact(
        result_page(Path(folder), kind), key=key, description=f"{kind.capitalize()} in {folder}"
    )


def result_page(folder: Path, kind: str) -> str:
    """Maps of the last state, scores, and files, as Markdown that carries its images."""
    scores = pd.read_csv(folder / "scores.csv")
    files = "\n".join(f"- `{folder.absolute() / name}`" for name in _files(folder, kind))
    table = "no state of these times is known: no scores" if scores.empty else _table(scores)
    return "\n\n".join(
        [
            f"# {kind.capitalize()}",
            _maps(folder / f"{kind}.zarr"),
            "## Files",
            files,
            "## Scores",
            table,
        ]
    )


def _files(folder: Path, kind: str) -> list[str]:
    names = ("report.html", f"{kind}.zarr", "scores.csv", "observations.parquet", "manifest.json")
    return [name for name in names if (folder / name).exists()]


def _maps(path: Path) -> str:
    """Mean and spread of the ensemble in the last state."""
    with xr.open_zarr(path, chunks=None, consolidated=False) as data:
        time = "lead_time" if "lead_time" in data.dims else "time"
        last = data.isel({time: -1} | ({"init_time": 0} if "init_time" in data.dims else {}))
        means, spreads, names, displays = [], [], [], []
        for variable, level in _SHOWN:
            if variable not in last or (level is not None and level not in last["level"].values):
                continue
            field = last[variable] if level is None else last[variable].sel(level=level)
            values = field.values.astype(np.float64)
            means.append(values.mean(0))
            spreads.append(values.std(0, ddof=1) if len(values) > 1 else np.zeros_like(values[0]))
            names.append(variable.replace("_", " ") + ("" if level is None else f" {level} hPa"))
            displays.append(display_of(VARIABLES[variable][0]))
        when = pd.Timestamp(last["valid_time" if "valid_time" in last.coords else "time"].values)
        cells = last["latitude"].values, last["longitude"].values
    if not means:
        return "No field that is usually shown was written."
    figure = ensemble_maps(np.stack(means), np.stack(spreads), names, displays, cells)
    return f"## {when:%Y-%m-%d %H:%M} UTC\n\n{embedded(figure, 'Ensemble mean and spread')}"


def _table(scores: pd.DataFrame) -> str:
    """Scores of the shown fields as a table in Markdown."""
    pairs = zip(scores["variable"], scores["level"], strict=True)
    keep = [(v, None if pd.isna(level) else int(level)) in _SHOWN for v, level in pairs]
    rows = scores[keep] if any(keep) else scores
    rows = rows.tail(_ROWS).astype(object).where(rows.tail(_ROWS).notna(), "")
    head = f"| {' | '.join(rows.columns)} |\n|{'---|' * len(rows.columns)}"
    lines = [
        "| " + " | ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row) + " |"
        for row in rows.itertuples(index=False)
    ]
    return "\n".join([head, *lines])


@task(cache_policy=NO_CACHE)
def show_days(outcomes: Sequence[Outcome]) -> None:
    """Show what became of the days of a series."""
    rows = [f"| {o.day:%Y-%m-%d} | {o.state} | {o.seconds:.0f} | {o.why} |" for o in outcomes]
    table = "\n".join(["| day | state | seconds | why |", "|---|---|---|---|", *rows])
    create_markdown_artifact(f"# Days\n\n{table}", key="days", description="Days of a reanalysis")
