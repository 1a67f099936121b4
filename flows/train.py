"""From the nature run to registered weights: `python -m flows.train --preset small`.

Statistics -> autoencoder -> latents -> denoiser -> a model's folder. Every step is kept in the
store, trainings as checkpoints, so that the same command continues after any interruption.
"""

from __future__ import annotations

import argparse

from flows.cli import new_parser, prepare_environment, run_command


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("train", "Train the networks of a preset on the nature run.")
    add = parser.add_argument
    add("--preset", default="small", help="preset, by name or YAML file (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of weights and batches (default: %(default)s)")
    add("--register", metavar="DIR", help="write the model here (default: models/<preset>)")
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

import pandas as pd  # noqa: E402
from prefect import flow  # noqa: E402

from appa_core.config.presets import Preset, load_preset  # noqa: E402
from appa_core.steps.models import TrainedParts  # noqa: E402
from tasks import learning  # noqa: E402


@flow(name="train", validate_parameters=False)
def train(preset: Preset, store: str, folder: str, seed: int = 0) -> str:
    """Train both networks and register them.

    Args:
        preset: Data, networks and optimisers.
        store: Artifact store.
        folder: Where the model is written.
        seed: Seed of initial weights, batches and noise.

    Returns:
        The model's key.
    """
    chunks = learning.simulate(store, preset, pd.Timestamp(preset.nature.end))
    statistics = learning.fit_statistics(store, preset, chunks)
    autoencoder = learning.fit_autoencoder(store, preset, chunks, statistics, seed)
    latents = learning.encode_states(store, preset, chunks, statistics, autoencoder)
    denoiser = learning.fit_denoiser(store, preset, latents, seed)
    parts = TrainedParts(statistics, autoencoder, latents, denoiser)
    return learning.register(folder, preset, parts)


def _main(arguments: argparse.Namespace) -> None:
    preset = load_preset(arguments.preset)
    folder = arguments.register or f"models/{preset.name}"
    key = train(preset, arguments.store, folder, arguments.seed)
    print(f"model {key} in {folder}; forecast with --model {folder}")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
