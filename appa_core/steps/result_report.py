"""The page of a finished result: all fields that fit, its evaluation, another run beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from appa_core.errors import DataError
from appa_core.io.ensembles import OpenResult
from appa_core.io.hashing import content_key
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.report.content import ForecastReport, Place
from appa_core.report.page import render_forecast_report
from appa_core.report.result_figures import figures_page
from appa_core.schema import Channel, StateSchema
from appa_core.steps.evaluation_files import (
    evaluation_files,
    evaluation_tables,
    read_evaluation,
)
from appa_core.steps.forecast import StateSource
from appa_core.steps.models import read_model_preset
from appa_core.steps.page_fields import Extent, field_blocks
from appa_core.steps.publish import FIGURES, REPORT, page_content, table_rows
from appa_core.steps.scorecard import compare_runs
from appa_core.steps.statistics import NORMALISATION, load_normalisation
from appa_core.steps.step import run_step

#: Fields of a page, unless another size is asked for.
USUAL_BUDGET_BYTES = 24_000_000


@dataclass(frozen=True)
class Known:
    """What a result can be compared with.

    Args:
        model_folder: Registered model: its grid and climatology; None if it is not here.
        truth: Known states; None if there are none.
        note: Why something is missing, for people; empty if nothing is.
    """

    model_folder: Path | None = None
    truth: StateSource | None = None
    note: str = ""

    @cached_property
    def schema(self) -> StateSchema | None:
        """What states of the truth hold."""
        if self.model_folder is None:
            return None
        return read_model_preset(self.model_folder).state.build()

    def fields(
        self, result: OpenResult, extent: Extent
    ) -> tuple[dict[Channel, np.ndarray] | None, dict[Channel, np.ndarray] | None]:
        """Truth and climatology of what is shown, (T, H, W) by channel; None if not known.

        States are read one at a time, so that no more than one whole state is in memory.
        """
        times = result.fields.valid_times[list(extent.times)]
        if self.schema is None or self.model_folder is None:
            return None, None
        cells = _cells(self.schema, result)
        picks = [self.schema.names.index(c.name) for c in extent.channels]

        def cut(state: np.ndarray) -> np.ndarray:
            return extent.cut(state[picks][:, cells[0]][:, :, cells[1]])

        climatology = None
        if (self.model_folder / NORMALISATION).is_file():
            base = load_normalisation(self.model_folder / NORMALISATION).base
            usual = [cut(base.at(np.asarray([t]))[0]) for t in times.values]
            climatology = _stacked(usual, extent)
        if self.truth is None:
            return None, climatology
        archive = self.truth.open()
        if not times.isin(archive.times).all():
            return None, climatology
        states = (self.schema.stack(archive.read(times[i : i + 1]))[0] for i in range(len(times)))
        return _stacked([cut(state) for state in states], extent), climatology


def _stacked(states: Sequence[np.ndarray], extent: Extent) -> dict[Channel, np.ndarray]:
    whole = np.stack(states)
    return {channel: whole[:, i] for i, channel in enumerate(extent.channels)}


def _cells(schema: StateSchema, result: OpenResult) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a model's grid that a result holds."""
    found = []
    for own, whole in (
        (result.fields.grid.latitudes, schema.grid.latitudes),
        (result.fields.grid.longitudes, schema.grid.longitudes),
    ):
        distance = np.abs(np.asarray(own)[:, None] - np.asarray(whole)[None])
        if distance.min(axis=1).max() > 1e-4:
            raise DataError(
                f"{result.folder} is on another grid than the model that it names; "
                "give the result as a flow wrote it"
            )
        found.append(distance.argmin(axis=1))
    return found[0], found[1]


@dataclass(frozen=True)
class PageOrder:
    """What a page should show.

    Args:
        places: Points that the plume offers.
        channels: Names of the fields; all that fit where empty.
        budget_bytes: For the text of the fields.
    """

    places: tuple[Place, ...] = ()
    channels: tuple[str, ...] = ()
    budget_bytes: int = USUAL_BUDGET_BYTES


def write_result_report(
    store: ArtifactStore,
    result: OpenResult,
    order: PageOrder,
    known: Known,
    other: OpenResult | None = None,
    *,
    recompute: bool = False,
) -> Artifact:
    """Write the page of a finished result, and its figures.

    Args:
        store: Where artifacts live.
        result: What is shown.
        order: What of it.
        known: What it can be compared with.
        other: Another run.
        recompute: Write again what is there.

    Raises:
        InputError: A field does not exist, or the other run cannot be compared.
        DataError: Fields or tables do not hold what they should.
        IntegrityError: The result is damaged.
    """
    for name in order.channels:
        result.fields.channel(name)
    parents = {"result": _identity(result)}
    if other is not None:
        parents["other"] = _identity(other)
    if known.truth is not None:
        parents["truth"] = known.truth.identity(result.fields.valid_times)
    recipe = Recipe("result-report", 2, asdict(order) | {"note": known.note}, parents)

    def build(folder: Path) -> Mapping[str, Any]:
        result.result.verify()
        content = report_content(result, order, known, other)
        page = render_forecast_report(content, order.budget_bytes)
        (folder / REPORT).write_text(page, "utf-8")
        (folder / FIGURES).write_text(figures_page(content), "utf-8")
        return {"bytes": len(page.encode())}

    return run_step(store, recipe, build, recompute=recompute)


def _identity(result: OpenResult) -> str:
    scores = result.folder / "scores.csv"
    return content_key(
        {
            "manifest": result.manifest,
            "evaluation": evaluation_files(result),
            "scores": scores.read_text("utf-8") if scores.is_file() else "",
        }
    )


def report_content(
    result: OpenResult, order: PageOrder, known: Known, other: OpenResult | None
) -> ForecastReport:
    """Content of the page of a finished result."""
    fields = result.fields
    chosen = [fields.channel(name) for name in order.channels] or None
    extent = Extent.of(fields, order.budget_bytes, chosen)
    blocks = field_blocks(
        fields, extent, *known.fields(result, extent), paired=result.result.paired
    )
    hours = [fields.hours[i] for i in extent.times]
    evaluation = read_evaluation(result, [c.name for c in extent.channels], hours)
    note = f"Area-weighted over {'the region' if evaluation.scores else 'all cells'}"
    whole = ", for this one forecast." if fields.is_forecast else ", observed or not."
    content = page_content(
        fields,
        extent,
        blocks,
        score_rows=_score_rows(result, hours),
        provenance=_provenance(result),
        score_note=note + whole,
        tables=evaluation_tables(result),
        evaluation=evaluation,
        comparison=None if other is None else compare_runs(result, other),
        places=order.places,
    )
    return replace(content, thinning=" ".join(filter(None, (content.thinning, known.note))))


def _score_rows(result: OpenResult, hours: Sequence[int]) -> list[dict[str, Any]]:
    table = result.table("scores.csv")
    if table is None or table.empty:
        return []
    if "valid_time" in table:
        since = pd.to_datetime(table["valid_time"]) - result.fields.start
        table["lead_hours"] = (since / pd.Timedelta(hours=1)).astype(int)
        table = table[table["lead_hours"].isin(hours)]
    return table_rows(table)


def _provenance(result: OpenResult) -> dict[str, Any]:
    manifest = result.manifest
    artifacts = manifest.get("artifacts", {})
    return {
        "Result": result.folder.name,
        "Kind": result.kind,
        "Request": manifest.get("request", {}),
        "Weights": manifest.get("model", {}),
        "Data": manifest.get("states") or manifest.get("truth") or {},
        "Artifacts": {name: found["digest"] for name, found in artifacts.items()},
    }
