"""Opening sources: where they are, how they are reached, and what is refused."""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import fsspec
import xarray as xr
from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore

from appa_core.errors import DataError, InputError
from appa_core.io.checked_store import CheckedStore, Guard
from appa_core.io.filesystems import file_system, local_path
from appa_core.io.grib import open_grib
from appa_core.io.harmonise import Part
from appa_core.io.retry import Retry, TruncatedError
from appa_core.io.secrets import resolved

Format = Literal["zarr", "netcdf", "grib"]
Accumulation = Literal["hourly", "step"]

# others, such as "reference", can be made to run code or other commands
PROTOCOLS = frozenset(
    {"file", "local", "memory", "http", "https", "gs", "gcs", "s3", "s3a", "az", "abfs", "abfss"}
)
ON_THIS_MACHINE = frozenset({"file", "local", "memory"})


@dataclass(frozen=True)
class SourceSpec:
    """All that a worker needs to open a source; hashable, and safe to send.

    Args:
        name: For messages and provenance.
        format: Of all its files or stores.
        urls: Zarr stores or files that together hold the source: they may follow each other in
            time, or hold different variables or levels. Paths or URLs of `memory`, `http(s)`,
            `gs`, `s3`, `az`, `abfs`. Files that are not on a disk are copied when opened.
        storage_options: For fsspec, as pairs, such as (("token", "anon"),).
        fingerprint: Identity of its content, where it is known.
        accumulation: What `total_precipitation` sums over: the hour that ends at its time, or the
            source's own step.
        time_units: Units of times that have none, such as "hours since 1940-01-01".
        select: Values along further dimensions, as pairs, such as (("number", 0),).

    Raises:
        InputError: A value is none of these.
    """

    name: str
    format: Format
    urls: tuple[str, ...]
    storage_options: tuple[tuple[str, Any], ...] = ()
    fingerprint: str = ""
    accumulation: Accumulation = "hourly"
    time_units: str = ""
    select: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        for value, kind in ((self.format, Format), (self.accumulation, Accumulation)):
            if value not in get_args(kind):
                known = ", ".join(get_args(kind))
                raise InputError(f"source {self.name}: got {value!r}, expected one of {known}")
        if not isinstance(self.urls, tuple) or not self.urls:
            raise InputError(f"source {self.name}: expected a tuple of urls, got {self.urls!r}")
        for url in self.urls:
            if "::" in url or protocol_of(url) not in PROTOCOLS:
                raise InputError(
                    f"source {self.name}: {url} cannot be read; expected a path, or a URL of "
                    f"{', '.join(sorted(PROTOCOLS))}"
                )


@dataclass(frozen=True)
class Opened:
    """What is open.

    Args:
        parts: Datasets of all urls.
        files: NetCDF or GRIB files on this machine, by url.
        faults: Counts failures by kind, those that were overcome too.
    """

    parts: list[Part]
    files: dict[str, Path]
    faults: Counter[str]


def open_parts(spec: SourceSpec, retry: Retry, stack: ExitStack) -> Opened:
    """Open all urls of a source; nothing but coordinates is read.

    Args:
        spec: The source.
        retry: How often to try what is not on this machine.
        stack: Closes what is open.

    Raises:
        InputError: A url is not there, or a package to read it is not installed.
        DataError: It cannot be read, or its coordinates make no sense.
    """
    opened = Opened([], {}, Counter())
    for url in spec.urls:
        is_near = protocol_of(url) in ON_THIS_MACHINE
        patience = retry.once() if is_near else retry
        with _explained(spec, url):
            if spec.format == "zarr":
                datasets, guard = _open_zarr(spec, url, patience, opened.faults, stack)
            else:
                path = _local_file(spec, url, patience, opened.faults, stack)
                opened.files[url] = path
                guard = Guard(retry.once(), opened.faults)
                datasets = _open_file(spec, path, url, guard)
        for dataset in datasets:
            stack.callback(dataset.close)
            part = partial(Part, _selected(dataset, spec, url), url, guard, spec.time_units)
            opened.parts.append(guard.call(url, part))
    return opened


def protocol_of(url: str) -> str:
    """Protocol of a URL; `file` of a path."""
    return str(fsspec.core.split_protocol(url)[0] or "file")


@contextmanager
def _explained(spec: SourceSpec, url: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"source {spec.name}: a package to read {url} is missing: {error}"
        ) from error
    except DataError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise InputError(
                f"source {spec.name}: there is no {spec.format} data at {url}; check the path"
            ) from error
        raise


def request_options(url: str, given: Mapping[str, Any], retry: Retry) -> dict[str, Any]:
    """Options of fsspec for a URL: those given, and a limit to how long a server may be silent."""
    options = {"skip_instance_cache": True, **resolved(given)}
    if protocol_of(url) in {"http", "https"} and "client_kwargs" not in options:
        aiohttp = importlib.import_module("aiohttp")
        seconds = retry.timeout_seconds
        # of silence: a large file may take longer in all
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)
        options["client_kwargs"] = {"timeout": timeout}
    return options


def _open_zarr(
    spec: SourceSpec, url: str, retry: Retry, faults: Counter[str], stack: ExitStack
) -> tuple[list[xr.Dataset], Guard]:
    inner: Store
    if protocol_of(url) in {"file", "local"}:
        inner = LocalStore(local_path(url), read_only=True)
    else:
        options = request_options(url, dict(spec.storage_options), retry)
        inner = FsspecStore.from_url(url, storage_options=options, read_only=True)
    store = CheckedStore(inner, url, retry, faults)
    stack.callback(store.close_session)
    guard = Guard(retry, faults, store)
    with warnings.catch_warnings():
        # on metadata that are not consolidated, and on other files in the folder
        warnings.simplefilter("ignore")
        return [guard.call(url, lambda: _open(store, "zarr"))], guard


def _local_file(
    spec: SourceSpec, url: str, retry: Retry, faults: Counter[str], stack: ExitStack
) -> Path:
    """A file on this machine, a copy if need be."""
    if protocol_of(url) in {"file", "local"}:
        path = local_path(url)
        if not path.is_file():
            raise InputError(f"source {spec.name}: there is no file {url}; check the path")
        return path
    options = request_options(url, dict(spec.storage_options), retry)
    fs, remote = file_system(url, options)
    target = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "copy"

    def copy() -> None:
        fs.get_file(remote, str(target))
        expected, found = fs.size(remote), target.stat().st_size
        if expected is not None and expected != found:
            raise TruncatedError(f"{found} bytes came, expected {expected}")

    retry.call(url, copy, faults)
    return target


def _open(what: Any, engine: str, **options: Any) -> xr.Dataset:
    """A dataset, lazily: times as numbers, packed values and fill values decoded."""
    return xr.open_dataset(
        what,
        engine=engine,
        chunks=None,
        cache=False,
        decode_times=False,
        decode_timedelta=False,
        **options,
    )


def _open_file(spec: SourceSpec, path: Path, url: str, guard: Guard) -> list[xr.Dataset]:
    opener = open_grib if spec.format == "grib" else _open_netcdf
    return guard.call(url, lambda: opener(path, url))


def _open_netcdf(path: Path, url: str) -> list[xr.Dataset]:
    with path.open("rb") as handle:
        magic = handle.read(4)
    if magic[:3] == b"CDF":
        return [_open(path, "scipy")]
    if magic != b"\x89HDF":
        raise DataError(f"{url} is not a NetCDF file: it begins with {magic!r}")
    if importlib.util.find_spec("h5netcdf") is None:
        raise ImportError("h5netcdf; install it")
    return [_open(path, "h5netcdf")]


def _selected(dataset: xr.Dataset, spec: SourceSpec, url: str) -> xr.Dataset:
    """The values along further dimensions that the source's specification names."""
    for name, value in spec.select:
        if name not in dataset.variables or dataset[name].ndim > 1:
            continue
        known = dataset[name].values.reshape(-1).tolist()
        if value not in known:
            raise DataError(
                f"{url} has {name} {', '.join(map(str, known))}, but source {spec.name} selects "
                f"{value!r}"
            )
        if name in dataset.dims:
            dataset = dataset.isel({name: known.index(value)})
    return dataset
