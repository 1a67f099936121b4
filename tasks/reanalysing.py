"""Tasks of everything that is drawn from observations; they exchange references only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE
from tqdm import tqdm

from appa_core.io.store import Artifact, ArtifactStore
from appa_core.steps import departures, fields, from_observations, publish_analysis, verify
from appa_core.steps.analysis import AnalysisJob, MembersOrder, draw_members
from appa_core.steps.climatology_draws import ClimatologyOrder, draw_climatology
from appa_core.steps.drawing import Drawing
from appa_core.steps.drawn import DrawnEnsemble, DrawnMembers, Piece
from appa_core.steps.fields import Product
from appa_core.steps.filtering import FilteredMembers, FilterJob, FilterOrder, filter_members
from appa_core.steps.observed import ObservedJob, ObservedTable, prepare_table
from appa_core.steps.observing import Reader
from tasks.cluster import ClusterSettings, run_units
from tasks.figures import show_figures
from tasks.reports import read_reports

_Order = TypeVar("_Order")
_Drawn = TypeVar("_Drawn")


@task(cache_policy=NO_CACHE)
def observe(
    store: str,
    job: ObservedJob,
    times: pd.DatetimeIndex,
    read: Reader | None = None,
    *,
    recompute: bool,
) -> ObservedTable:
    """Read or simulate observations, and keep those that can be used."""
    read = read or partial(read_reports, job=job, times=times)
    return prepare_table(ArtifactStore(store), job, times, read, recompute=recompute)


@task(cache_policy=NO_CACHE)
def draw_prior(store: str, order: ClimatologyOrder, *, recompute: bool) -> tuple[Artifact, ...]:
    """Draw the climatology that a method needs, batch by batch."""
    target = ArtifactStore(store)
    bar = tqdm(order.batches, desc="climatology", unit="batch")
    return tuple(draw_climatology(target, order, part, recompute=recompute) for part in bar)


def climatology(
    store: str, order: ClimatologyOrder | None, *, recompute: bool
) -> tuple[Artifact, ...]:
    """Draws of the climatology, if a method needs any."""
    return () if order is None else draw_prior(store, order, recompute=recompute)


@task(cache_policy=NO_CACHE)
def draw_batch(order: MembersOrder) -> DrawnMembers:
    """Draw some members, stretch after stretch, each committed by itself."""
    with tqdm(total=order.stretches, desc=str(order), unit="stretch") as bar:
        return draw_members(order, bar.update)


@task(cache_policy=NO_CACHE)
def filter_batch(order: FilterOrder) -> FilteredMembers:
    """Make all cycles of some members, each committed by itself."""
    with tqdm(total=order.job.cycles, desc=str(order), unit="cycle") as bar:
        return filter_members(order, bar.update)


@task(cache_policy=NO_CACHE)
def on_cluster(
    function: Callable[[_Order], _Drawn],
    orders: Sequence[_Order],
    cluster: ClusterSettings,
    label: str,
) -> list[_Drawn]:
    """Work on batches of members side by side, on Dask workers."""
    return run_units(function, orders, cluster, label)


def draw_ensembles(
    store: str,
    job: AnalysisJob,
    draws: tuple[Artifact, ...],
    cluster: ClusterSettings | None,
    *,
    recompute: bool,
) -> dict[str, DrawnEnsemble]:
    """All members of the background and of the analysis, a task for each batch of them."""
    return {
        name: draw_ensemble(store, job, draws, cluster, name, recompute=recompute)
        for name in (departures.BACKGROUND, departures.ANALYSIS)
    }


def draw_ensemble(
    store: str,
    job: AnalysisJob,
    draws: tuple[Artifact, ...],
    cluster: ClusterSettings | None,
    name: str,
    before: Sequence[tuple[Piece, ...]] = (),
    *,
    recompute: bool,
) -> DrawnEnsemble:
    """All members of the background or of the analysis.

    Args:
        store: Artifact store.
        job: What is drawn.
        draws: Of the climatology.
        cluster: Where.
        name: `background` or `analysis`.
        before: Pieces of the states that are given, by batch; none where none are.
        recompute: Draw again what is there.
    """
    is_prior = name == departures.BACKGROUND
    known = before or [()] * len(job.batches)
    orders = [
        MembersOrder(store, job, members, draws, is_prior, recompute, pieces)
        for members, pieces in zip(job.batches, known, strict=True)
    ]
    return DrawnEnsemble(job.times, tuple(_batches(draw_members, draw_batch, orders, cluster)))


def filter_ensemble(
    store: str,
    job: FilterJob,
    draws: tuple[Artifact, ...],
    cluster: ClusterSettings | None,
    *,
    recompute: bool,
) -> list[FilteredMembers]:
    """All cycles of all members, a task for each batch of them."""
    orders = [FilterOrder(store, job, members, draws, recompute) for members in job.batches]
    return _batches(filter_members, filter_batch, orders, cluster)


def _batches(
    function: Callable[[_Order], _Drawn],
    one: Callable[[_Order], _Drawn],
    orders: Sequence[_Order],
    cluster: ClusterSettings | None,
) -> list[_Drawn]:
    if cluster is None or (cluster.address is None and cluster.workers == 0):
        return [one(order) for order in orders]
    return on_cluster(function, orders, cluster, "drawing")


@task(cache_policy=NO_CACHE)
def write_fields(
    store: str, product: Product, ensemble: DrawnEnsemble, name: str = "", *, recompute: bool
) -> Artifact:
    """Decode all members and write their fields."""
    return fields.write_fields(ArtifactStore(store), product, ensemble, name, recompute=recompute)


@task(cache_policy=NO_CACHE)
def score(
    store: str, product: Product, written: Artifact, times: pd.DatetimeIndex, *, recompute: bool
) -> Artifact:
    """Score against known states."""
    return verify.score_fields(ArtifactStore(store), product, written, times, recompute=recompute)


@task(cache_policy=NO_CACHE)
def measure_departures(
    store: str, product: Product, ensembles: Mapping[str, DrawnEnsemble], *, recompute: bool
) -> Artifact:
    """Compare members with the observations, used and withheld."""
    return departures.measure_departures(
        ArtifactStore(store), product, ensembles, recompute=recompute
    )


@task(cache_policy=NO_CACHE)
def measure_cycles(
    store: str,
    product: Product,
    job: FilterJob,
    members: Sequence[FilteredMembers],
    *,
    recompute: bool,
) -> Artifact:
    """Compare what each cycle expected and drew with its observations."""
    return departures.measure_cycles(
        ArtifactStore(store), product, job, members, recompute=recompute
    )


@task(cache_policy=NO_CACHE)
def write_report(
    store: str,
    product: Product,
    written: Artifact,
    scores: Artifact,
    compared: Artifact,
    *,
    recompute: bool,
) -> Artifact:
    """Write the page that shows the result, and show its figures in Prefect."""
    page = publish_analysis.write_analysis_report(
        ArtifactStore(store), product, written, scores, compared, recompute=recompute
    )
    show_figures(page, f"{product.kind} from {product.request.time:%Y-%m-%dT%H}")
    return page


@task(cache_policy=NO_CACHE)
def export(
    product: Product, output: str, written: Sequence[Artifact], others: Sequence[Artifact]
) -> str:
    """Copy the results to a folder for a person."""
    return str(publish_analysis.export_analysis(product, Path(output), written, others))


@task(cache_policy=NO_CACHE)
def keep_start(
    store: str, drawing: Drawing, members: DrawnMembers, last: int, *, recompute: bool
) -> Artifact:
    """Keep the states of members that their forecasts start from."""
    return from_observations.keep_start(
        ArtifactStore(store), drawing, members, last, recompute=recompute
    )
