"""One day of a series: observe, draw, decode, score, compare, report, commit."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from appa_core.config.observing import ReportTemplate
from appa_core.config.series import DAY
from appa_core.errors import AbsentError
from appa_core.io.day_ledger import DayRecord
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.observations.table import ObservationTable
from appa_core.steps import departures
from appa_core.steps.drawn import DrawnEnsemble, Piece
from appa_core.steps.fields import Product
from appa_core.steps.observed import ObservedTable
from appa_core.steps.observing import Reader, ReportSource, keep_observations, kept_observations
from appa_core.steps.publish import command_of, described, export_files
from appa_core.steps.publish_analysis import top_names
from appa_core.steps.series import Expected, Link, Series, recorded
from tasks import reanalysing
from tasks.cluster import ClusterSettings
from tasks.reports import read_reports


@dataclass(frozen=True)
class DaySettings:
    """How days are made; no result depends on it.

    Args:
        output: Folder that days are exported to, each into one of its own; None: nowhere.
        cluster: Where members are drawn; in this process if None.
        recompute: Make every step again.
    """

    output: str | None = None
    cluster: ClusterSettings | None = None
    recompute: bool = False


def reader(series: Series, day: pd.Timestamp) -> Reader:
    """What reads the reports that a day hears: those after the last state that it is given."""
    times = series.window(day)

    def read(source: ReportSource) -> ObservationTable:
        table = read_reports(source, series.job, times)
        if series.starts(day) or isinstance(source, ReportTemplate):
            return table
        after = table.rows(np.asarray(table.frame["valid_time"] > times[0]))
        if not len(after):
            raise AbsentError(f"no observation after {times[0]:%Y-%m-%dT%H:%M} UTC")
        return after

    return read


def make_day(
    series: Series, day: pd.Timestamp, link: Link, expected: Expected, how: DaySettings
) -> DayRecord:
    """Make a day and commit it; steps that are there are not made again.

    Args:
        series: Which series.
        day: Which day.
        link: What it starts from.
        expected: What it is made from.
        how: Where, and where to.

    Raises:
        AppaError: It cannot be made; what was made of it stays for the next attempt.
    """
    began = time.perf_counter()
    table = _observe(series, day, how)
    drawn = {
        name: _draw(series, day, link, table, name, how)
        for name in (departures.BACKGROUND, departures.ANALYSIS)
    }
    product = _product(series, day, table)
    made = _publish(series, day, product, drawn, how)
    record = DayRecord(
        day=f"{day:%Y-%m-%d}",
        key=expected.key,
        inputs=expected.inputs,
        previous=link.key,
        artifacts={role: _name(a) for role, a in made.items()},
        pieces=recorded(series.last_pieces(day, drawn[departures.ANALYSIS])),
        digest=made["fields"].digest,
        wall_seconds=round(time.perf_counter() - began, 3),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    series.ledger.add(record)
    return record


def _observe(series: Series, day: pd.Timestamp, how: DaySettings) -> ObservedTable:
    window, read = series.window(day), reader(series, day)
    return reanalysing.observe(series.store, series.job, window, read, recompute=how.recompute)


def _product(series: Series, day: pd.Timestamp, table: ObservedTable) -> Product:
    """What is published of a day, and compared with the rows of its own."""
    own = series.own_rows(day, kept_observations(table.artifact))
    return Product(
        "reanalysis",
        series.request,
        series.job.drawing(table.operator),
        keep_observations(ArtifactStore(series.store), own),
        series.job.truth,
        command_of_days(series, day, day + DAY),
    )


def command_of_days(series: Series, start: pd.Timestamp, end: pd.Timestamp) -> str:
    """The command line that makes some days of a series."""
    words = command_of(series.request, "backfill").replace(
        "flows.backfill", "flows.backfill reanalysis"
    )
    first = f"--start {series.request.start}"
    days = f"--start {start:%Y-%m-%d} --end {end:%Y-%m-%d} --first-day {series.request.start}"
    return words.replace(first, days)


def _publish(
    series: Series,
    day: pd.Timestamp,
    product: Product,
    drawn: dict[str, DrawnEnsemble],
    how: DaySettings,
) -> dict[str, Artifact]:
    store, again = series.store, how.recompute
    states = series.of_day(day, drawn[departures.ANALYSIS])
    read = {name: series.compared(day, ensemble) for name, ensemble in drawn.items()}
    fields = reanalysing.write_fields(store, product, states, recompute=again)
    scores = reanalysing.score(store, product, fields, states.times, recompute=again)
    compared = reanalysing.measure_departures(store, product, read, recompute=again)
    report = reanalysing.write_report(store, product, fields, scores, compared, recompute=again)
    return {
        "fields": fields,
        "scores": scores,
        "departures": compared,
        "report": report,
        "observations": product.observations,
    }


def export_day(series: Series, record: DayRecord, how: DaySettings) -> None:
    """Copy a committed day to a folder for a person, unless it is there."""
    if how.output is None:
        return
    store = ArtifactStore(series.store)
    made = {role: store.get(*name) for role, name in record.artifacts.items()}
    manifest = {
        "request": series.request.hashed(),
        "day": record.day,
        "key": record.key,
        "model": {"name": series.request.model, "key": series.job.model_key},
        "artifacts": described(*made.values()),
    }
    files = [
        (made[role], name)
        for role in ("fields", "scores", "departures", "report")
        for name in top_names(made[role])
    ]
    export_files(Path(how.output) / record.day, manifest, files)


def _draw(
    series: Series,
    day: pd.Timestamp,
    link: Link,
    table: ObservedTable | None,
    name: str,
    how: DaySettings,
) -> DrawnEnsemble:
    """All members of a day, its margins included."""
    drawing = series.job.drawing(None if table is None else table.operator)
    job = series.analysis(day, drawing, None if table is None else table.artifact)
    draws = reanalysing.climatology(series.store, job.climatology, recompute=how.recompute)
    before = pieces_of(series, link, how)
    return reanalysing.draw_ensemble(
        series.store, job, draws, how.cluster, name, before, recompute=how.recompute
    )


def pieces_of(series: Series, link: Link, how: DaySettings) -> tuple[tuple[Piece, ...], ...]:
    """The states that a day is given, by batch of members.

    A link whose states are not there yet is drawn: a spin-up with its observations, a day that
    failed without, as the model goes on from the day before it.
    """
    if link.pieces is not None:
        return link.pieces
    assert link.day is not None
    assert link.before is not None
    of = series.spinning_up(link.day, link.before)
    table, name = None, departures.BACKGROUND
    if link.hears:
        table = _observe(of, link.day, how)
        name = departures.ANALYSIS
    drawn = _draw(of, link.day, link.before, table, name, how)
    return of.last_pieces(link.day, drawn)


def _name(artifact: Artifact) -> tuple[str, str]:
    return str(artifact.manifest["step"]), artifact.key
