"""Observation tables as CSV and Parquet; values in other units are converted.

A column `units` says what `value` and `error_std` are in, row by row; where it is empty they are
in the SI units of their quantity.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from appa_core.errors import DataError, InputError
from appa_core.io.filesystems import file_system, local_path
from appa_core.io.opening import protocol_of
from appa_core.io.readers.batch import Batch, Reader, first_line
from appa_core.io.readers.files import RawFile
from appa_core.io.store import write_atomically
from appa_core.io.units import unit_conversion
from appa_core.observations.table import REQUIRED, ObservationTable
from appa_core.observe.quantities import QUANTITIES

_TEXT = ("quantity", "platform", "station_id", "report_id", "rejected", "units")
#: Says in a Parquet file that its values were checked, and are in SI units.
_MARK = b"appa_observations"
_FORMAT = b"1"


def read_csv(file: RawFile) -> Batch:
    """Rows of a CSV file with a header.

    Raises:
        DataError: It cannot be read, or a unit is none of its quantity.
    """
    try:
        # identifiers are texts, whatever they look like; a text is never missing
        frame = pd.read_csv(
            io.BytesIO(file.data),
            dtype=dict.fromkeys(_TEXT, str),
            keep_default_na=False,
            na_values={name: ["", "NaN", "nan", "NA"] for name in _numeric(file)},
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{file.url} cannot be read as CSV: {error}") from error
    return Batch(in_si(frame, file.url), is_si=False)


def read_parquet(file: RawFile) -> Batch:
    """Rows of a Parquet file.

    Raises:
        DataError: It cannot be read, or a unit is none of its quantity.
    """
    try:
        table = pq.read_table(io.BytesIO(file.data))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{file.url} cannot be read as Parquet, it is truncated or damaged: {error}"
        ) from error
    mark = (table.schema.metadata or {}).get(_MARK)
    return Batch(in_si(table.to_pandas(), file.url), is_si=mark == _FORMAT)


def write_observations(
    table: ObservationTable, url: str, storage_options: Mapping[str, Any] | None = None
) -> None:
    """Write a table as Parquet; read back, it is the same.

    Args:
        table: Observations.
        url: A path or URL that ends in .parquet; what is there is replaced.
        storage_options: For fsspec.

    Raises:
        InputError: It cannot be written there.
    """
    arrow = pa.Table.from_pandas(table.frame, preserve_index=False)
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), _MARK: _FORMAT})
    out = io.BytesIO()
    pq.write_table(arrow, out, compression="zstd")
    try:
        if protocol_of(url) in {"file", "local"}:
            path = local_path(url)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, out.getvalue())
        else:
            fs, path_there = file_system(url, storage_options)
            fs.pipe_file(path_there, out.getvalue())
    except (OSError, ImportError, ValueError) as error:
        raise InputError(f"cannot write observations to {url}: {error}") from error


def in_si(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Rows with values and errors in SI units, by their column `units` if they have one.

    Args:
        frame: Rows; changed if there is something to convert.
        source: Named in errors.

    Raises:
        DataError: A unit is none of its quantity.
    """
    if "units" not in frame or not {"quantity", "value"} <= set(frame.columns):
        return frame
    units = frame["units"].astype(object).where(frame["units"].notna(), "").astype(str)
    for column in {"value", "error_std"} & set(frame.columns):
        frame[column] = _numbers(frame[column], column, source)
    for (name, unit), rows in frame.groupby([frame["quantity"].astype(str), units]):
        if not str(unit).strip() or name not in QUANTITIES:
            continue
        convert = unit_conversion(str(name), f"{source}: {name}", str(unit), _units_of(str(name)))
        frame.loc[rows.index, "value"] = convert(rows["value"].to_numpy(np.float64))
        if "error_std" in frame:
            errors = rows["error_std"].to_numpy(np.float64) * convert.factor
            frame.loc[rows.index, "error_std"] = errors
    return frame


def _units_of(name: str) -> str:
    return QUANTITIES[name].units


def _numbers(column: pd.Series, name: str, source: str) -> pd.Series:
    try:
        return pd.to_numeric(column).astype(np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(f"{source}: column {name} must hold numbers: {error}") from error


def _numeric(file: RawFile) -> list[str]:
    """Columns that are no texts."""
    header = file.data[: 1 << 16].lstrip(b"\xef\xbb\xbf").partition(b"\n")[0]
    names = [name.strip().strip('"') for name in header.decode("utf-8", "replace").split(",")]
    return [name for name in names if name not in _TEXT]


def is_csv(head: bytes) -> bool:
    """Whether a file's first line names columns of an observation table."""
    columns = {name.strip().strip('"') for name in first_line(head).split(",")}
    return len(columns & set(REQUIRED)) >= 3


def is_parquet(head: bytes) -> bool:
    """Whether a file begins as Parquet does."""
    return head.startswith(b"PAR1")


CSV = Reader("observation table as CSV", is_csv, read_csv)
PARQUET = Reader("observation table as Parquet", is_parquet, read_parquet)
