"""Finding data and models by name. The only module that uses intake.

A catalog is data, never code: it is held against what `catalog_format` allows before intake is
even imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from glob import glob
from importlib.resources import files
from pathlib import Path
from typing import Any, cast, get_args

from appa_core.config.named import parse_yaml
from appa_core.errors import InputError, IntegrityError
from appa_core.io.archives import is_cube
from appa_core.io.cds import CdsSource, Split
from appa_core.io.cube import Cube
from appa_core.io.hashing import content_key
from appa_core.io.opening import Accumulation, Format
from appa_core.io.places import folder_here, is_url
from appa_core.io.readers.reading import AUTO
from appa_core.io.secrets import redacted
from appa_core.io.sources import SourceSpec
from appa_core.io.store import MANIFEST
from appa_core.steps.forecast import StateSource
from appa_core.steps.observations import ObservationSource
from appa_core.steps.sample import verify_sample
from appa_core.steps.simulate import STATES
from tasks.catalog_format import (
    DATATYPES,
    Catalog,
    Cds,
    Nature,
    read_catalog,
    read_weights,
)
from tasks.reach import Place

STATES_CATALOG, MODELS_CATALOG = "states.yaml", "models.yaml"
OBSERVATIONS_CATALOG = "observations.yaml"

_SUFFIXES = {
    **dict.fromkeys((".zarr", ".zarr-v2", ".zarr-v3"), "zarr"),
    **dict.fromkeys((".nc", ".nc3", ".nc4", ".netcdf", ".cdf"), "netcdf"),
    **dict.fromkeys((".grib", ".grib1", ".grib2", ".grb", ".grb1", ".grb2"), "grib"),
}
_OF_REPORTS = ("format", "storage.<option>")
_OF_FILES = ("format", "accumulation", "time_units", "select.<dimension>", "storage.<option>")


@dataclass(frozen=True)
class NatureRun:
    """The nature run, which is simulated on demand.

    Args:
        name: Catalog entry.
    """

    name: str


def catalog_folder() -> Path:
    """The folder of the catalogs that come with the project."""
    return Path(str(files("catalogs")))


def resolve_source(
    name: str, parameters: Mapping[str, str] | None = None, folder: Path | None = None
) -> SourceSpec | CdsSource | NatureRun:
    """What to open for a source of states.

    Args:
        name: An entry of `states.yaml`; a packed sample's folder; or files: a path, pattern or
            URL that ends in .zarr, .nc, .grib or the like.
        parameters: Of an entry, such as `location`; of the Climate Data Store, `cache` (a folder
            for its files) and `split` (day or month: what one request spans). Of files, if need
            be: `format` (zarr, netcdf, grib), `accumulation` (hourly, step), `time_units`,
            `select.<dimension>`, and `storage.<option>` for fsspec, such as storage.token=anon.
        folder: Where the catalogs are; those of the project if None.

    Returns:
        What `open_source` takes; or what makes states on demand, for the caller to fetch
        (`CdsSource.fetch`) or to simulate.

    Raises:
        InputError: No such entry, file or parameter; the message lists those that exist.
        IntegrityError: Packed data are damaged.
    """
    folder = folder or catalog_folder()
    given = dict(parameters or {})
    catalog = read_catalog(folder / STATES_CATALOG)
    if name in catalog.metadata.on_demand:
        return _of_demand(name, catalog.metadata.on_demand[name], given)
    if name in catalog.entries and not (Path(name) / MANIFEST).is_file():
        return _of_entry(catalog, name, given, folder)
    if _format_of(name) or Path(name).exists() or set(name) & set("/*?["):
        return _of_files(name, name, given)
    known = ", ".join([*catalog.entries, *catalog.metadata.on_demand])
    raise InputError(
        f"unknown source {name!r}; catalogs/{STATES_CATALOG} has: {known}; or give files: a path "
        "or URL that ends in .zarr, .nc or .grib"
    )


def state_source(name: str) -> StateSource:
    """A source of states that a forecast can read: ingested states, or a zarr store here.

    Args:
        name: A catalog entry, a path, or the URL of a cube of ingested states.

    Raises:
        InputError: No such source, or one that has to be brought here first.
        IntegrityError: Packed data are damaged.
    """
    if is_cube(name):
        cube = Cube.load(name)
        return StateSource(str(cube.spec.config["source"]), cube.url, cube.key)
    spec = resolve_source(name)
    if not (
        isinstance(spec, SourceSpec)
        and spec.format == "zarr"
        and len(spec.urls) == 1
        and Place(spec.urls[0]).is_local
    ):
        raise InputError(
            f"source {name} is no zarr store on this machine, which is what a forecast starts "
            "from; bring its states here with python -m flows.ingest"
        )
    url = spec.urls[0]
    return StateSource(spec.name, url, spec.fingerprint or content_key({"url": url}))


def resolve_observations(
    name: str, parameters: Mapping[str, str] | None = None, folder: Path | None = None
) -> ObservationSource:
    """Where the observations of a source are.

    Args:
        name: An entry of `observations.yaml`, or a file, pattern, folder or URL.
        parameters: Of an entry, such as `location`. Of files, if need be: `format`, and
            `storage.<option>` for fsspec.
        folder: Where the catalogs are; those of the project if None.

    Raises:
        InputError: No such entry, file or parameter; the message lists those that exist.
    """
    folder = folder or catalog_folder()
    given = dict(parameters or {})
    catalog = read_catalog(folder / OBSERVATIONS_CATALOG)
    if name in catalog.entries:
        return _observations_of_entry(catalog, name, given, folder)
    if not (Path(name).exists() or set(name) & set("/*?[")):
        known = ", ".join(n for n, e in catalog.entries.items() if e.metadata.reports)
        raise InputError(
            f"unknown observations {name!r}; catalogs/{OBSERVATIONS_CATALOG} has: {known}; or "
            "give a file, pattern, folder or URL"
        )
    _require_known(f"source {name}", given, _OF_REPORTS)
    file_format = given.get("format", AUTO)
    return ObservationSource(redacted(name), name, file_format, _pairs(given, "storage."))


def observation_entries(folder: Path | None = None) -> list[str]:
    """Names of the entries of `observations.yaml` that hold reports."""
    catalog = read_catalog((folder or catalog_folder()) / OBSERVATIONS_CATALOG)
    return [name for name, entry in catalog.entries.items() if entry.metadata.reports]


def model_place(name: str) -> str:
    """Path or URL of registered weights, by name in `catalogs/models.yaml` or as it is.

    Raises:
        InputError: No such model; the message lists those that exist.
    """
    return name if is_url(name) else str(model_folder(name))


def model_folder(name: str) -> Path:
    """The folder of registered weights on this machine; of those at a URL, a copy.

    Args:
        name: An entry of `catalogs/models.yaml`, or a folder by its path or URL.

    Raises:
        InputError: No such model; the message lists those that exist.
    """
    if is_url(name):
        return folder_here(name)
    if (Path(name) / MANIFEST).is_file():
        return Path(name).absolute()
    path = catalog_folder() / MODELS_CATALOG
    models = read_weights(path)
    if name not in models:
        raise InputError(
            f"unknown model {name!r}; catalogs/{MODELS_CATALOG} has: {', '.join(models)}"
        )
    return path.parent / models[name].folder


def locate(
    catalog: Catalog, name: str, parameters: Mapping[str, str], folder: Path
) -> tuple[str, dict[str, Any]]:
    """Where an entry's data are, by intake: their URL, and options for fsspec.

    Args:
        catalog: Checked.
        name: One of its entries.
        parameters: Values for its templates.
        folder: Where the catalog is.
    """
    entry = importlib.import_module("intake.readers.entry")
    opened = entry.Catalog.from_dict(catalog.model_dump(mode="json", exclude_unset=True))
    opened.user_parameters["CATALOG_DIR"] = str(folder.absolute())
    data = opened(**parameters)[catalog.entries[name].data]
    return str(data.url), dict(data.storage_options or {})


def _of_demand(name: str, entry: Nature | Cds, given: Mapping[str, str]) -> CdsSource | NatureRun:
    """What makes the states of an entry."""
    if not isinstance(entry, Cds):
        _require_known(f"source {name}", given, ())
        return NatureRun(name)
    _require_known(f"source {name}", given, ("cache", "split"))
    split = given.get("split", entry.split)
    if split not in get_args(Split):
        raise InputError(f"source {name}: got split {split!r}, expected day or month")
    cache = given.get("cache", "")
    return CdsSource(name, entry.surface, entry.upper_air, cast("Split", split), cache)


def _observations_of_entry(
    catalog: Catalog, name: str, given: dict[str, str], folder: Path
) -> ObservationSource:
    """Where the observations of an entry are."""
    entry = catalog.entries[name]
    if not entry.metadata.reports:
        raise InputError(f"{name} holds no observations: {entry.metadata.description}")
    url, options = _located(catalog, name, given, folder)
    pairs = tuple(sorted(options.items()))
    return ObservationSource(name, url, entry.metadata.reports, pairs)


def _located(
    catalog: Catalog, name: str, given: dict[str, str], folder: Path
) -> tuple[str, dict[str, Any]]:
    """URL of an entry's data and options for fsspec, with all parameters that it needs."""
    entry = catalog.entries[name]
    data = catalog.data[entry.data]
    _require_known(f"source {name}", given, tuple(data.user_parameters))
    for parameter, default in data.user_parameters.items():
        if not (given.get(parameter) or default):
            raise InputError(
                f"source {name} needs the parameter {parameter}: {entry.metadata.description}"
            )
    return locate(catalog, name, given, folder)


def _of_entry(catalog: Catalog, name: str, given: dict[str, str], folder: Path) -> SourceSpec:
    """What an entry that intake reads stands for."""
    entry = catalog.entries[name]
    data = catalog.data[entry.data]
    url, options = _located(catalog, name, given, folder)
    about = {"format": DATATYPES[data.datatype], "accumulation": entry.metadata.accumulation}
    spec = _of_files(name, url, about)
    if entry.metadata.packed and not spec.fingerprint:
        raise IntegrityError(f"{url} has no {MANIFEST} beside it; restore it")
    return replace(spec, storage_options=tuple(sorted(options.items())))


def _of_files(name: str, location: str, given: Mapping[str, str]) -> SourceSpec:
    """A path, pattern or URL as a source; a folder with a manifest is a packed sample."""
    _require_known(f"source {name}", given, _OF_FILES)
    urls = _expanded(location)
    formats = {given.get("format") or _format_of(url) for url in urls}
    if len(formats) != 1 or "" in formats:
        raise InputError(
            f"source {name}: of what format {location} is cannot be told, expected one of "
            f"{', '.join(_SUFFIXES)}; set the parameter format to zarr, netcdf or grib"
        )
    packed = Path(urls[0]).parent
    is_packed = urls == (f"{packed}/{STATES}",) and (packed / MANIFEST).is_file()
    return SourceSpec(
        packed.name if is_packed and name == location else redacted(name),
        cast("Format", formats.pop()),
        urls,
        _pairs(given, "storage."),
        str(verify_sample(packed)["digest"]) if is_packed else "",
        cast("Accumulation", given.get("accumulation", "hourly")),
        given.get("time_units", ""),
        _pairs(given, "select."),
    )


def _expanded(location: str) -> tuple[str, ...]:
    """URLs as they are; paths made absolute, and patterns of them replaced by what is there."""
    if not Place(location).is_local:
        if set(location.partition("://")[2]) & set("*["):
            raise InputError(
                f"{location}: patterns are looked up on this machine's disks only; name one file "
                "or store"
            )
        return (location,)
    path = Path(location.partition("://")[2] or location).absolute()
    if (path / MANIFEST).is_file() and (path / STATES).exists():
        return (str(path / STATES),)
    found = [str(path)] if path.exists() else sorted(glob(str(path), recursive=True))  # noqa: PTH207
    if not found:
        raise InputError(f"there is nothing at {path}; check the path")
    return tuple(found)


def _format_of(url: str) -> str:
    """By its ending, or by what is in a folder; empty if that does not tell."""
    path = Path(url)
    if any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zmetadata")):
        return "zarr"
    return _SUFFIXES.get(path.suffix.lower(), "")


def _pairs(given: Mapping[str, str], prefix: str) -> tuple[tuple[str, Any], ...]:
    """Parameters such as select.number=0, as pairs whose values are read as YAML."""
    names = sorted(name for name in given if name.startswith(prefix))
    return tuple((name.removeprefix(prefix), parse_yaml(given[name], name)) for name in names)


def _require_known(what: str, given: Mapping[str, str], known: tuple[str, ...]) -> None:
    stems = {name.partition("<")[0] for name in known if "<" in name}
    for name in given:
        if name not in known and not any(name.startswith(stem) for stem in stems):
            takes = ", ".join(known) or "no parameters"
            raise InputError(f"{what} has no parameter {name!r}; it takes {takes}")
