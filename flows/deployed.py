"""Flows as the Prefect UI shows them: plain parameters with defaults, a form for each.

They check what they are given and call the flows that command lines call. `infra/prefect.yaml`
says how each is deployed; `python -m flows.deploy` registers them all.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from prefect import flow

from appa_core.config.presets import load_preset
from flows.cli import prepare_environment, store_default, watch_if_asked
from flows.evaluate import evaluate, newest_result
from flows.forecast import forecast
from flows.nightly import nightly_ingest, yesterday
from flows.reanalysis import reanalysis
from flows.train import train
from tasks.arrivals import Patience
from tasks.attempts import attempt
from tasks.cluster import ClusterSettings
from tasks.figures import show_files
from tasks.launch import LaunchSettings

prepare_environment(verbose=True)
watch_if_asked()
HOUR = 3600
Method = Literal[
    "mmps", "reanalysis", "sda", "dps", "pigdm", "repaint", "latent-3dvar", "latent-4dvar",
    "4dvar", "es-mda", "twisted-particles", "optimal-interpolation",
]  # fmt: skip
Device = Literal["cpu", "cuda", "mps"]


@flow(name="forecast-job", flow_run_name="forecast from {start}", timeout_seconds=6 * HOUR)
def forecast_job(  # noqa: PLR0913
    start: str = "2024-01-01",
    *,
    lead_hours: int = 120,
    members: int = 8,
    seed: int = 0,
    model: str = "small",
    source: str = "sample",
    observations: str = "",
    method: Method = "reanalysis",
    variables: list[str] | None = None,
    levels: list[int] | None = None,
    region: str = "",
    device: Device = "cpu",
    store: str = "",
    output: str = "",
) -> str:
    """An ensemble forecast, with maps and scores as artifacts.

    Args:
        start: Time of the last known state, UTC, such as 2024-01-01 or 2024-01-01T12.
        lead_hours: How far to forecast.
        members: Size of the ensemble.
        seed: Another seed draws other members.
        model: Name or folder of registered weights.
        source: Catalog entry of states, or the URL of ingested ones.
        observations: What to start from in place of known states, such as
            simulated:stations=0.1,orbiters=3; empty: from known states.
        method: How states are drawn from observations; only with these.
        variables: Variables to write; empty: all.
        levels: Pressure levels to write, in hPa; empty: all.
        region: Box to write, south,north,west,east; empty: the globe.
        device: Where networks run.
        store: Artifact store; empty: APPA_STORE, else ./appa-store.
        output: Folder of the results; empty: below ./results.

    Returns:
        The folder with the results.
    """
    observing: dict[str, Any] = {}
    if observations:
        observing = {"observations": observations, "method": method}
    work = partial(
        forecast, start, lead_hours=lead_hours, members=members, seed=seed, model=model,
        source=source, variables=tuple(variables) if variables else None,
        levels=tuple(levels) if levels else None, region=region or None, device=device,
        store=store or None, output=output or None, **observing,
    )  # fmt: skip
    result = attempt("forecast", work)
    show_files(str(result.output), "forecast")
    return str(result.output)


@flow(
    name="reanalysis-job", flow_run_name="reanalysis {start} to {end}", timeout_seconds=24 * HOUR
)
def reanalysis_job(  # noqa: PLR0913
    start: str = "2024-01-01",
    end: str = "2024-01-04",
    *,
    observations: str = "simulated:stations=0.05,orbiters=1",
    method: Method = "reanalysis",
    members: int = 8,
    seed: int = 0,
    model: str = "small",
    withhold: float = 0.1,
    truth: str = "",
    device: Device = "cpu",
    workers: int = 0,
    dask_address: str = "",
    store: str = "",
    output: str = "",
) -> str:
    """The states of a period given its observations, in one piece.

    Args:
        start: Time of the first state, UTC.
        end: Time before which they end.
        observations: A simulated network, a catalog entry, or files.
        method: How states are drawn.
        members: Size of the ensemble.
        seed: Another seed draws other members.
        model: Name or folder of registered weights.
        withhold: Share of stations that is kept apart, to verify with.
        truth: Catalog entry of known states to score against; empty: none, or what a simulated
            network observes.
        device: Where networks run.
        workers: Processes that draw members side by side; 0: none.
        dask_address: Scheduler of a running Dask cluster to use instead; empty: none.
        store: Artifact store; empty: APPA_STORE, else ./appa-store.
        output: Folder of the results; empty: below ./results.

    Returns:
        The folder with the results.
    """
    work = partial(
        reanalysis, start, end, observations, method=method, members=members, seed=seed,
        model=model, withhold=withhold, truth=truth, device=device, store=store or None,
        output=output or None, cluster=ClusterSettings(dask_address or None, workers),
    )  # fmt: skip
    result = attempt("reanalysis", work)
    show_files(str(result.output), "reanalysis")
    return str(result.output)


@flow(name="evaluation-job", timeout_seconds=24 * HOUR)
def evaluation_job(  # noqa: PLR0913
    results: list[str] | None = None,
    *,
    against: list[str] | None = None,
    truth: str = "",
    regions: list[str] | None = None,
    events: list[str] | None = None,
    resamples: int = 1000,
    device: Device = "cpu",
    workers: int = 0,
    dask_address: str = "",
    store: str = "",
    output: str = "",
) -> str:
    """Scores with intervals, calibration, physics and spectra of finished results.

    Args:
        results: Folders of results on the worker's machine, pooled over their dates; empty: the
            newest below ./results.
        against: Folders of another run's results to compare with.
        truth: Catalog entry of known states; empty: those that the results name.
        regions: Such as tropics, or south,north,west,east; empty: tropics, both extratropics.
        events: Such as 2m_temperature>303.15; empty: none.
        resamples: Draws of dates.
        device: Where the autoencoder runs.
        workers: Processes that score pieces side by side; 0: none.
        dask_address: Scheduler of a running Dask cluster to use instead; empty: none.
        store: Artifact store; empty: APPA_STORE, else ./appa-store.
        output: Folder of the tables; empty: `evaluation` in the result, if it is one.

    Returns:
        The folder with the tables.
    """
    work = partial(
        evaluate, results or newest_result(), against=against or (), truth=truth, device=device,
        store=store or None, output=output or None, regions=tuple(regions or ()),
        events=tuple(events) if events else None, resamples=resamples,
        cluster=ClusterSettings(dask_address or None, workers),
    )  # fmt: skip
    tables = attempt("evaluation", work).output
    show_files(str(tables), "evaluation")
    return str(tables)


@flow(name="nightly-ingest-job", timeout_seconds=20 * HOUR)
def nightly_ingest_job(  # noqa: PLR0913
    source: str = "sample",
    *,
    preset: str = "small",
    day: str = "",
    look_back_days: int = 7,
    wait_hours: float = 6.0,
    workers: int = 0,
    dask_address: str = "",
    store: str = "",
) -> str:
    """Yesterday's states, and those of the days before that changed.

    Args:
        source: Catalog entry, path or URL of states.
        preset: By name or YAML file.
        day: Which day; empty: yesterday, UTC.
        look_back_days: Days before that are seen to again.
        wait_hours: Longest wait for the day's states.
        workers: Processes that read blocks; 0: none.
        dask_address: Scheduler of a running Dask cluster to use instead; empty: none.
        store: Artifact store; empty: APPA_STORE, else ./appa-store.

    Returns:
        URL of the cube of states.
    """
    work = partial(
        nightly_ingest, load_preset(preset), store_default(store), source, day or yesterday(),
        look_back_days=look_back_days, patience=Patience(wait_hours),
        cluster=ClusterSettings(dask_address or None, workers),
    )  # fmt: skip
    return attempt("nightly ingest", work)


@flow(name="training-job", flow_run_name="training of {preset}", timeout_seconds=14 * 24 * HOUR)
def training_job(  # noqa: PLR0913
    preset: str = "tiny",
    *,
    source: str = "sample",
    network: Literal["autoencoder", "denoiser"] = "denoiser",
    seed: int = 0,
    folder: str = "",
    device: Literal["cpu", "cuda"] = "cpu",
    nproc: int = 1,
    workers: int = 0,
    dask_address: str = "",
    store: str = "",
) -> str:
    """Train the networks of a preset and register the model.

    Args:
        preset: By name or YAML file.
        source: Catalog entry, path or URL of states.
        network: Stop after the autoencoder, or train the denoiser too.
        seed: Of weights and batches.
        folder: Of the model; empty: models/<preset>.
        device: Where networks are trained: a GPU a process with cuda.
        nproc: Training processes.
        workers: Processes that read blocks; 0: none.
        dask_address: Scheduler of a running Dask cluster to use instead; empty: none.
        store: Artifact store; empty: APPA_STORE, else ./appa-store.

    Returns:
        The model's key; empty after the autoencoder alone.
    """
    settings = load_preset(preset)
    work = partial(
        train, settings, store_default(store), folder or f"models/{settings.name}",
        network=network, seed=seed, source=source,
        launch=LaunchSettings(nproc=nproc, device=device),
        cluster=ClusterSettings(dask_address or None, workers),
    )  # fmt: skip
    return attempt("training", work) or ""
