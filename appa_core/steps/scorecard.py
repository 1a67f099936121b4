"""How the scores of one result differ from those of another, date by date."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from appa_core.errors import InputError
from appa_core.io.ensembles import OpenResult
from appa_core.io.store import MANIFEST
from appa_core.metrics.intervals import paired_change
from appa_core.report.evaluation import RunComparison

_COMPARISON = "evaluation/comparison.csv"
_SCORES = ("rmse", "crps")
_KEYS = ["score", "variable", "level", "lead"]
#: In place of a lead, for what is known of times alone.
ALL_TIMES = "all"


def compare_runs(result: OpenResult, other: OpenResult) -> RunComparison:
    """Relative changes of RMSE and CRPS, with 95 % intervals over dates.

    An evaluation of the result against the other (`evaluation/comparison.csv`) is taken where
    there is one. Otherwise the scores that both came with are paired: forecasts by start and
    lead, analyses by day, for states of one day depend on each other.

    Args:
        result: The run.
        other: What it is compared with.

    Raises:
        InputError: They are of other kinds, grids or dates, or one has no scores.
    """
    _check_alike(result, other)
    evaluated = _evaluated_comparison(result, other)
    if evaluated is not None:
        note = "From the evaluation: paired by date, 95 % intervals from resampled dates."
        return RunComparison(other.folder.name, f"Relative change of the score. {note}", evaluated)
    own, theirs = dated_scores(result), dated_scores(other)
    for table, run in ((own, result), (theirs, other)):
        if table.empty:
            raise InputError(
                f"{run.folder} has no scores to compare; evaluate it with python -m flows.evaluate"
            )
    both = own.merge(theirs, on=[*_KEYS, "date"], suffixes=("", "_other"))
    if both.empty:
        raise InputError(
            f"{result.folder} and {other.folder} have no scored date in common: "
            f"{_span(own)} against {_span(theirs)}"
        )
    rows = [
        _change_row(keys, group)
        for keys, group in both[both["value_other"] > 0].groupby(_KEYS, dropna=False, sort=False)
    ]
    dates = both["date"].nunique()
    test = (
        "one date, so that nothing can be tested."
        if dates == 1
        else f"{dates} dates, paired; 95 % intervals by Student's t, dates taken for independent."
    )
    return RunComparison(other.folder.name, f"Mean relative change of the score: {test}", rows)


def _change_row(keys: tuple[Any, ...], group: pd.DataFrame) -> dict[str, Any]:
    score, variable, level, lead = keys
    change = paired_change(group["value"].tolist(), group["value_other"].tolist())
    numbers = {"change": change.mean, "low": change.low, "high": change.high}
    return _field(score, variable, level, lead) | numbers | {"pairs": change.pairs}


def _field(score: str, variable: str, level: float, lead: float) -> dict[str, Any]:
    at = None if pd.isna(level) else float(level)
    return {
        "score": score,
        "channel": variable if at is None else f"{variable}_{at:g}",
        "variable": variable,
        "level": at,
        "lead": ALL_TIMES if pd.isna(lead) else int(lead),
    }


def _evaluated_comparison(result: OpenResult, other: OpenResult) -> list[dict[str, Any]] | None:
    """Rows of an evaluation against the very fields of the other run, if there is one."""
    table, path = result.table(_COMPARISON), result.folder / "evaluation" / MANIFEST
    if table is None or not path.is_file():
        return None
    against = [
        str(a.get("digest")) for a in json.loads(path.read_text("utf-8")).get("against", [])
    ]
    if other.result.digest not in against:
        return None
    shown = (table["region"] == "global") & (table["season"] == "all") & (table["other"] > 0)
    table = table[shown & table["score"].isin(_SCORES)]
    return [
        _field(row["score"], row["variable"], row["level"], row["lead_hours"])
        | {
            "change": row["difference"] / row["other"],
            "low": row["low"] / row["other"],
            "high": row["high"] / row["other"],
            "pairs": row["dates"],
        }
        for row in table.to_dict("records")
    ]


def dated_scores(result: OpenResult) -> pd.DataFrame:
    """Scores of a result by date: score, variable, level, lead (hours or NaN), date, value."""
    table = result.table("scores.csv")
    if table is None or table.empty:
        return pd.DataFrame(columns=[*_KEYS, "date", "value"])
    if "valid_time" in table:
        table = table.assign(date=table["valid_time"].astype(str).str[:10], lead=float("nan"))
    else:
        table = table.assign(date=str(result.fields.start), lead=table["lead_hours"])
    long = table.melt(
        ["variable", "level", "lead", "date"],
        [s for s in _SCORES if s in table],
        var_name="score",
        value_name="value",
    )
    groups = long.groupby([*_KEYS, "date"], dropna=False, sort=False)
    return groups["value"].mean().reset_index()


def _check_alike(result: OpenResult, other: OpenResult) -> None:
    if result.fields.is_forecast != other.fields.is_forecast:
        raise InputError(
            f"{result.folder} is a {result.kind} and {other.folder} a {other.kind}; compare "
            "results of one kind"
        )
    if result.fields.grid != other.fields.grid:
        raise InputError(
            f"{other.folder} is of another grid: {_grid_text(other)}, not {_grid_text(result)}; "
            "compare results of one grid and region"
        )


def _grid_text(result: OpenResult) -> str:
    grid = result.fields.grid
    return (
        f"{grid.shape[0]} x {grid.shape[1]} points from {grid.latitudes[0]:g},"
        f"{grid.longitudes[0]:g} to {grid.latitudes[-1]:g},{grid.longitudes[-1]:g}"
    )


def _span(table: pd.DataFrame) -> str:
    return f"{table['date'].min()} to {table['date'].max()}"
