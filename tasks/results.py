"""Tasks on finished results: their page, products, copies for other tools, figures in Prefect."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from appa_core.errors import InputError
from appa_core.io.ensembles import OpenResult
from appa_core.io.store import Artifact, ArtifactStore, write_atomically
from appa_core.steps.exporting import export_result
from appa_core.steps.forecast import StateSource
from appa_core.steps.models import model_key, read_manifest
from appa_core.steps.products import ProductOrder, write_products
from appa_core.steps.publish import REPORT
from appa_core.steps.result_report import Known, PageOrder, write_result_report
from tasks.catalog import model_folder, state_source
from tasks.figures import show_figures


@task(cache_policy=NO_CACHE)
def make_report(
    store: str,
    folder: str,
    order: PageOrder,
    other: str | None,
    truth: str | None,
    *,
    recompute: bool,
) -> Artifact:
    """Write the page of a finished result, and show its figures."""
    result = OpenResult.of(folder)
    known = known_of(result, truth)
    beside = None if other is None else OpenResult.of(other)
    page = write_result_report(
        ArtifactStore(store), result, order, known, beside, recompute=recompute
    )
    show_figures(page, Path(folder).name)
    return page


@task(cache_policy=NO_CACHE)
def make_products(store: str, folder: str, order: ProductOrder, *, recompute: bool) -> Artifact:
    """Write values at points, probabilities and quantiles of a finished result."""
    return write_products(ArtifactStore(store), OpenResult.of(folder), order, recompute=recompute)


@task(cache_policy=NO_CACHE)
def deliver(output: str, page: Artifact, products: Artifact | None) -> list[str]:
    """Copy a page to a file, and products into the folder `products` beside it."""
    target = Path(output)
    written = [str(target)]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with page.local() as data:
            write_atomically(target, (data / REPORT).read_bytes())
        if products is not None:
            folder = target.parent / "products"
            folder.mkdir(exist_ok=True)
            with products.local() as data:
                for path in sorted(data.iterdir()):
                    write_atomically(folder / path.name, path.read_bytes())
                    written.append(str(folder / path.name))
    except OSError as error:
        raise InputError(f"cannot write {output}: {error}; choose another --output") from error
    return written


@task(cache_policy=NO_CACHE)
def export(folder: str, kind: str, layout: str, output: str) -> str:
    """Write a finished result in another format."""
    return str(export_result(OpenResult.of(folder), kind, layout, Path(output)))


def known_of(result: OpenResult, truth: str | None = None) -> Known:
    """The model and the known states that a result names, if they are here and unchanged.

    Args:
        result: A finished result.
        truth: Known states to take instead: a catalog entry, or ingested states.

    Raises:
        InputError: There are no such states.
    """
    notes: list[str] = []
    folder = _model(result.manifest.get("model") or {}, notes)
    states = _states(result.manifest, notes) if truth is None else state_source(truth)
    return Known(folder, states, " ".join(notes))


def _states(manifest: Mapping[str, Any], notes: list[str]) -> StateSource | None:
    """The known states that a manifest names, or a note why there are none."""
    named = manifest.get("states") or manifest.get("truth")
    if not named:
        return None
    request = manifest.get("request", {})
    asked = request.get("truth") or request.get("source") or named["name"]
    try:
        found = state_source(str(asked))
    except InputError as error:
        notes.append(f"The truth is not shown: {error}.")
        return None
    if found.fingerprint != named["fingerprint"]:
        notes.append(f"The truth is not shown: {asked} has changed since.")
        return None
    return found


def _model(named: Mapping[str, Any], notes: list[str]) -> Path | None:
    """The folder of a named model, or a note why there is none."""
    try:
        folder = model_folder(str(named.get("name", "")))
        if model_key(read_manifest(folder)) == named.get("key"):
            return folder
        notes.append(f"Truth and climatology are not shown: model {named['name']} has changed.")
    except InputError as error:
        notes.append(f"Truth and climatology are not shown: {error}.")
    return None
