"""From a source to registered weights: `python -m flows.train --preset small`.

Ingest -> statistics -> autoencoder -> latents -> their statistics -> denoiser -> a model's folder.
Every step is kept in the store, trainings as checkpoints, so that the same command continues
after any interruption. `python -m flows.train autoencoder` stops after the autoencoder.
"""

from __future__ import annotations

import argparse

from flows.cli import (
    add_cluster_options,
    add_launch_options,
    add_source_options,
    local_folder,
    new_parser,
    prepare_environment,
    run_command,
)


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("train", "Train the networks of a preset.")
    add = parser.add_argument
    add(
        "network",
        nargs="?",
        choices=["autoencoder", "denoiser"],
        default="denoiser",
        help="what to train; a denoiser needs an autoencoder, which is trained first unless the "
        "store has it (default: %(default)s)",
    )
    add_source_options(parser)
    add("--seed", type=int, default=0, help="seed of weights and batches (default: %(default)s)")
    add(
        "--register",
        type=local_folder,
        metavar="DIR",
        help="write the model here (default: models/<preset>)",
    )
    add_launch_options(parser)
    add_cluster_options(parser)
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

from pathlib import Path  # noqa: E402
from typing import Literal  # noqa: E402

import pandas as pd  # noqa: E402
from prefect import flow  # noqa: E402

from appa_core.config.presets import Preset, load_preset  # noqa: E402
from appa_core.io.names import absolute_place  # noqa: E402
from appa_core.steps.coder import TrainedCoder  # noqa: E402
from appa_core.steps.encode import EncodeJob  # noqa: E402
from appa_core.steps.models import check_model_folder  # noqa: E402
from appa_core.steps.register import TrainedParts  # noqa: E402
from appa_core.steps.simulate import NATURE  # noqa: E402
from appa_core.steps.worker import TrainingOrder  # noqa: E402
from flows.ingest import ingest  # noqa: E402
from tasks import learning, showing  # noqa: E402
from tasks.cluster import ClusterSettings  # noqa: E402
from tasks.launch import LaunchSettings, in_turn  # noqa: E402


@flow(name="train", validate_parameters=False)
def train(  # noqa: PLR0913
    preset: Preset,
    store: str,
    folder: str,
    *,
    network: Literal["autoencoder", "denoiser"] = "denoiser",
    seed: int = 0,
    source: str = NATURE,
    launch: LaunchSettings | None = None,
    cluster: ClusterSettings | None = None,
    logs: str | None = None,
) -> str | None:
    """Train both networks and register them, or the autoencoder alone.

    Args:
        preset: Data, networks and optimisers.
        store: Artifact store.
        folder: Where the model is written.
        network: `autoencoder` stops after it.
        seed: Seed of initial weights, batches and noise.
        source: Catalog entry, path or URL of the states.
        launch: Where networks are trained.
        cluster: Where blocks are worked on.
        logs: Folder of files for TensorBoard; by default one beside the results.

    Returns:
        The model's key; None after the autoencoder alone.
    """
    cluster, launch = cluster or ClusterSettings(), launch or LaunchSettings()
    logs = logs or f"results/training-{preset.name}"
    start, end = (pd.Timestamp(t) for t in (preset.split.train_start, preset.split.test_start))
    label = f"train-{preset.name}"
    with in_turn(store, launch, label):
        states = ingest(preset, store, source, start, end, cluster=cluster)
        statistics = learning.fit_statistics(store, preset, states, cluster)
    order = TrainingOrder("autoencoder", store, preset, states, statistics, seed)
    autoencoder = learning.fit_network(order, launch, logs)
    coder = TrainedCoder(preset, statistics, autoencoder)
    with in_turn(store, launch, label):
        showing.show_autoencoder(coder, states)
        if network == "autoencoder":
            return None
        latents = learning.encode_states(
            EncodeJob(absolute_place(store), states, coder), start, end, cluster
        )
        reconstruction = learning.fit_reconstruction(store, coder, states)
        latent_statistics = learning.fit_latent_statistics(store, preset, latents)
    order = TrainingOrder("denoiser", store, preset, latents, latent_statistics, seed, coder.key)
    denoiser = learning.fit_network(order, launch, logs)
    parts = TrainedParts(statistics, autoencoder, reconstruction, latent_statistics, denoiser)
    with in_turn(store, launch, label):
        key = learning.register(folder, preset, parts, latents, source)
        showing.show_denoiser(store, folder, preset, states, denoiser)
    return key


def _main(arguments: argparse.Namespace) -> None:
    preset = load_preset(arguments.preset)
    folder = arguments.register or f"models/{preset.name}"
    check_model_folder(Path(folder))
    key = train(
        preset,
        arguments.store,
        folder,
        network=arguments.network,
        seed=arguments.seed,
        source=arguments.source,
        launch=LaunchSettings.of(arguments),
        cluster=ClusterSettings.of(arguments),
        logs=arguments.logs,
    )
    if key is None:
        print(f"the autoencoder of {preset.name} is in {arguments.store}")
    else:
        print(f"model {key} in {folder}; forecast with --model {folder}")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
