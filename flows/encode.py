"""Encode ingested states into latents: `python -m flows.encode --source nature --model small`.

`--report` decodes them again and tells what was lost, channel by channel.
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
    parser = new_parser("encode", "Encode ingested states into latents.")
    add_source_options(parser)
    add = parser.add_argument
    add("--start", help="first time, UTC (default: the first that was ingested)")
    add("--end", help="time before which the states end (default: all that was ingested)")
    add(
        "--model",
        default="small",
        help="registered weights: name, folder or URL of one (default: %(default)s)",
    )
    add("--device", default="cpu", help="cpu, cuda, mps (default: %(default)s)")
    add("--report", metavar="CSV", help="decode again, write errors by channel to a path or URL")
    add("--no-verify", action="store_true", help="trust the blocks that are there")
    add_cluster_options(parser)
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

import pandas as pd  # noqa: E402
from prefect import flow  # noqa: E402

from appa_core.config.presets import load_preset  # noqa: E402
from appa_core.config.requests import parse_time  # noqa: E402
from appa_core.io.cube import Cube  # noqa: E402
from appa_core.steps.coder import RegisteredCoder  # noqa: E402
from appa_core.steps.device import require_device  # noqa: E402
from appa_core.steps.encode import EncodeJob  # noqa: E402
from appa_core.steps.ingest import held_period, ingested_states  # noqa: E402
from tasks import learning  # noqa: E402
from tasks.catalog import model_place  # noqa: E402
from tasks.cluster import ClusterSettings  # noqa: E402


@flow(name="encode", validate_parameters=False)
def encode(
    job: EncodeJob,
    start: pd.Timestamp,
    end: pd.Timestamp,
    *,
    cluster: ClusterSettings | None = None,
    verify: bool = True,
    report: str | None = None,
) -> str:
    """Encode the states of [start, end); what is there, whole and up to date stays.

    Args:
        job: States and networks.
        start: First time.
        end: Time before which the states end.
        cluster: Where blocks are encoded.
        verify: Compare the checksums of blocks that are there.
        report: Path or URL of a CSV file for errors by channel.

    Returns:
        URL of the cube of latents.

    Raises:
        InputError: States of the period are absent.
    """
    cluster = cluster or ClusterSettings()
    url = learning.encode_states(job, start, end, cluster, verify=verify)
    if report:
        learning.measure_reconstruction(job, start, end, cluster, report)
    return url


def _main(arguments: argparse.Namespace) -> None:
    cluster = ClusterSettings.of(arguments)
    if cluster.address is None:
        require_device(arguments.device)
    coder = RegisteredCoder.of(model_place(arguments.model))
    preset = load_preset(arguments.preset)
    states = ingested_states(arguments.store, arguments.source, preset)
    first, stop = held_period(states)
    url = encode(
        EncodeJob(arguments.store, states.url, coder, arguments.device),
        parse_time(arguments.start) if arguments.start else first,
        parse_time(arguments.end) if arguments.end else stop,
        cluster=cluster,
        verify=not arguments.no_verify,
        report=arguments.report,
    )
    if arguments.report:
        table = pd.read_csv(arguments.report)
        print(table.round(4).to_string(index=False))
        print(f"mean rmse_std {table['rmse_std'].mean():.4f}")
    print(f"latents   {url}")
    print(f"digest    {Cube.load(url).digest()}")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
