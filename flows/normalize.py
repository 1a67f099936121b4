"""Fit the normalisation on the training period: `python -m flows.normalize --preset small`.

A streaming fit: sums by year, on as many workers as there are, merged in order of time, so that
neither workers nor blocks change the result. With `--model`, also the statistics of the latents
that `flows.encode` made with it, and the background covariance of their trajectories.
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
    parser = new_parser("normalize", "Fit the normalisation on the training period.")
    add_source_options(parser)
    add_cluster_options(parser)
    parser.add_argument(
        "--model", help="registered weights: also fit the statistics of latents made with them"
    )
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

from prefect import flow  # noqa: E402

from appa_core.config.presets import Preset, load_preset  # noqa: E402
from appa_core.io.store import Artifact  # noqa: E402
from appa_core.steps.coder import RegisteredCoder  # noqa: E402
from appa_core.steps.encode import EncodeJob, encoded_states  # noqa: E402
from appa_core.steps.ingest import ingested_states  # noqa: E402
from tasks import learning  # noqa: E402
from tasks.catalog import model_place  # noqa: E402
from tasks.cluster import ClusterSettings  # noqa: E402


@flow(name="normalize", validate_parameters=False)
def normalize(
    preset: Preset, store: str, source: str, *, cluster: ClusterSettings | None = None
) -> Artifact:
    """Fit the normalisation of ingested states.

    Args:
        preset: Periods, fields and kind of normalisation.
        store: Artifact store.
        source: Name of the source that was ingested.
        cluster: Where sums are taken.

    Returns:
        The artifact with the normalisation.

    Raises:
        InputError: States of the training period are absent.
    """
    states = ingested_states(store, source, preset).url
    return learning.fit_statistics(store, preset, states, cluster or ClusterSettings())


@flow(name="normalize-latents", validate_parameters=False)
def normalize_latents(store: str, job: EncodeJob) -> tuple[Artifact, Artifact]:
    """Fit the statistics of encoded states, over the training period of their model.

    Args:
        store: Artifact store.
        job: States and networks; `flows.encode` has made their latents.

    Returns:
        Artifacts with mean and spread by channel, and with the background covariance.

    Raises:
        InputError: Latents of the training period are absent.
    """
    preset, latents = job.coder.preset, encoded_states(job).url
    fitted = learning.fit_latent_statistics(store, preset, latents)
    return fitted, learning.fit_background(store, preset, latents, fitted)


def _main(arguments: argparse.Namespace) -> None:
    fitted = normalize(
        load_preset(arguments.preset),
        arguments.store,
        arguments.source,
        cluster=ClusterSettings.of(arguments),
    )
    for channel, std in fitted.summary["std"].items():
        print(f"{channel:34s} {std:.6g}")
    print(f"\nstatistics  {fitted.url}")
    print(f"of          {fitted.summary['states']} states")
    print(f"digest      {fitted.digest}")
    if arguments.model:
        _latents(arguments)


def _latents(arguments: argparse.Namespace) -> None:
    coder = RegisteredCoder.of(model_place(arguments.model))
    states = ingested_states(arguments.store, arguments.source, coder.preset).url
    for made in normalize_latents(arguments.store, EncodeJob(arguments.store, states, coder)):
        print(f"{made.manifest['step']:18s}{made.url}")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
