"""Read and control observations: numbers by platform and reason, and a table in Parquet.

    python -m flows.observations 'reports/*.nc.gz' --output table.parquet

The source is a file, a pattern, a folder or a URL, of any format in docs/observations.md, or an
entry of the catalog (`python -m flows.catalog`) with its parameters. Checks that need a model are
made when one is named.
"""

from __future__ import annotations

import argparse

from flows.cli import named_values, new_parser, prepare_environment, run_command


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("observations", "Read and control observations.")
    add = parser.add_argument
    add("source", metavar="SOURCE", help="file, pattern, folder, URL or catalog entry")
    add("--start", help="first valid time, UTC (default: all)")
    add("--end", help="last valid time, UTC (default: all)")
    add("--output", metavar="FILE", help="write all rows, with their reasons, as Parquet")
    add("--control", default="default", help="checks, by name or YAML file (default: %(default)s)")
    add("--model", help="registered model, whose climatology tells unusual values")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a source's parameter")
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

import pandas as pd  # noqa: E402
from prefect import flow  # noqa: E402

from appa_core.config.control import ControlConfig, load_control  # noqa: E402
from appa_core.config.requests import parse_time  # noqa: E402
from appa_core.errors import InputError  # noqa: E402
from appa_core.steps.observations import ObservationSource  # noqa: E402
from tasks.catalog import model_folder, resolve_observations  # noqa: E402
from tasks.observing import ControlSummary, control_observations  # noqa: E402


@flow(name="observations", validate_parameters=False)
def observations(
    source: ObservationSource,
    control: ControlConfig,
    start: pd.Timestamp | None = None,
    end: pd.Timestamp | None = None,
    *,
    model: str | None = None,
    output: str | None = None,
) -> ControlSummary:
    """Read and control observations.

    Args:
        source: Where they are.
        control: Checks.
        start: First valid time; no limit if None.
        end: Last valid time; no limit if None.
        model: Folder of a model whose climatology unusual values are told by.
        output: Parquet file for all rows.

    Returns:
        How many rows are used, and why others are not.

    Raises:
        InputError: A source, a table or a period is not what it should be.
        DataError: A file cannot be read.
    """
    if start is not None and end is not None and end < start:
        raise InputError(f"--end {end} lies before --start {start}")
    return control_observations(source, control, (start, end), model, output)


def _main(arguments: argparse.Namespace) -> None:
    found = observations(
        resolve_observations(arguments.source, named_values(arguments.set)),
        load_control(arguments.control),
        parse_time(arguments.start) if arguments.start else None,
        parse_time(arguments.end) if arguments.end else None,
        model=str(model_folder(arguments.model)) if arguments.model else None,
        output=arguments.output,
    )
    print(found.counts)
    if found.unreadable:
        print(f"\nnot readable as rows\n{found.unreadable}")
    if found.left_out:
        print(f"\nleft out  {', '.join(found.left_out)}: they need to know more")
    print(f"\nfiles     {found.files}")
    print(f"rows      {found.rows}, {found.used} of them used")
    if found.output:
        print(f"table     {found.output}")
    if found.used == 0:
        raise InputError("no observation is left after control; see their reasons above")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
