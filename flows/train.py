"""From a source to registered weights: `python -m flows.train --preset small`.

Ingest -> statistics -> autoencoder -> latents -> their statistics -> denoiser -> a model's folder.
Every step is kept in the store, trainings as checkpoints, so that the same command continues
after any interruption.
"""

from __future__ import annotations

import argparse

from flows.cli import (
    add_cluster_options,
    add_source_options,
    new_parser,
    prepare_environment,
    run_command,
)


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("train", "Train the networks of a preset.")
    add_source_options(parser)
    add = parser.add_argument
    add("--seed", type=int, default=0, help="seed of weights and batches (default: %(default)s)")
    add("--register", metavar="DIR", help="write the model here (default: models/<preset>)")
    add_cluster_options(parser)
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

import pandas as pd  # noqa: E402
from prefect import flow  # noqa: E402

from appa_core.config.presets import Preset, load_preset  # noqa: E402
from appa_core.steps.coder import TrainedCoder  # noqa: E402
from appa_core.steps.encode import EncodeJob  # noqa: E402
from appa_core.steps.models import TrainedParts  # noqa: E402
from appa_core.steps.simulate import NATURE  # noqa: E402
from flows.ingest import ingest  # noqa: E402
from tasks import learning  # noqa: E402
from tasks.cluster import ClusterSettings  # noqa: E402


@flow(name="train", validate_parameters=False)
def train(
    preset: Preset,
    store: str,
    folder: str,
    *,
    seed: int = 0,
    source: str = NATURE,
    cluster: ClusterSettings | None = None,
) -> str:
    """Train both networks and register them.

    Args:
        preset: Data, networks and optimisers.
        store: Artifact store.
        folder: Where the model is written.
        seed: Seed of initial weights, batches and noise.
        source: Catalog entry, path or URL of the states.
        cluster: Where blocks are worked on.

    Returns:
        The model's key.
    """
    cluster = cluster or ClusterSettings()
    start, end = (pd.Timestamp(t) for t in (preset.split.train_start, preset.split.test_start))
    states = ingest(preset, store, source, start, end, cluster=cluster)
    statistics = learning.fit_statistics(store, preset, states, cluster)
    autoencoder = learning.fit_autoencoder(store, preset, states, statistics, seed)
    job = EncodeJob(store, states, TrainedCoder(preset, statistics, autoencoder))
    latents = learning.encode_states(job, start, end, cluster)
    latent_statistics = learning.fit_latent_statistics(store, preset, latents)
    denoiser = learning.fit_denoiser(store, preset, latents, latent_statistics, seed)
    parts = TrainedParts(statistics, autoencoder, latent_statistics, denoiser)
    return learning.register(folder, preset, parts)


def _main(arguments: argparse.Namespace) -> None:
    preset = load_preset(arguments.preset)
    folder = arguments.register or f"models/{preset.name}"
    key = train(
        preset,
        arguments.store,
        folder,
        seed=arguments.seed,
        source=arguments.source,
        cluster=ClusterSettings.of(arguments),
    )
    print(f"model {key} in {folder}; forecast with --model {folder}")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
