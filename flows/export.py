"""A finished result in the formats of other tools.

    python -m flows.export RESULT --format grib --output forecast.grib
    python -m flows.export RESULT --format zarr --layout weatherbench2 --output forecast.zarr

NetCDF follows the CF conventions; GRIB needs the extra `grib`. Results themselves open in
WeatherBench-X as they are; `--layout weatherbench2` gives the names of the older tool.
"""

from __future__ import annotations

import argparse

from flows.cli import local_folder, new_parser, prepare_environment, run_command


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("export", "A finished result in the formats of other tools.")
    add = parser.add_argument
    add("result", metavar="RESULT", type=local_folder, help="folder that a flow has written")
    add("--format", choices=["netcdf", "grib", "zarr"], default="netcdf", dest="kind")
    add(
        "--layout",
        choices=["appa", "weatherbench2"],
        default="appa",
        help="names of dimensions (default: %(default)s)",
    )
    add("--output", required=True, type=local_folder, metavar="PATH", help="file, or zarr folder")
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

from pathlib import Path  # noqa: E402

from prefect import flow  # noqa: E402

from tasks import results  # noqa: E402


@flow(name="export", validate_parameters=False)
def export(result: str, kind: str, output: str, layout: str = "appa") -> Path:
    """Write a finished result in another format.

    Args:
        result: Folder that a flow has written.
        kind: netcdf, grib or zarr.
        output: A file; for zarr a folder.
        layout: appa or weatherbench2.

    Returns:
        The output.

    Raises:
        InputError: Something that was asked for is not possible; nothing has been written.
    """
    return Path(results.export(result, kind, layout, output))


def _main(arguments: argparse.Namespace) -> None:
    path = export(arguments.result, arguments.kind, arguments.output, arguments.layout)
    print(f"{arguments.kind:9} {path}")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
