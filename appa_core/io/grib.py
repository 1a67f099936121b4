"""GRIB files: opened without indices beside them, counted, and asked which states are preliminary.

In ERA5's files the experiment version of ECMWF's local section tells: 1 is final, 5 is ERA5T,
which later states replace.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from appa_core.errors import DataError
from appa_core.io.retry import TruncatedError

_PRELIMINARY = {"0005", "5"}


def open_grib(path: Path, url: str) -> list[xr.Dataset]:
    """The datasets of a file, lazily; times are numbers or datetimes, nothing is indexed on disk.

    Where it has preliminary states, attributes say until when they are final: `valid_time_stop`,
    and `valid_time_stop_era5t` for the last of all, as in ARCO-ERA5.

    Args:
        path: On this machine.
        url: Where it came from, for messages.

    Raises:
        DataError: It is no GRIB file.
        ImportError: cfgrib or ecCodes are not installed.
    """
    with path.open("rb") as handle:
        magic = handle.read(4)
    if magic != b"GRIB":
        raise DataError(f"{url} is not a GRIB file: it begins with {magic!r}")
    try:
        cfgrib = importlib.import_module("cfgrib")
        variables = importlib.import_module("cfgrib.xarray_store")
    except (ImportError, RuntimeError) as error:  # the latter without the library of ecCodes
        raise ImportError("cfgrib with eccodes; install them") from error
    # without an index file, which would be a pickle; a damaged message is an error
    options = {"indexpath": "", "errors": "raise", "time_dims": ("valid_time",)}
    try:
        datasets: list[xr.Dataset] = [_open(path, options)]
    except cfgrib.DatasetBuildError:
        # variables that do not share their coordinates: one dataset each
        datasets = variables.open_variable_datasets(
            str(path), backend_kwargs=options, cache=False, decode_timedelta=False
        )
    attributes = _validity(path)
    return [dataset.assign_attrs(attributes) for dataset in datasets]


def _open(path: Path, options: dict[str, Any]) -> xr.Dataset:
    return xr.open_dataset(
        path,
        engine="cfgrib",
        chunks=None,
        cache=False,
        decode_times=False,
        decode_timedelta=False,
        backend_kwargs=options,
    )


def _validity(path: Path) -> dict[str, str]:
    """Until when states are final, and preliminary; empty if all are final."""
    preliminary, last = None, pd.Timestamp.min
    for version, time in _versions(path):
        last = max(last, time)
        if version in _PRELIMINARY:
            preliminary = time if preliminary is None else min(preliminary, time)
    if preliminary is None:
        return {}
    return {
        "valid_time_stop": (preliminary - pd.Timedelta(seconds=1)).isoformat(),
        "valid_time_stop_era5t": last.isoformat(),
    }


def has_preliminary_states(path: Path) -> bool:
    """Whether any message of a file is preliminary; ImportError without ecCodes."""
    return any(version in _PRELIMINARY for version, _ in _versions(path))


def _versions(path: Path) -> Iterator[tuple[str, pd.Timestamp]]:
    """Experiment version and valid time of each message, by its header; none if it has none."""
    eccodes = importlib.import_module("eccodes")
    with path.open("rb") as handle:
        while (message := eccodes.codes_grib_new_from_file(handle, headers_only=True)) is not None:
            try:
                if not eccodes.codes_is_defined(message, "expver"):
                    return  # not of ECMWF
                day, clock = (
                    eccodes.codes_get_long(message, f"validity{part}") for part in ("Date", "Time")
                )
                version = eccodes.codes_get_string(message, "expver")
            finally:
                eccodes.codes_release(message)
            yield version, pd.Timestamp(f"{day:08d}T{clock:04d}")


def count_messages(path: Path) -> int:
    """Number of messages in a file, by their lengths; nothing is decoded.

    Raises:
        DataError: It is no GRIB file.
        TruncatedError: It ends within a message, or has none.
    """
    end, start, count = path.stat().st_size, 0, 0
    with path.open("rb") as handle:
        while start < end or not count:
            handle.seek(start)
            head = handle.read(16)
            if head[:4] != b"GRIB"[: len(head)]:
                raise DataError(f"the CDS sent {head[:8]!r} at byte {start}, expected GRIB")
            span = slice(4, 7) if head[7:8] == b"\x01" else slice(8, 16)
            size = int.from_bytes(head[span], "big")
            start += size
            handle.seek(max(start - 4, 0))
            if size < 16 or start > end or handle.read(4) != b"7777":
                raise TruncatedError(f"message {count + 1} is cut off: {end} bytes came")
            count += 1
    return count
