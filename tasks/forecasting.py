"""Tasks of a forecast: each takes references and returns the reference of what it made."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from tqdm import tqdm

from appa_core.io.store import Artifact, ArtifactStore
from appa_core.steps import publish, score
from appa_core.steps.forecast import Forecaster, ForecastJob
from tasks.figures import show_figures


@task(cache_policy=NO_CACHE)
def encode_known(store: str, job: ForecastJob, *, recompute: bool) -> Artifact:
    """Encode the states that are known."""
    return Forecaster(ArtifactStore(store), job, recompute=recompute).encode_known()


@task(cache_policy=NO_CACHE)
def sample_members(
    store: str, job: ForecastJob, members: range, known: Artifact, *, recompute: bool
) -> list[Artifact]:
    """Draw some members, blanket after blanket, each committed by itself."""
    forecaster = Forecaster(ArtifactStore(store), job, recompute=recompute)
    drawn: list[Artifact] = []
    steps = job.preset.sampling.steps
    label = f"members {members.start}-{members.stop - 1}"
    with tqdm(total=job.plan.blankets * steps, desc=label, unit="step") as bar:
        for blanket in range(job.plan.blankets):
            previous = drawn[-1] if drawn else known
            drawn.append(forecaster.sample_blanket(members, blanket, previous, bar.update))
            bar.update((blanket + 1) * steps - bar.n)
    return drawn


@task(cache_policy=NO_CACHE)
def decode(
    store: str, job: ForecastJob, batches: list[list[Artifact]], *, recompute: bool
) -> Artifact:
    """Decode all members and write the forecast."""
    return Forecaster(ArtifactStore(store), job, recompute=recompute).decode(batches)


@task(cache_policy=NO_CACHE)
def score_forecast(
    store: str, job: ForecastJob, forecast: Artifact, *, recompute: bool
) -> Artifact:
    """Score the forecast."""
    return score.score_forecast(ArtifactStore(store), job, forecast, recompute=recompute)


@task(cache_policy=NO_CACHE)
def write_report(
    store: str, job: ForecastJob, forecast: Artifact, scores: Artifact, *, recompute: bool
) -> Artifact:
    """Write the page that shows the forecast, and show its figures in Prefect."""
    target = ArtifactStore(store)
    page = publish.write_report(target, job, forecast, scores, recompute=recompute)
    show_figures(page, f"forecast from {job.request.time:%Y-%m-%dT%H}")
    return page


@task(cache_policy=NO_CACHE)
def export(
    job: ForecastJob, output: str, forecast: Artifact, scores: Artifact, report: Artifact
) -> str:
    """Copy the results to a folder for a person."""
    return str(publish.export(job, Path(output), forecast, scores, report))
