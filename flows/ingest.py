"""Bring states of any source into the store, harmonised, validated, block by block.

    python -m flows.ingest --source sample --start 2024-01-01 --end 2024-01-08

`--source` is an entry of the catalog (`python -m flows.catalog`) or the path or URL of your own
Zarr, NetCDF or GRIB. The same command again continues, appends, and repairs what is damaged. With
the source `nature` the states are simulated first.
"""

from __future__ import annotations

import argparse

from flows.cli import (
    add_cluster_options,
    local_folder,
    named_values,
    new_parser,
    prepare_environment,
    run_command,
)


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("ingest", "Bring states of any source into the store.")
    add = parser.add_argument
    add("--source", default="nature", help="catalog entry, path or URL (default: %(default)s)")
    add("--start", help="first time, UTC (default: where the preset's training starts)")
    add("--end", help="time before which the states end (default: the nature run's end)")
    add("--preset", default="small", help="preset, by name or YAML file (default: %(default)s)")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a source's parameter")
    add("--no-verify", action="store_true", help="trust the blocks that are there")
    add(
        "--pack",
        type=local_folder,
        metavar="DIR",
        help="also pack the nature run of this period into a folder",
    )
    add_cluster_options(parser)
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

from collections.abc import Mapping  # noqa: E402

import pandas as pd  # noqa: E402
from prefect import flow  # noqa: E402

from appa_core.config.presets import Preset, load_preset  # noqa: E402
from appa_core.config.requests import parse_time  # noqa: E402
from appa_core.errors import InputError  # noqa: E402
from appa_core.io.cds import CdsSource  # noqa: E402
from appa_core.io.cube import Cube  # noqa: E402
from appa_core.io.names import absolute_place  # noqa: E402
from appa_core.steps.ingest import IngestJob  # noqa: E402
from appa_core.steps.simulate import NATURE, nature_source  # noqa: E402
from tasks import learning  # noqa: E402
from tasks.catalog import NatureRun, resolve_source  # noqa: E402
from tasks.cluster import ClusterSettings  # noqa: E402
from tasks.reach import require_reachable  # noqa: E402


@flow(name="ingest", validate_parameters=False)
def ingest(  # noqa: PLR0913
    preset: Preset,
    store: str,
    source: str = NATURE,
    start: pd.Timestamp | None = None,
    end: pd.Timestamp | None = None,
    *,
    cluster: ClusterSettings | None = None,
    verify: bool = True,
    pack: str | None = None,
    parameters: Mapping[str, str] | None = None,
) -> str:
    """Ingest a period; what is there and whole is not read again.

    Args:
        preset: Fields, grid, step, size of blocks.
        store: Artifact store.
        source: Catalog entry, path or URL.
        start: First time; where the preset's training starts if None.
        end: Time before which the states end; that of the nature run if None.
        cluster: Where blocks are worked on.
        verify: Compare the checksums of blocks that are there.
        pack: Folder for a packed sample of the nature run.
        parameters: Of the source; see `resolve_source`.

    Returns:
        URL of the cube of states.

    Raises:
        InputError: The period is not in the source, or the source does not exist.
        DataError: The source's content is not what it should be; whole blocks before it stay.
    """
    start = start or pd.Timestamp(preset.split.train_start)
    found = resolve_source(source, parameters)
    if isinstance(found, NatureRun):
        end = end or pd.Timestamp(preset.simulated().end)
        chunks = learning.simulate(store, preset, end)
        found = nature_source(chunks)
        if pack:
            learning.pack_sample(pack, chunks, start, end)
    elif end is None or pack:
        raise InputError("--pack is for the nature run" if pack else "give --end")
    if isinstance(found, CdsSource):
        found = learning.fetch(found, store, preset, start, end)
    require_reachable(found)
    job = IngestJob(absolute_place(store), found, preset.state.build(), preset.data.block_states)
    return learning.ingest_states(job, start, end, cluster or ClusterSettings(), verify=verify)


def _main(arguments: argparse.Namespace) -> None:
    url = ingest(
        load_preset(arguments.preset),
        arguments.store,
        arguments.source,
        parse_time(arguments.start) if arguments.start else None,
        parse_time(arguments.end) if arguments.end else None,
        cluster=ClusterSettings.of(arguments),
        verify=not arguments.no_verify,
        pack=arguments.pack,
        parameters=named_values(arguments.set),
    )
    cube = Cube.load(url)
    times = cube.times()
    print(f"states    {url}")
    span = f"{times[0]:%Y-%m-%dT%H:%M} to {times[-1]:%Y-%m-%dT%H:%M}"
    print(f"holds     {len(times)} states, {span}")
    print(f"digest    {cube.digest()}")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
