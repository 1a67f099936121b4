"""Tasks of an evaluation: what results are held against, and pieces side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from appa_core.config.evaluation import EvaluationRequest
from appa_core.errors import InputError, IntegrityError
from appa_core.io.results import Result
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.steps.device import require_device
from appa_core.steps.evaluate import EvaluationJob, Pieces, combine, export_evaluation
from appa_core.steps.evaluated import Evaluated, ModelReference
from appa_core.steps.evaluation_fields import evaluate_fields, plan_fields
from appa_core.steps.evaluation_page import write_evaluation_page
from appa_core.steps.evaluation_physics import evaluate_physics, plan_physics
from appa_core.steps.evaluation_thresholds import fit_thresholds
from appa_core.steps.forecast import StateSource
from appa_core.steps.models import model_key, verify_model
from tasks.catalog import model_folder, state_source
from tasks.cluster import ClusterSettings, run_units
from tasks.figures import show_figures


def prepare_evaluation(
    results: Sequence[str],
    others: Sequence[str],
    request: EvaluationRequest,
    store: str,
    truth: str = "",
    device: str = "cpu",
) -> EvaluationJob:
    """Check everything that can be wrong, before any work.

    Args:
        results: Exported folders.
        others: Those of another run to compare with.
        request: What is evaluated.
        store: Where pieces are kept.
        truth: Catalog entry of known states; those that a result names if empty.
        device: Where the autoencoder runs.

    Raises:
        InputError: A folder is no result, or something that was asked for is not possible.
        IntegrityError: A result or weights are damaged.
    """
    require_device(device)
    runs = [
        tuple(_evaluated(Result.open(path), request, store, truth, device) for path in paths)
        for paths in (results, others)
    ]
    if not runs[0]:
        raise InputError("name at least one result to evaluate")
    return EvaluationJob(*runs)


def _evaluated(
    result: Result, request: EvaluationRequest, store: str, truth: str, device: str
) -> Evaluated:
    states = state_source(truth) if truth else _own_truth(result)
    model = _model(result, device)
    return Evaluated(store, result, request, states, model, _baselines(result, request, model))


def _own_truth(result: Result) -> StateSource | None:
    """The states that a result was made from or scored against, by what its manifest says."""
    asked, manifest = result.manifest["request"], result.manifest
    told = manifest.get("states") or manifest.get("truth")
    name = asked.get("truth") or asked.get("source") or (told or {}).get("name")
    if not name:
        return None
    states = state_source(str(name))
    if told and told["fingerprint"] != states.fingerprint:
        raise IntegrityError(
            f"{result.folder} was made with states {name} {told['fingerprint']}, which are now "
            f"{states.fingerprint}; name the states to evaluate against with --truth"
        )
    return states


def _model(result: Result, device: str) -> ModelReference | None:
    """The weights of a result; None if they are not here any more."""
    told = result.manifest.get("model")
    if not told:
        return None
    try:
        folder = model_folder(str(told["name"]))
        key = model_key(verify_model(folder))
    except InputError:
        return None
    return ModelReference(str(folder), key, device) if key == told["key"] else None


def _baselines(
    result: Result, request: EvaluationRequest, model: ModelReference | None
) -> tuple[str, ...]:
    has_climatology = model is not None and model.load().stored_normalisation is not None
    possible = (["persistence"] if result.kind == "forecast" else []) + (
        ["climatology"] if has_climatology else []
    )
    if request.baselines is None:
        return tuple(possible)
    reasons = {
        "persistence": "an analysis starts from no known state",
        "climatology": "the weights that the result was made with, which know it, are not here",
    }
    for name in request.baselines:
        if name not in possible:
            raise InputError(f"{result.folder}: no baseline {name}: {reasons[name]}")
    return request.baselines


@task(cache_policy=NO_CACHE)
def evaluate_pieces(job: EvaluationJob, cluster: ClusterSettings) -> Pieces:
    """Statistics of all fields, and physics of some states, each piece kept by itself."""
    for of in (*job.results, *job.others):
        fit_thresholds(of)
    ours = [unit for of in job.results for unit in plan_fields(of)]
    theirs = [unit for of in job.others for unit in plan_fields(of)]
    found = run_units(evaluate_fields, [*ours, *theirs], cluster, "scoring")
    states = [unit for of in job.results for unit in plan_physics(of)]
    physics = run_units(evaluate_physics, states, cluster, "physics")
    return Pieces(found[: len(ours)], physics, found[len(ours) :])


@task(cache_policy=NO_CACHE)
def write_tables(job: EvaluationJob, pieces: Pieces) -> Artifact:
    """Tables of all pieces together."""
    return combine(job, pieces)


@task(cache_policy=NO_CACHE)
def show(job: EvaluationJob, evaluation: Artifact) -> None:
    """Show scores and figures of an evaluation in Prefect."""
    first, *more = (Path(of.result.folder).name for of in job.results)
    name = f"evaluation of {first}" + (f" and {len(more)} more" if more else "")
    page = write_evaluation_page(ArtifactStore(job.results[0].store), evaluation, name)
    show_figures(page, name)


@task(cache_policy=NO_CACHE)
def export(job: EvaluationJob, evaluation: Artifact, output: str) -> str:
    """Copy the tables to a folder for a person."""
    return str(export_evaluation(job, evaluation, Path(output)))
