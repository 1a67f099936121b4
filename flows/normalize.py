"""Fit the normalisation on the training period: `python -m flows.normalize --preset small`.

A streaming fit: sums by year, on as many workers as there are, merged in order of time, so that
neither workers nor blocks change the result.
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
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

from prefect import flow  # noqa: E402

from appa_core.config.presets import Preset, load_preset  # noqa: E402
from appa_core.io.store import Artifact  # noqa: E402
from appa_core.steps.ingest import ingested_states  # noqa: E402
from tasks import learning  # noqa: E402
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


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
