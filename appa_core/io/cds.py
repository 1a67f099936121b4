"""ERA5 from the Climate Data Store: requests in pieces, kept as GRIB files with checksums.

The client is `cdsapi`, with the user's own key: https://cds.climate.copernicus.eu/how-to-api.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

from appa_core.errors import DataError, InputError
from appa_core.io.datasets import Times
from appa_core.io.grib import count_messages, has_preliminary_states
from appa_core.io.hashing import content_key, file_sha256
from appa_core.io.opening import SourceSpec
from appa_core.io.retry import Retry, is_of_reading
from appa_core.io.store import write_atomically
from appa_core.schema import StateSchema

API_URL = "https://cds.climate.copernicus.eu/api"
HOW_TO = "https://cds.climate.copernicus.eu/how-to-api"

Split = Literal["day", "month"]

_RAIN = "total_precipitation"
_RAIN_6H = "total_precipitation_6hr"
_DAY_SECONDS = 24 * 3600.0
#: Final states replace a month's preliminary ones about two months after its end.
_FINAL_AFTER = pd.Timedelta(days=60)
_RETRY = Retry(attempts=3)


class Client(Protocol):
    """What is needed of `cdsapi.Client`."""

    def retrieve(self, name: str, request: dict[str, Any], target: str) -> Any:
        """Download what a request to a dataset yields into a file."""


@dataclass(frozen=True)
class CdsRequest:
    """Fields of some days of one month: what one GRIB file holds.

    Args:
        dataset: Name of the dataset on the CDS.
        variables: ERA5 names.
        days: Dates of one month, ascending.
        hours: UTC, of every day.
        levels: Pressure in hPa; empty at the surface.
    """

    dataset: str
    variables: tuple[str, ...]
    days: tuple[pd.Timestamp, ...]
    hours: tuple[int, ...]
    levels: tuple[int, ...] = ()

    @property
    def body(self) -> dict[str, Any]:
        """The request as the CDS takes it."""
        levels = {"pressure_level": [str(x) for x in self.levels]} if self.levels else {}
        return {
            "product_type": ["reanalysis"],
            "variable": list(self.variables),
            "year": [f"{self.days[0]:%Y}"],
            "month": [f"{self.days[0]:%m}"],
            "day": [f"{day:%d}" for day in self.days],
            "time": [f"{hour:02}:00" for hour in self.hours],
            **levels,
            "data_format": "grib",
            "download_format": "unarchived",
        }

    @property
    def fields(self) -> int:
        """How many fields it yields, one GRIB message each."""
        axes = (self.variables, self.levels or (0,), self.days, self.hours)
        return math.prod(map(len, axes))

    @property
    def path(self) -> str:
        """Where its file lies in a cache, by its content."""
        span = f"{self.days[0]:%Y%m%d}-{self.days[-1]:%Y%m%d}"
        return f"{self.dataset}/{self.days[0]:%Y}/{span}-{content_key(self.body)[:12]}.grib"


@dataclass(frozen=True)
class CdsSource:
    """A source of states that is downloaded piece by piece.

    Args:
        name: For messages and provenance.
        surface: Dataset of surface variables.
        upper_air: Dataset of variables on pressure levels.
        split: What one request spans at most.
        cache: Folder for the files; a folder of the artifact store if empty.
    """

    name: str
    surface: str = "reanalysis-era5-single-levels"
    upper_air: str = "reanalysis-era5-pressure-levels"
    split: Split = "month"
    cache: str = ""

    def requests(self, schema: StateSchema, times: Times) -> list[CdsRequest]:
        """What to ask for to read a schema's states at times (T,): whole days; rain all hours."""
        index = pd.DatetimeIndex(times)
        hours = tuple(sorted({int(h) for h in index.hour}))
        aloft = {c.variable for c in schema.channels if c.level is not None}
        rain = {_RAIN, _RAIN_6H} & set(schema.variables)
        upper = tuple(v for v in schema.variables if v in aloft)
        surface = tuple(v for v in schema.variables if v not in aloft | rain)
        pieces = self._pieces(index)
        parts = [CdsRequest(self.surface, surface, d, hours) for d in pieces if surface]
        parts += [
            CdsRequest(self.upper_air, upper, d, hours, schema.levels) for d in pieces if upper
        ]
        if rain:
            sums = 6 if _RAIN_6H in rain else schema.step_hours
            first = index - pd.Timedelta(hours=sums - 1)
            pieces = self._pieces(index.union(first))
            parts += [CdsRequest(self.surface, (_RAIN,), d, tuple(range(24))) for d in pieces]
        return parts

    def fetch(
        self,
        schema: StateSchema,
        times: Times,
        cache: str | os.PathLike[str],
        client: Client | None = None,
    ) -> SourceSpec:
        """Download what is not in the cache yet, and say how to open it all.

        Args:
            schema: Variables, levels and step.
            times: UTC (T,).
            cache: Folder on this machine.
            client: A `cdsapi.Client`; one with the user's key if None.

        Raises:
            InputError: No times, no key, no package, or a cache that is not on this machine.
            DataError: The CDS did not deliver what was asked for.
        """
        if not len(times):
            raise InputError(f"no times of source {self.name} were asked for")
        files = fetch(self.requests(schema, times), cache, client)
        return SourceSpec(
            self.name,
            "grib",
            tuple(str(path) for path, _ in files),
            # of the datasets alone: each period has files of its own
            fingerprint=content_key([self.surface, self.upper_air]),
        )

    def _pieces(self, times: pd.DatetimeIndex) -> list[tuple[pd.Timestamp, ...]]:
        """Dates of some times, by day or by month."""
        days = sorted(set(times.normalize()))
        width = "%Y-%m-%d" if self.split == "day" else "%Y-%m"
        return [tuple(group) for _, group in groupby(days, lambda day: day.strftime(width))]


def fetch(
    requests: Iterable[CdsRequest],
    cache: str | os.PathLike[str],
    client: Client | None = None,
    retry: Retry = _RETRY,
) -> list[tuple[Path, str]]:
    """Files of requests, in their order, and their SHA-256; raises as `CdsSource.fetch` does.

    A file in the cache is taken if it has the checksum beside it (in the form of `sha256sum`);
    one that is damaged or was left half-way is fetched again. So is one with preliminary states
    (ERA5T) once there should be final ones, at most once a day.
    """
    text = os.fspath(cache).removeprefix("file://")
    if "://" in text:
        raise InputError(
            f"GRIB cannot be kept at {text}; give a folder on this machine: --set cache=DIR, one "
            "that all Dask workers share"
        )
    files = []
    for request in requests:
        path = Path(text).absolute() / request.path
        digest = _known_digest(path)
        if digest is None or _is_outdated(path, request):
            client = client or _default_client()
            digest = _download(request, path, client, retry)
        files.append((path, digest))
    return files


def _is_outdated(path: Path, request: CdsRequest) -> bool:
    """Whether a file has preliminary states of which there should be final ones by now."""
    fetched = path.stat().st_mtime
    final = request.days[-1] + pd.offsets.MonthEnd(0) + _FINAL_AFTER
    # what was fetched long after that cannot be preliminary, and need not be read
    could_be = fetched < (final + _FINAL_AFTER).timestamp()
    is_due = time.time() > max(final.timestamp(), fetched + _DAY_SECONDS)
    return could_be and is_due and has_preliminary_states(path)


def obstacle() -> str:
    """What this machine lacks to use the CDS, apart from a network; empty if nothing."""
    if importlib.util.find_spec("cdsapi") is None:
        return "needs the package cdsapi: pip install cdsapi"
    if "CDSAPI_KEY" not in os.environ and not _settings().is_file():
        return f"needs your key in ~/.cdsapirc or CDSAPI_KEY: {HOW_TO}"
    return ""


def _settings() -> Path:
    return Path(os.environ.get("CDSAPI_RC", "~/.cdsapirc")).expanduser()


def _default_client() -> Client:
    if problem := obstacle():
        raise InputError(f"the Climate Data Store cannot be asked: it {problem}")
    # None: as the user has set it
    url = None if "CDSAPI_URL" in os.environ or _settings().is_file() else API_URL
    try:
        cdsapi = importlib.import_module("cdsapi")
        client: Client = cdsapi.Client(url=url, quiet=True, progress=False)
    except Exception as error:  # it raises bare ones
        raise InputError(
            f"cdsapi cannot be used: {error}; set up ~/.cdsapirc as described at {HOW_TO}"
        ) from error
    return client


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _known_digest(path: Path) -> str | None:
    """The checksum of a file in the cache; None if it is not there, or not whole."""
    if not (path.is_file() and _sidecar(path).is_file()):
        return None
    digest = file_sha256(path)
    return digest if _sidecar(path).read_text("utf-8").split()[:1] == [digest] else None


def _download(request: CdsRequest, path: Path, client: Client, retry: Retry) -> str:
    """Fetch a file: it moves into place when it is whole, its checksum follows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(".*.part"):  # of killed downloads
        if time.time() - leftover.stat().st_mtime > _DAY_SECONDS:
            leftover.unlink(missing_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    what = f"{', '.join(request.variables)} of {request.days[0]:%Y-%m-%d} from the CDS"

    def attempt() -> None:
        partial.unlink(missing_ok=True)
        try:
            client.retrieve(request.dataset, request.body, str(partial))
        except Exception as error:
            if is_of_reading(error):
                raise
            raise OSError(str(error)) from error
        _require_whole(partial, request)

    try:
        retry.call(what, attempt, Counter())
        digest = file_sha256(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    write_atomically(_sidecar(path), f"{digest}  {path.name}\n")
    return digest


def _require_whole(path: Path, request: CdsRequest) -> None:
    found = count_messages(path)
    if found != request.fields:
        raise DataError(
            f"the CDS delivered {found} fields of {', '.join(request.variables)} for "
            f"{request.days[0]:%Y-%m-%d} to {request.days[-1]:%Y-%m-%d}, expected "
            f"{request.fields}; choose days that ERA5 has in full: 1940 to about a week ago"
        )
