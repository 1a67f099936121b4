"""Variables of a MADIS file: numbers, texts, times, and what its quality control says of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

#: QC summary values that say not to use a value; the others are of checks passed or not made
#: (attributes `DD_value_*` and `QCStage_value_*` of the files).
_FAILED = {
    "X": "file: failed QC stage 1",
    "Q": "file: failed QC stage 2 or 3",
    "k": "file: failed QC stage 4",
    "B": "file: on reject list",
}
_FAILED_ANY = "file: failed QC"
# the year 2242: beyond are fill values
_LAST_SECOND = 2**33


def numbers(dataset: xr.Dataset, name: str) -> np.ndarray:
    """Values in double precision, NaN where there is none."""
    return np.asarray(dataset[name].values, np.float64)


def texts(dataset: xr.Dataset, name: str) -> np.ndarray:
    """Strings (N,) object, without the blanks and zeros that fill them up."""
    values = np.asarray(dataset[name].values)
    if values.dtype.kind in "iu":  # letters kept as numbers
        values = values.astype(np.uint8).view("S1")
    values = values.astype("S")
    return np.char.strip(np.char.decode(values, "latin-1"), " \0").astype(object)


def times(dataset: xr.Dataset, name: str) -> pd.Series:
    """Times from seconds since 1970; none where they are fill values."""
    seconds = pd.Series(numbers(dataset, name))
    return pd.to_datetime(seconds.where(seconds.between(0, _LAST_SECOND)), unit="s")


def flags(dataset: xr.Dataset, name: str) -> np.ndarray:
    """Why not to use the values of a variable, (its shape) object; empty where nothing is said.

    A file has a summary (`<name>DD`), the bits of checks that failed (`<name>QCR`), or neither.
    """
    if f"{name}DD" in dataset:
        codes = texts(dataset, f"{name}DD")
        reasons = np.full(codes.shape, "", object)
        for code, reason in _FAILED.items():
            reasons[codes == code] = reason
        return reasons
    if f"{name}QCR" in dataset:
        failed = np.nan_to_num(numbers(dataset, f"{name}QCR")) != 0
        return np.where(failed, _FAILED_ANY, "").astype(object)
    return np.full(dataset[name].shape, "", object)


def first_flag(*of: np.ndarray) -> np.ndarray:
    """The first reason of several arrays of them, element by element."""
    found = of[0]
    for other in of[1:]:
        found = np.where(found == "", other, found)
    return found
