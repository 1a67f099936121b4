"""How the scores of one result differ from those of another, date by date."""

from __future__ import annotations

import pandas as pd

from appa_core.errors import InputError
from appa_core.io.results import Result
from appa_core.metrics.intervals import paired_change
from appa_core.report.evaluation import RunComparison

_SCORES = ("rmse", "crps")
_KEYS = ["score", "variable", "level", "lead"]
#: In place of a lead, for what is known of times alone.
ALL_TIMES = "all"


def compare_runs(result: Result, other: Result) -> RunComparison:
    """Relative changes of RMSE and CRPS, with 95 % intervals over dates.

    Forecasts are paired by start and lead, analyses by day: states of one day depend on each
    other, so that their scores are averaged first. `evaluation/dates.csv` (date, score, variable,
    level, lead_hours, value) is taken where both have it, else their `scores.csv`.

    Args:
        result: The run.
        other: What it is compared with.

    Raises:
        InputError: They are of other kinds, grids, fields or dates, or one has no scores.
    """
    _check_alike(result, other)
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
    rows = []
    for (score, variable, level, lead), group in both.groupby(_KEYS, dropna=False, sort=False):
        usable = group[group["value_other"] > 0]
        if usable.empty:
            continue
        change = paired_change(usable["value"].tolist(), usable["value_other"].tolist())
        at = None if pd.isna(level) else float(level)
        rows.append(
            {
                "score": score,
                "channel": variable if at is None else f"{variable}_{at:g}",
                "variable": variable,
                "level": at,
                "lead": ALL_TIMES if pd.isna(lead) else int(lead),
                "change": change.mean,
                "low": change.low,
                "high": change.high,
                "pairs": change.pairs,
            }
        )
    dates = both["date"].nunique()
    test = (
        "one date, so that nothing can be tested."
        if dates == 1
        else f"{dates} dates, paired; 95 % intervals by Student's t, dates taken for independent."
    )
    return RunComparison(other.folder.name, f"Mean relative change of the score: {test}", rows)


def dated_scores(result: Result) -> pd.DataFrame:
    """Scores of a result by date: score, variable, level, lead (hours or None), date, value."""
    dates = result.table("evaluation/dates.csv")
    if dates is not None:
        region = dates.get("region", pd.Series("global", index=dates.index))
        table = dates[(region == "global") & dates["score"].isin(_SCORES)]
        return _columns(table.rename(columns={"lead_hours": "lead"}))
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
    return _columns(long)


def _columns(table: pd.DataFrame) -> pd.DataFrame:
    """One value for each date, the mean of those that share it."""
    groups = table.groupby([*_KEYS, "date"], dropna=False, sort=False, as_index=False)
    return groups["value"].mean()


def _check_alike(result: Result, other: Result) -> None:
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


def _grid_text(result: Result) -> str:
    grid = result.fields.grid
    return (
        f"{grid.shape[0]} x {grid.shape[1]} points from {grid.latitudes[0]:g},"
        f"{grid.longitudes[0]:g} to {grid.latitudes[-1]:g},{grid.longitudes[-1]:g}"
    )


def _span(table: pd.DataFrame) -> str:
    return f"{table['date'].min()} to {table['date'].max()}"
