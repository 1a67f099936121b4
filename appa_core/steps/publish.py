"""The report, and the finished export for a person."""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.config.requests import EnsembleRequest
from appa_core.errors import InputError
from appa_core.io.ensembles import EnsembleFields
from appa_core.io.places import require_replaceable
from appa_core.io.staging import scratch_beside
from appa_core.io.store import MANIFEST, Artifact, ArtifactStore, Recipe, write_atomically
from appa_core.report.content import FieldBlock, ForecastReport
from appa_core.report.evaluation import Evaluation
from appa_core.report.page import render_forecast_report
from appa_core.report.result_figures import figures_page
from appa_core.schema import Channel
from appa_core.steps.forecast import FORECAST, ForecastJob
from appa_core.steps.page_fields import (
    FLOW_BUDGET_BYTES,
    Extent,
    field_blocks,
    label_of,
    spectra_of,
)
from appa_core.steps.score import SCORES, compare
from appa_core.steps.step import run_step

REPORT = "report.html"
#: Figures of a result as Markdown, which Prefect shows.
FIGURES = "figures.md"
_MARKS = frozenset({"request", "artifacts"})
_START = {
    False: "known states are encoded",
    True: "states up to the start are drawn given the observations of the hours before",
}


def write_report(
    store: ArtifactStore,
    job: ForecastJob,
    forecast: Artifact,
    scores: Artifact,
    *,
    recompute: bool = False,
) -> Artifact:
    """Write `report.html`, a self-contained page."""
    recipe = Recipe("report", 4, {}, {"forecast": forecast.key, "scores": scores.key})

    def build(folder: Path) -> Mapping[str, Any]:
        with scores.verify().local() as data:
            table = pd.read_csv(data / SCORES)
        content = _content(job, forecast, scores, table)
        return write_page(folder, content)

    return run_step(store, recipe, build, recompute=recompute)


def write_page(folder: Path, content: ForecastReport) -> dict[str, Any]:
    """Write the page and the figures of a result into a step's folder, and say how large."""
    page = render_forecast_report(content, FLOW_BUDGET_BYTES)
    (folder / REPORT).write_text(page, "utf-8")
    (folder / FIGURES).write_text(figures_page(content), "utf-8")
    return {"bytes": len(page.encode())}


def _content(
    job: ForecastJob, forecast: Artifact, scores: Artifact, table: pd.DataFrame
) -> ForecastReport:
    comparison = compare(job, forecast)
    with forecast.local() as folder:
        dataset = xr.open_zarr(folder / FORECAST, chunks=None, consolidated=False)
        fields = EnsembleFields(dataset)
        extent = Extent.of(fields, FLOW_BUDGET_BYTES)
        complete = comparison is not None and comparison.truth.shape[0] == len(fields.hours)
        known = comparison if complete else None
        channels = job.selection.channels
        blocks = field_blocks(
            fields,
            extent,
            None if known is None else by_channel(known.truth, channels, extent),
            None if known is None else by_channel(known.climatology, channels, extent),
        )
    return page_content(
        fields,
        extent,
        blocks,
        score_rows=table_rows(table),
        provenance=_provenance(job, forecast, scores),
        score_note="Area-weighted over all cells shown, for this one forecast.",
    )


def by_channel(
    known: np.ndarray, channels: Sequence[Channel], extent: Extent
) -> dict[Channel, np.ndarray]:
    """Known fields (T, C, H, W) of all times and cells, cut to what is shown, by channel."""
    thin = extent.cut(known[list(extent.times)])
    return {channel: thin[:, i] for i, channel in enumerate(channels)}


def page_content(
    fields: EnsembleFields, extent: Extent, blocks: Sequence[FieldBlock], **parts: Any
) -> ForecastReport:
    """Content of the page of an ensemble.

    Args:
        fields: The ensemble.
        extent: What of it is shown.
        blocks: What `field_blocks` made.
        **parts: Other fields of `ForecastReport`.
    """
    whole = "Global" if fields.is_global else "Regional"
    kind = str(fields.dataset.attrs.get("title", "ensemble")).removeprefix("Appa ")
    grid = extent.grid(fields.grid)
    hours = [fields.hours[i] for i in extent.times]
    evaluation = parts.pop("evaluation", Evaluation())
    if not evaluation.spectra:
        evaluation = replace(evaluation, spectra=spectra_of(blocks, fields, extent))
    return ForecastReport(
        title=f"{whole} {kind} from {fields.start:%Y-%m-%d %H:%M} UTC",
        simulated_notice=fields.source if fields.source.startswith("Simulated") else "",
        init_time=fields.start.to_pydatetime(),
        lead_hours=hours,
        latitudes=grid.latitudes,
        longitudes=grid.longitudes,
        fields=blocks,
        hours_label="Lead time" if fields.is_forecast else "Time since the first state",
        left_out=[label_of(channel) for channel in extent.left_out],
        thinning=extent.note,
        evaluation=evaluation,
        **parts,
    )


def table_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table, with None for what is missing."""
    return [
        {str(k): None if pd.isna(v) else v for k, v in row.items()}
        for row in table.to_dict("records")
    ]


def command_of(request: EnsembleRequest, flow: str = "forecast") -> str:
    """The command line that makes what a request asks for."""
    words = [f"python -m flows.{flow}"]
    for name, value in request.hashed().items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, dict):
            sides = ("south", "north", "west", "east")
            words.append(f"{option}={','.join(f'{value[side]:g}' for side in sides)}")
        elif isinstance(value, list):
            words.append(f"{option} {' '.join(str(item) for item in value)}")
        elif value not in {None, ""}:
            words.append(f"{option} {shlex.quote(str(value))}")
    return " ".join(words)


def _provenance(job: ForecastJob, forecast: Artifact, scores: Artifact) -> dict[str, Any]:
    request = job.request
    return {
        "Command": command_of(request),
        "Method": (
            f"Latent diffusion: {_START[job.starts_from_draws]}; blankets of consecutive latents "
            f"are drawn by {job.preset.sampling.steps} evaluations of the denoiser each, given "
            f"the last {job.plan.known_states} states; members differ in their noise alone."
        ),
        "Seed": request.seed,
        "Members": request.members,
        "Weights": {"name": request.model, "key": job.model_key},
        "Data": {"catalog entry": job.source.name, "fingerprint": job.source.fingerprint},
        "Artifacts": {
            "forecast key": forecast.key,
            "forecast digest": forecast.digest,
            "scores key": scores.key,
        },
    }


def check_output(output: Path) -> None:
    """See whether an export can be written, before any work.

    Raises:
        InputError: The folder cannot be made or written to, or holds something else.
    """
    require_replaceable(output, "--output", "forecast or analysis", _MARKS)
    nearest = next(p for p in (output, *output.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".appa-", dir=nearest):
            pass
    except OSError as error:
        raise InputError(
            f"cannot write to {nearest} ({error.strerror}); choose another folder with --output"
        ) from error


def export(
    job: ForecastJob, output: Path, forecast: Artifact, scores: Artifact, report: Artifact
) -> Path:
    """Copy the results into a folder, which is seen either complete or not at all.

    Raises:
        InputError: The folder cannot be written.
    """
    manifest = {
        "request": job.request.hashed(),
        "model": {"name": job.request.model, "key": job.model_key},
        "states": {"name": job.source.name, "fingerprint": job.source.fingerprint},
        "artifacts": described(forecast, scores, report),
    }
    return export_files(
        output, manifest, [(forecast, FORECAST), (scores, SCORES), (report, REPORT)]
    )


def described(*artifacts: Artifact) -> dict[str, Any]:
    """Keys, digests and files of artifacts by step, for a manifest."""
    return {
        a.manifest["step"]: {"key": a.key, "digest": a.digest, "files": a.manifest["files"]}
        for a in artifacts
    }


def export_files(
    output: Path, manifest: Mapping[str, Any], files: Sequence[tuple[Artifact, str]]
) -> Path:
    """Copy files of artifacts into a folder, which is seen either complete or not at all.

    Args:
        output: The folder; what was exported there before is replaced.
        manifest: What tells one export from another, written as `manifest.json`.
        files: Artifacts, and which of their files or folders.

    Raises:
        InputError: The folder cannot be written.
    """
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    if (output / MANIFEST).is_file() and (output / MANIFEST).read_text("utf-8") == text:
        return output
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with scratch_beside(output) as scratch:
            for artifact, name in files:
                with artifact.verify().local() as data:
                    copy = shutil.copytree if (data / name).is_dir() else shutil.copyfile
                    copy(data / name, scratch / name)
            write_atomically(scratch / MANIFEST, text)
            if output.exists():
                shutil.rmtree(output)
            scratch.rename(output)
    except OSError as error:
        raise InputError(f"cannot write {output}: {error.strerror}") from error
    return output
