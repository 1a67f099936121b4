"""Messages of WMO BUFR (FM 94), decoded by ecCodes: values of elements, subset by subset."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from types import ModuleType
from typing import Any, Self

import numpy as np

from appa_core.errors import DataError, InputError

_START, _END = b"BUFR", b"7777"
_MISSING = (-1e100, 2147483647.0)


def eccodes() -> ModuleType:
    """The library that decodes.

    Raises:
        InputError: It is not installed.
    """
    try:
        return importlib.import_module("eccodes")
    except (ImportError, RuntimeError) as error:  # the latter without its binary part
        raise InputError(
            f"BUFR is read with ecCodes, which is not installed ({error}): "
            "pip install 'appa[bufr]'"
        ) from error


def split_messages(data: bytes, where: str) -> Iterator[bytes]:
    """Messages of a file, whatever bulletin headers stand between them.

    Section 0 of each gives its length; its last four bytes are 7777.

    Raises:
        DataError: A message ends before its end; those before it have been given.
    """
    start = data.find(_START)
    while start >= 0:
        stop = start + int.from_bytes(data[start + 4 : start + 7], "big")
        if stop < start + 12 or data[stop - 4 : stop] != _END:
            raise DataError(
                f"{where}: the BUFR message at byte {start} is truncated or damaged (it says that "
                f"it has {stop - start} bytes, {len(data) - start} are there); fetch it again"
            )
        yield data[start:stop]
        start = data.find(_START, stop)


class Message:
    """One message; use it in a `with` block.

    Args:
        data: Its bytes.

    Raises:
        DataError: It cannot be decoded.
    """

    def __init__(self, data: bytes) -> None:
        self._codes = eccodes()
        with self._explained():
            self._handle = self._codes.codes_new_from_message(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._codes.codes_release(self._handle)

    @cached_property
    def category(self) -> int:
        """Data category, of table A."""
        return int(self._codes.codes_get_long(self._handle, "dataCategory"))

    @cached_property
    def subsets(self) -> int:
        """How many reports it holds."""
        return int(self._codes.codes_get_long(self._handle, "numberOfSubsets"))

    @cached_property
    def template(self) -> tuple[int, ...]:
        """Descriptors of its template, unexpanded."""
        return self._descriptors("unexpandedDescriptors")

    def elements(self) -> frozenset[int]:
        """Descriptors of all elements of its template."""
        return frozenset(self._descriptors("expandedDescriptors"))

    def unpack(self) -> None:
        """Decode its data section, before any value is asked for.

        Raises:
            DataError: It cannot be decoded.
        """
        with self._explained():
            self._codes.codes_set(self._handle, "unpack", 1)

    def first(self, names: Sequence[str], subset: int) -> tuple[str, float]:
        """The first of some elements that has a value in a subset, and it; else NaN."""
        for name in names:
            value = self._one(name, subset)
            if not np.isnan(value):
                return name, value
        return "", float("nan")

    def confidence(self, name: str) -> float:
        """Per cent confidence in the first value of an element (033007), NaN if it is not said."""
        if self._is_compressed or self.subsets > 1:
            return float("nan")
        return self._one(f"{name}->percentConfidence", 0)

    def text(self, name: str, subset: int) -> str:
        """A text, empty if it is missing."""
        found = self._get("codes_get_string_array", self._key(name, subset))
        texts = [str(t).strip(" \0") for t in found]
        text = texts[min(subset, len(texts) - 1) if self._is_compressed else 0] if texts else ""
        return "" if set(text) <= {"\xff"} else text

    def series(self, name: str, subset: int) -> np.ndarray:
        """All values of an element in a subset, in order, (K,); NaN where missing."""
        if not self._is_compressed:
            return _cleaned(self._get("codes_get_double_array", self._key(name, subset)))
        values: list[float] = []
        while len(found := self._get("codes_get_double_array", f"#{len(values) + 1}#{name}")):
            # one value stands for all subsets if they are equal
            values.append(found[subset] if len(found) > 1 else found[0])
        return _cleaned(values)

    def _one(self, name: str, subset: int) -> float:
        """The first value of an element in a subset, NaN if there is none."""
        if self._is_compressed or self.subsets > 1:
            values = self.series(name, subset)
            return float(values[0]) if len(values) else float("nan")
        value = self._get("codes_get_double", f"#1#{name}")
        return float("nan") if value == () or value in _MISSING else float(value)

    @cached_property
    def _is_compressed(self) -> bool:
        return bool(self._codes.codes_get_long(self._handle, "compressedData"))

    def _key(self, name: str, subset: int) -> str:
        if self._is_compressed or self.subsets == 1:
            return name
        return f"/subsetNumber={subset + 1}/{name}"

    def _descriptors(self, key: str) -> tuple[int, ...]:
        with self._explained():
            return tuple(int(d) for d in self._codes.codes_get_long_array(self._handle, key))

    def _get(self, getter: str, key: str) -> Any:
        try:
            return getattr(self._codes, getter)(self._handle, key)
        except self._codes.KeyValueNotFoundError:
            return ()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self._codes.CodesInternalError as error:
            raise DataError(f"a BUFR message cannot be decoded: {error}") from error


def _cleaned(values: Any) -> np.ndarray:
    found = np.array(values, np.float64)
    for missing in _MISSING:
        found[found == missing] = np.nan
    return found
