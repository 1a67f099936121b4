"""The whole chain, from states to a scored forecast: `python -m flows.pipeline --preset tiny`.

Ingest -> normalise -> train both networks -> encode -> forecast -> score. Run it again and every
step is found in the store. With `--source nature` the states are simulated first.
"""

from __future__ import annotations

import argparse

from flows.cli import (
    add_cluster_options,
    add_launch_options,
    local_folder,
    new_parser,
    prepare_environment,
    run_command,
)
from flows.server import start_server


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("pipeline", "The whole chain, from states to a scored forecast.")
    add = parser.add_argument
    add("--preset", default="tiny", help="preset, by name or YAML file (default: %(default)s)")
    add("--source", default="sample", help="catalog entry, path or URL (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of everything (default: %(default)s)")
    add(
        "--register",
        type=local_folder,
        metavar="DIR",
        help="write the model here (default: models/<preset>)",
    )
    add("--members", type=int, default=2, help="size of the ensemble (default: %(default)s)")
    add("--lead-hours", type=int, default=48, help="how far to forecast (default: %(default)s)")
    add(
        "--output",
        type=local_folder,
        metavar="DIR",
        help="folder (default: ./results/forecast-<start>-<key>)",
    )
    add_launch_options(parser)
    add_cluster_options(parser)
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

import time  # noqa: E402
from pathlib import Path  # noqa: E402

import pandas as pd  # noqa: E402
from prefect import flow  # noqa: E402

from appa_core.config.presets import Preset, load_preset  # noqa: E402
from appa_core.io.census import added, committed  # noqa: E402
from appa_core.io.store import ArtifactStore  # noqa: E402
from appa_core.steps.models import check_model_folder  # noqa: E402
from appa_core.steps.publish import check_output  # noqa: E402
from flows.forecast import ForecastResult, forecast, print_summary  # noqa: E402
from flows.ingest import ingest  # noqa: E402
from flows.train import train  # noqa: E402
from tasks.cluster import ClusterSettings  # noqa: E402
from tasks.launch import LaunchSettings  # noqa: E402


@flow(name="pipeline", validate_parameters=False)
def pipeline(  # noqa: PLR0913
    preset: Preset,
    store: str,
    folder: str,
    *,
    source: str = "sample",
    seed: int = 0,
    members: int = 2,
    lead_hours: int = 48,
    output: str | None = None,
    launch: LaunchSettings | None = None,
    cluster: ClusterSettings | None = None,
    logs: str | None = None,
) -> ForecastResult:
    """Ingest, train, and forecast from the start of the test period.

    Args:
        preset: Everything about data, networks and sampling.
        store: Artifact store.
        folder: Where the model is written.
        source: Catalog entry, path or URL of the states.
        seed: Seed of weights and of the ensemble.
        members: Size of the ensemble.
        lead_hours: How far to forecast.
        output: Folder of the forecast.
        launch: Where networks are trained.
        cluster: Where blocks are worked on.
        logs: Folder of files for TensorBoard.

    Returns:
        Where the forecast is.
    """
    step = pd.Timedelta(hours=preset.state.step_hours)
    first = pd.Timestamp(preset.split.train_start)
    start = pd.Timestamp(preset.split.test_start) + (preset.sampling.known_states - 1) * step
    end = start + pd.Timedelta(hours=lead_hours) + step
    states = ingest(preset, store, source, first, end, cluster=cluster)
    train(
        preset,
        store,
        folder,
        seed=seed,
        source=source,
        launch=launch,
        cluster=cluster,
        logs=logs,
    )
    return forecast(
        f"{start:%Y-%m-%dT%H}",
        lead_hours=lead_hours,
        members=members,
        seed=seed,
        model=folder,
        source=states,
        store=store,
        output=output,
    )


def _main(arguments: argparse.Namespace) -> None:
    preset, store = load_preset(arguments.preset), ArtifactStore(arguments.store)
    check_model_folder(Path(arguments.register or f"models/{preset.name}"))
    if arguments.output is not None:
        check_output(Path(arguments.output))
    before, server = committed(store), start_server()
    began = time.perf_counter()
    result = pipeline(
        preset,
        arguments.store,
        arguments.register or f"models/{preset.name}",
        source=arguments.source,
        seed=arguments.seed,
        members=arguments.members,
        lead_hours=arguments.lead_hours,
        output=arguments.output,
        launch=LaunchSettings.of(arguments),
        cluster=ClusterSettings.of(arguments),
        logs=arguments.logs,
    )
    print_summary(result)
    after = committed(store)
    made = added(before, after)
    print(f"steps     {made} made, {len(after) - made} reused")
    print(f"took      {time.perf_counter() - began:.1f} s, after {server:.1f} s for the server")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
