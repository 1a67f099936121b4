"""Copies of a result in the formats and layouts of other tools."""

from __future__ import annotations

import shutil
from pathlib import Path

from appa_core.errors import InputError
from appa_core.io.ensembles import OpenResult
from appa_core.io.exports import LAYOUTS, cf_dataset, laid_out, write_netcdf, write_zarr_copy
from appa_core.io.grib_writing import write_grib
from appa_core.io.staging import scratch_beside

FORMATS = ("netcdf", "grib", "zarr")
_ZARR_MARKS = ("zarr.json", ".zgroup")


def export_result(result: OpenResult, kind: str, layout: str, output: Path) -> Path:
    """Write a result in another format; what is there is replaced when the new one is whole.

    Args:
        result: What is read.
        kind: One of `FORMATS`.
        layout: One of `LAYOUTS`.
        output: A file; for zarr a folder.

    Returns:
        The output.

    Raises:
        IntegrityError: The result is damaged.
        InputError: There is no such format or layout, the format cannot hold the result, what it
            needs is not installed, or the output cannot be written.
    """
    _check(kind, layout, output)
    result.result.verify()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with scratch_beside(output) as folder:
            written = folder / output.name
            _write(result, kind, layout, written)
            if output.is_dir():
                shutil.rmtree(output)
            written.rename(output)
    except OSError as error:
        raise InputError(f"cannot write {output}: {error}; choose another --output") from error
    return output


def _check(kind: str, layout: str, output: Path) -> None:
    if kind not in FORMATS:
        raise InputError(f"unknown format {kind!r}; there are: {', '.join(FORMATS)}")
    if layout not in LAYOUTS:
        raise InputError(f"unknown layout {layout!r}; there are: {', '.join(LAYOUTS)}")
    if kind == "grib" and layout != "appa":
        raise InputError(f"a layout names dimensions, which GRIB has not; leave --layout {layout}")
    is_zarr = output.is_dir() and any((output / mark).is_file() for mark in _ZARR_MARKS)
    if output.is_dir() and (kind != "zarr" or not is_zarr):
        raise InputError(
            f"--output {output} is a folder that holds something else; name a file"
            if kind != "zarr"
            else f"--output {output} is a folder that holds no zarr store; choose another"
        )
    if kind == "zarr" and output.is_file():
        raise InputError(f"--output {output} is a file; zarr is a folder")


def _write(result: OpenResult, kind: str, layout: str, path: Path) -> None:
    dataset = result.fields.dataset
    if kind == "grib":
        write_grib(result.fields, path)
    elif kind == "netcdf":
        write_netcdf(laid_out(cf_dataset(dataset), layout), path)
    else:
        write_zarr_copy(laid_out(dataset, layout), path, layout)
