"""Figures of an evaluation, for where a page cannot be shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.metrics.regions import GLOBAL
from appa_core.report.evaluation import Evaluation
from appa_core.report.evaluation_figures import evaluation_page
from appa_core.schema import VARIABLES, Channel
from appa_core.steps.evaluation_scores import ALL
from appa_core.steps.page_fields import in_order_of_interest
from appa_core.steps.publish import FIGURES, table_rows
from appa_core.steps.step import run_step

_TABLES = ("scores", "ranks", "calibration", "spectra")
_MOST_FIELDS = 4


def write_evaluation_page(store: ArtifactStore, evaluation: Artifact, title: str) -> Artifact:
    """Write scores, spread and error, rank histograms and spectra of some fields, as Markdown.

    Args:
        store: Where artifacts live.
        evaluation: Tables that `combine` made.
        title: Heading of the page.

    Raises:
        IntegrityError: The tables are damaged.
    """
    recipe = Recipe("evaluation-figures", 2, {"title": title}, {"evaluation": evaluation.key})

    def build(folder: Path) -> Mapping[str, Any]:
        with evaluation.verify().local() as data:
            tables = {name: _shown(pd.read_csv(data / f"{name}.csv")) for name in _TABLES}
        fields = in_order_of_interest(_channels(tables.values()))[:_MOST_FIELDS]
        rows = Evaluation(**{name: table_rows(table) for name, table in tables.items()})
        (folder / FIGURES).write_text(evaluation_page(title, rows, fields), "utf-8")
        return {"fields": [field.name for field in fields]}

    return run_step(store, recipe, build)


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of all seasons and of the globe, or of as much of it as a result covers."""
    for name, whole in (("season", ALL), ("region", GLOBAL)):
        if name in table:
            table = table[table[name] == whole]
    return table


def _channels(tables: Iterable[pd.DataFrame]) -> list[Channel]:
    """Fields that any table is of, in order of appearance."""
    found: dict[Channel, None] = {}
    for table in tables:
        for variable, level in table[["variable", "level"]].drop_duplicates().to_numpy():
            if variable in VARIABLES:
                found[Channel(str(variable), None if pd.isna(level) else int(level))] = None
    return list(found)
