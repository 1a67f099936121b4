"""Tables of a result's `evaluation/` folder, and those with which a page does without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from appa_core.errors import DataError
from appa_core.io.ensembles import OpenResult
from appa_core.report.content import ReportTable
from appa_core.report.evaluation import Evaluation
from appa_core.steps.publish import table_rows

_FOLDER = "evaluation"
_NEEDED = {
    "scores": ("forecast", "score", "variable", "level", "lead_hours", "value"),
    "ranks": ("variable", "level", "lead_hours", "rank", "count"),
    "calibration": ("variable", "level", "lead_hours", "region", "p", "verdict"),
    "reliability": (
        "event", "variable", "level", "lead_hours", "forecast_probability", "observed_frequency",
        "count",
    ),
    "spectra": ("variable", "level", "lead_hours", "source", "wavenumber", "power"),
    "physics": ("check", "source", "value", "units"),
    "departures": ("platform", "quantity"),
}  # fmt: skip
#: Physics is shown at so many of its leads: the first, the last, and some between.
_PHYSICS_LEADS = 3


def read_evaluation(
    result: OpenResult, channels: Sequence[str], hours: Sequence[int]
) -> Evaluation:
    """What an evaluation says of the fields and times of a page; empty where there is none.

    Args:
        result: A finished result.
        channels: Names of the fields on the page.
        hours: Of its times.

    Raises:
        DataError: A table lacks a column.
        IntegrityError: A table cannot be read.
    """
    tables = {}
    for name in ("scores", "ranks", "calibration", "reliability", "spectra"):
        table = _read(result, name)
        if table is None:
            continue
        shown = _names(table).isin(channels)
        if "season" in table:
            shown &= table["season"] == "all"
        if name in {"ranks", "reliability"}:  # of analyses, all times are pooled
            shown &= table["lead_hours"].isin(hours) | table["lead_hours"].isna()
        tables[name] = table_rows(table[shown])
    return Evaluation(**tables)


def evaluation_tables(result: OpenResult) -> list[ReportTable]:
    """Physical consistency and departures as tables for people; none where there are none."""
    tables = []
    physics = _read(result, "physics")
    if physics is not None and len(physics):
        tables.append(_physics_table(physics))
    departures = _read(result, "departures")
    if departures is not None and len(departures):
        tables.append(
            ReportTable(
                title="Departures from observations",
                note="Observation minus background and minus analysis, by platform, SI units.",
                columns=[str(c).replace("_", " ") for c in departures.columns],
                rows=[_cells(row) for row in departures.itertuples(index=False)],
            )
        )
    return tables


def evaluation_files(result: OpenResult) -> dict[str, str]:
    """Names of the tables that there are, to their text: what a page of them depends on."""
    folder = result.folder / _FOLDER
    return {
        name: (folder / f"{name}.csv").read_text("utf-8")
        for name in _NEEDED
        if (folder / f"{name}.csv").is_file()
    }


def _read(result: OpenResult, name: str) -> pd.DataFrame | None:
    table = result.table(f"{_FOLDER}/{name}.csv")
    if table is None:
        return None
    missing = [c for c in _NEEDED[name] if c not in table.columns]
    if missing:
        raise DataError(
            f"{result.folder / _FOLDER / name}.csv lacks {', '.join(missing)}; evaluate the "
            "result again with python -m flows.evaluate"
        )
    return table


def _physics_table(physics: pd.DataFrame) -> ReportTable:
    """A row for each check, field, band and some leads; a column for each source."""
    keys = [k for k in ("check", "variable", "level", "band", "lead_hours") if k in physics]
    if "lead_hours" in keys:
        physics = _at_some_leads(physics)
    sources = list(dict.fromkeys(physics["source"]))
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in physics.to_dict("records"):
        place = tuple(None if pd.isna(row[k]) else row[k] for k in keys)
        rows.setdefault(place, {"units": row["units"]})[row["source"]] = row["value"]
    return ReportTable(
        title="Physical consistency",
        note=(
            "The same checks of members, of the truth and, where it was measured, of the "
            "autoencoder alone: a fault that the autoencoder has too entered there."
        ),
        columns=[*(k.replace("_", " ") for k in keys), *sources, "units"],
        rows=[
            _cells([*place, *(found.get(s) for s in sources), found["units"]])
            for place, found in rows.items()
        ],
    )


def _at_some_leads(physics: pd.DataFrame) -> pd.DataFrame:
    leads = sorted(physics["lead_hours"].dropna().unique())
    places = [i * (len(leads) - 1) // (_PHYSICS_LEADS - 1) for i in range(_PHYSICS_LEADS)]
    picks = {leads[place] for place in places if leads}
    return physics[physics["lead_hours"].isna() | physics["lead_hours"].isin(picks)]


def _cells(row: Sequence[Any]) -> list[str | float | int | None]:
    return [_cell(value) for value in row]


def _cell(value: Any) -> str | float | int | None:
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return None
    number = float(value)
    return int(number) if number.is_integer() else number


def _names(table: pd.DataFrame) -> pd.Series[str]:
    levels = pd.to_numeric(table["level"], errors="coerce")
    return pd.Series(
        [
            str(v) if pd.isna(level) else f"{v}_{level:g}"
            for v, level in zip(table["variable"], levels, strict=True)
        ],
        index=table.index,
        dtype=str,
    )
