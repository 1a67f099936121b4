"""The report of an analysis, and its finished export for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.io.ensembles import EnsembleFields
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.observe.quantities import QUANTITIES
from appa_core.report.content import ForecastReport, ReportTable
from appa_core.report.units import Display, display_of, shown_name
from appa_core.schema import VARIABLES, Channel
from appa_core.steps.departures import departures_summary, read_departures
from appa_core.steps.fields import Product
from appa_core.steps.observing import kept_observations
from appa_core.steps.page_fields import FLOW_BUDGET_BYTES, Extent, field_blocks
from appa_core.steps.publish import (
    FIGURES,
    command_of,
    described,
    export_files,
    page_content,
    table_rows,
    write_page,
)
from appa_core.steps.step import run_step
from appa_core.steps.verify import SCORES, known_times, truth_and_climatology

#: Most states that a page shows; of longer periods evenly spread ones.
_SHOWN_STATES = 29
_NUMBERS = ("bias", "rms", "expected", "rms_background", "crps", "crps_background")
_COLUMNS = (
    "Status", "Platform", "Quantity", "Rows", "Bias", "RMS", "Expected", "RMS of background",
    "CRPS", "CRPS of background", "Unit",
)  # fmt: skip


def write_analysis_report(
    store: ArtifactStore,
    product: Product,
    fields: Artifact,
    scores: Artifact,
    departures: Artifact,
    *,
    recompute: bool = False,
) -> Artifact:
    """Write `report.html`, with maps, plumes, scores and departures, and its figures."""
    recipe = Recipe(
        "analysis-report",
        3,
        {"request": product.request.hashed()},
        {"fields": fields.key, "scores": scores.key, "departures": departures.key},
    )

    def build(folder: Path) -> Mapping[str, Any]:
        return write_page(folder, _content(product, fields, scores, departures))

    return run_step(store, recipe, build, recompute=recompute)


def _content(
    product: Product, written: Artifact, scores: Artifact, departures: Artifact
) -> ForecastReport:
    with written.verify().local() as folder:
        (path,) = folder.iterdir()
        fields = EnsembleFields(xr.open_zarr(path, chunks=None, consolidated=False))
        extent = Extent.of(fields, FLOW_BUDGET_BYTES, most_times=_SHOWN_STATES)
        known = _known(product, fields, extent)
        blocks = field_blocks(fields, extent, *known, paired=product.drawing.paired)
    with scores.verify().local() as folder:
        table = pd.read_csv(folder / SCORES)
    since = (pd.to_datetime(table["valid_time"]) - fields.start) / pd.Timedelta(hours=1)
    table["lead_hours"] = since.astype(int)
    shown = [fields.hours[i] for i in extent.times]
    return page_content(
        fields,
        extent,
        blocks,
        score_rows=table_rows(table[table["lead_hours"].isin(shown)]),
        provenance=_provenance(product, written, departures),
        score_note="Area-weighted over all cells shown, observed or not.",
        tables=[_departures_table(departures), _counts_table(product)],
    )


def _known(
    product: Product, fields: EnsembleFields, extent: Extent
) -> tuple[dict[Channel, np.ndarray] | None, dict[Channel, np.ndarray] | None]:
    """Truth and climatology of what is shown, if all times are known."""
    times = fields.valid_times[list(extent.times)]
    if not len(times) or len(known_times(product, times)) < len(times):
        return None, None
    channels = product.selection.channels
    truth, climatology = (
        {c: thin[:, i] for i, c in enumerate(channels)}
        for thin in map(extent.cut, truth_and_climatology(product, times))
    )
    return truth, climatology


def _departures_table(departures: Artifact) -> ReportTable:
    summary = departures_summary(read_departures(departures))
    rows = []
    for row in summary.to_dict("records"):
        name = str(row["quantity"])
        is_field = name in VARIABLES
        shown = (display_of if is_field else Display)(QUANTITIES[name].units)
        called = shown_name(name) if is_field else name.replace("_", " ")
        rows.append(
            [row["status"], row["platform"], called, int(row["rows"])]
            + [float(row[n]) * shown.scale for n in _NUMBERS]
            + [shown.units_of_differences]
        )
    return ReportTable(
        title="Observations and members",
        note=(
            "Observation minus ensemble mean. Withheld rows were kept from the analysis; the "
            "background is the ensemble without them all. Expected: what the errors of the "
            "observations and the spread of the members account for."
        ),
        columns=_COLUMNS,
        rows=rows,
    )


def _counts_table(product: Product) -> ReportTable:
    counts = kept_observations(product.observations).counts().reset_index()
    return ReportTable(
        title="What became of the observations",
        note="Rows by platform and quantity: how many, how many used, and why others were not.",
        columns=[str(c) for c in counts.columns],
        rows=[
            [value if isinstance(value, str) else int(value) for value in row]
            for row in counts.itertuples(index=False)
        ],
    )


def _provenance(product: Product, fields: Artifact, departures: Artifact) -> dict[str, Any]:
    request, drawing = product.request, product.drawing
    return {
        "Command": product.command or command_of(request, product.kind),
        "Method": str(getattr(request, "method", drawing.method.kind)),
        "Seed": request.seed,
        "Members": request.members,
        "Weights": {"name": request.model, "key": drawing.model_key},
        "Observations": product.observations.key,
        "Artifacts": {
            "fields key": fields.key,
            "fields digest": fields.digest,
            "departures key": departures.key,
        },
    }


def export_analysis(
    product: Product, output: Path, fields: Sequence[Artifact], others: Sequence[Artifact]
) -> Path:
    """Copy the results into a folder, which is seen either complete or not at all.

    Args:
        product: What was made.
        output: The folder.
        fields: Of `write_fields`.
        others: Scores, departures and report.

    Raises:
        InputError: The folder cannot be written.
    """
    artifacts = [*fields, *others]
    truth = product.truth
    manifest = {
        "request": product.request.hashed(),
        "method": product.drawing.method.hashed(),
        "model": {"name": product.request.model, "key": product.drawing.model_key},
        "observations": product.observations.key,
        "truth": None if truth is None else {"name": truth.name, "fingerprint": truth.fingerprint},
        "artifacts": described(*artifacts),
    }
    files = [(a, name) for a in artifacts for name in top_names(a) if name != FIGURES]
    return export_files(output, manifest, files)


def top_names(artifact: Artifact) -> list[str]:
    """Files and folders that an artifact holds at its top."""
    return sorted({str(name).split("/", 1)[0] for name in artifact.manifest["files"]})
