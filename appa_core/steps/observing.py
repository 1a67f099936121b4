"""Tables of observations as artifacts, and what of them is kept to verify with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from appa_core.config.build_network import NetworkData
from appa_core.config.observation_errors import ErrorTableConfig, load_error_table
from appa_core.config.observing import (
    STANDARDISED,
    CatalogObservations,
    FileObservations,
    ReportTemplate,
    SimulatedNetwork,
)
from appa_core.errors import InputError
from appa_core.io.hashing import content_key
from appa_core.io.stations import satellites, station_list
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.observations.keyed import keys_of, uniform
from appa_core.observations.table import ObservationTable
from appa_core.steps.simulated_reports import Truth, simulated_reports
from appa_core.steps.step import run_step

OBSERVATIONS = "observations.parquet"
#: Why a row is kept from the assimilation, to verify with.
WITHHELD = "withheld"
#: Platforms that are withheld pass by pass, each of which is a report.
PASSING = frozenset({"orbiter"})
#: Files or an entry of the catalog with real reports, or those that lend a network their places.
ReportSource: TypeAlias = FileObservations | CatalogObservations | ReportTemplate
Reader: TypeAlias = Callable[[ReportSource], ObservationTable]


def observe(
    store: ArtifactStore,
    spec: SimulatedNetwork | FileObservations | CatalogObservations,
    times: pd.DatetimeIndex,
    read: Reader,
    truth: Truth | None = None,
    *,
    recompute: bool = False,
) -> Artifact:
    """Keep the table of what a specification asks for.

    Args:
        store: Where artifacts live.
        spec: What is observed.
        times: Valid times of the states that are to be estimated, a step apart.
        read: Reads real reports.
        truth: Known states, which a simulated network observes.
        recompute: Simulate again even if that was done.

    Returns:
        An artifact for `kept_observations`.

    Raises:
        InputError: A simulated network has no states to observe.
    """
    if not isinstance(spec, SimulatedNetwork):
        return keep_observations(store, read(spec))
    return _simulate(store, spec, times, read, _known(truth), recompute=recompute)


def observed_identity(
    spec: SimulatedNetwork | FileObservations | CatalogObservations,
    times: pd.DatetimeIndex,
    read: Reader,
    truth: Truth | None = None,
) -> str:
    """Hash that changes whenever what `observe` keeps does; nothing is written.

    Args:
        spec: What is observed.
        times: As of `observe`.
        read: Reads real reports.
        truth: Known states, which a simulated network observes.

    Raises:
        InputError: There is nothing to observe at these times.
    """
    if isinstance(spec, SimulatedNetwork):
        known = _known(truth)
        known.source.open().require(times)
        return _simulation(spec, _network_data(spec, read), times, known).key
    return _content(read(spec).frame)


def _known(truth: Truth | None) -> Truth:
    if truth is None:
        raise InputError(
            "a simulated network observes known states: give their source, such as sample"
        )
    return truth


def _simulation(
    network: SimulatedNetwork, data: NetworkData, times: pd.DatetimeIndex, truth: Truth
) -> Recipe:
    errors = _error_table(network)
    return Recipe(
        "simulated-observations",
        1,
        {
            "network": network.hashed(),
            "standardised": network.errors == STANDARDISED,
            "errors": errors.hashed(),
            "start": str(times[0]),
            "states": len(times),
            "step": str(times[1] - times[0]) if len(times) > 1 else "",
        },
        {
            "states": truth.source.identity(times),
            "model": truth.model_key,
            **{name: _content(frame) for name, frame in data.stations.items()},
            **{s.name: content_key([s.first, s.second]) for s in data.satellites.values()},
            "like": " ".join(_content(table.frame) for table in data.like),
        },
        seed=network.seed,
    )


def _simulate(
    store: ArtifactStore,
    network: SimulatedNetwork,
    times: pd.DatetimeIndex,
    read: Reader,
    truth: Truth,
    *,
    recompute: bool,
) -> Artifact:
    truth.source.open().require(times)
    data = _network_data(network, read)
    recipe = _simulation(network, data, times, truth)

    def build(folder: Path) -> Mapping[str, Any]:
        table = simulated_reports(network, data, truth, times, _error_table(network).build())
        return _write(withhold(table, network.withhold, network.seed), folder)

    return run_step(store, recipe, build, recompute=recompute)


def _network_data(network: SimulatedNetwork, read: Reader) -> NetworkData:
    return NetworkData(
        {
            name: station_list(name, location)
            for name, share, location in (
                ("isd", network.isd, network.isd_list),
                ("igra", network.igra, network.igra_list),
            )
            if share > 0
        },
        satellites(network.elements) if network.satellites else {},
        tuple(read(template) for template in network.templates),
    )


def _error_table(network: SimulatedNetwork) -> ErrorTableConfig:
    """What the network names; for real reports without errors the one that ships."""
    return (
        load_error_table() if network.errors == STANDARDISED else load_error_table(network.errors)
    )


def withhold(table: ObservationTable, share: float, seed: int) -> ObservationTable:
    """The table with a share of whole stations, and of whole passes of satellites, withheld.

    Whether a station is withheld follows from its name alone, so that more rows never change it,
    and a larger share withholds those of a smaller one too. Reports without the name of a station
    count as one station at each place.

    Args:
        table: Observations.
        share: Of the stations and passes.
        seed: Another seed withholds others.

    Raises:
        InputError: The share is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise InputError(f"expected a share of stations to withhold of 0 to 1, got {share}")
    frame = table.frame
    passing = frame["platform"].isin(PASSING)
    nameless = frame["station_id"] == ""
    unit = keys_of(
        seed,
        "withhold",
        [
            frame["station_id"].to_numpy(object),
            frame["report_id"].where(passing, "").to_numpy(object),
            *(frame[n].where(nameless, 0.0).to_numpy() for n in ("latitude", "longitude")),
        ],
    )
    return table.reject(uniform(unit) < share, WITHHELD)


def keep_observations(store: ArtifactStore, table: ObservationTable) -> Artifact:
    """Keep a table as it will be assimilated, with what was rejected and why."""
    recipe = Recipe("observations", 1, {"content": _content(table.frame)}, {})

    def build(folder: Path) -> Mapping[str, Any]:
        return _write(table, folder)

    return run_step(store, recipe, build)


def _write(table: ObservationTable, folder: Path) -> Mapping[str, Any]:
    table.frame.to_parquet(folder / OBSERVATIONS, index=False)
    return {"rows": len(table), "used": int(table.is_used.sum())}


def kept_observations(artifact: Artifact) -> ObservationTable:
    """What `keep_observations` or `observe` kept."""
    with artifact.verify().local() as folder:
        frame = pd.read_parquet(folder / OBSERVATIONS)
    # it was checked before it was kept
    text = frame.columns.difference(frame.select_dtypes(["number", "datetime"]).columns)
    return ObservationTable(frame.astype(dict.fromkeys(text, object)))


def _content(frame: pd.DataFrame) -> str:
    """Hash of all values, whatever file holds them."""
    digest = hashlib.sha256()
    for name in frame.columns:
        column = frame[name].to_numpy()
        digest.update(f"{name} {len(column)} ".encode())
        if column.dtype == object:
            texts = [text.encode() for text in column]
            digest.update(np.array([len(text) for text in texts], np.int64).tobytes())
            digest.update(b"".join(texts))
        else:
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:20]


def table_content(table: ObservationTable) -> str:
    """Hash of all values of a table; empty for one without rows."""
    return _content(table.frame) if len(table) else ""
