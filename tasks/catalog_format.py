"""What a catalog may say.

Intake imports what a catalog names, and fills in templates that read the environment, import
modules or unpickle: nothing but what is listed here gets that far.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from appa_core.config.base import Strict
from appa_core.config.named import parse_named
from appa_core.errors import InputError
from appa_core.io.cds import Split
from appa_core.io.opening import Accumulation

DATATYPES = {
    "intake.readers.datatypes:Zarr": "zarr",
    "intake.readers.datatypes:NetCDF3": "netcdf",
    "intake.readers.datatypes:HDF5": "netcdf",
    "intake.readers.datatypes:GRIB2": "grib",
    "intake.readers.datatypes:CSV": "csv",
    "intake.readers.datatypes:Text": "text",
    "intake.readers.datatypes:FileData": "file",
}
#: Readers and what they give.
READERS = {
    "intake.readers.readers:XArrayDatasetReader": "xarray:Dataset",
    "intake.readers.readers:PandasCSV": "pandas:DataFrame",
    "intake.readers.readers:FileTextReader": "builtins:str",
    "intake.readers.readers:FileByteReader": "builtin:bytes",
}
_DATA = re.compile(r"\{data\(([\w.-]+)\)\}")
_TEMPLATE = re.compile(r"\{(\w+)\}")

_T = TypeVar("_T")


def _plain(text: str) -> str:
    if found := re.search(r"[{}()]", text):
        raise ValueError(f"{text!r} has {found[0]!r}; templates are allowed in urls only")
    return text


def _one_of(allowed: dict[str, str]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in allowed:
            raise ValueError(f"{name!r} is not allowed; expected one of {', '.join(allowed)}")
        return name

    return AfterValidator(check)


def _inside(folder: str) -> str:
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{folder!r} is not below the catalog; give a relative path without ..")
    return folder


Plain = Annotated[str, AfterValidator(_plain)]
_Nothing = Annotated[dict[str, str], Field(max_length=0)]


class About(Strict):
    """What an entry holds, for the listing and for reading it.

    Args:
        description: In a line.
        licence: Of the data.
        homepage: Where the publisher describes them.
        files_at: Where the publisher keeps them, if the user has to choose some.
        start: First day.
        end: Last day; it goes on if None.
        grid: Longitudes x latitudes.
        step_hours: Time between states.
        levels_hpa: Pressure levels.
        variables: ERA5 names.
        packed: Whether a manifest of checksums lies beside it.
        accumulation: What `total_precipitation` sums over.
        reports: Format of the observations that it holds; empty if it holds none.
    """

    description: str
    licence: str
    homepage: str = ""
    files_at: str = ""
    start: date | None = None
    end: date | None = None
    grid: str = ""
    step_hours: int | None = None
    levels_hpa: tuple[int, ...] = ()
    variables: tuple[str, ...] = ()
    packed: bool = False
    accumulation: Accumulation = "hourly"
    reports: Literal["", "auto", "madis", "bufr", "isd", "ghcnh", "igra", "csv", "parquet"] = ""


class Nature(About):
    """The nature run, simulated on demand."""

    kind: Literal["nature"]


class Cds(About):
    """Requests to the Climate Data Store."""

    kind: Literal["cds"]
    surface: str
    upper_air: str
    split: Split = "month"


class _Location(Strict):
    url: str
    storage_options: (
        dict[Literal["token", "anon", "endpoint_url", "requester_pays"], Plain | bool] | None
    ) = None
    root: Literal[""] = ""


class _Data(Strict):
    datatype: Annotated[str, _one_of(DATATYPES)]
    kwargs: _Location
    metadata: _Nothing
    user_parameters: dict[str, Plain]

    @model_validator(mode="after")
    def _knows_its_templates(self) -> Self:
        allowed = {"CATALOG_DIR", *self.user_parameters}
        for name in _TEMPLATE.findall(self.kwargs.url):
            if name not in allowed:
                raise ValueError(f"url has {{{name}}}, expected one of {', '.join(allowed)}")
        _plain(_TEMPLATE.sub("", self.kwargs.url))
        return self


class _Parameter(Strict):
    default: Plain
    description: str


class _Reading(Strict):
    args: tuple[Annotated[str, Field(pattern=f"^{_DATA.pattern}$")]]
    chunks: dict[Plain, int] | None = None
    consolidated: bool | None = None


class Entry(Strict):
    """A reader, the data that it reads, and what they are."""

    reader: Annotated[str, _one_of(READERS)]
    output_instance: str
    kwargs: _Reading
    metadata: About
    user_parameters: dict[str, _Parameter]

    @property
    def data(self) -> str:
        """Name of its data."""
        match = _DATA.fullmatch(self.kwargs.args[0])
        return match[1] if match else ""


class _General(Strict):
    description: str
    on_demand: dict[str, Annotated[Nature | Cds, Field(discriminator="kind")]] = Field(
        default_factory=dict
    )


class Catalog(Strict):
    """A catalog of intake, version 2, of which only data are left.

    Its `metadata.on_demand` has what intake has no readers for.
    """

    version: Literal[2]
    metadata: _General
    user_parameters: _Nothing
    data: dict[str, _Data]
    entries: dict[str, Entry]
    aliases: dict[str, str]

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        for name, entry in self.entries.items():
            if entry.data not in self.data:
                raise ValueError(f"entry {name} reads {entry.kwargs.args[0]}, which is not there")
            if entry.output_instance != READERS[entry.reader]:
                raise ValueError(
                    f"entry {name} gives {entry.output_instance!r}, expected "
                    f"{READERS[entry.reader]!r}"
                )
        # intake takes a name in both for one that refers to itself
        if both := self.data.keys() & {*self.entries, *self.metadata.on_demand}:
            raise ValueError(f"data and entries share the names {', '.join(sorted(both))}")
        if wrong := {k for k, v in self.aliases.items() if k != v} | (
            self.entries.keys() ^ self.aliases.keys()
        ):
            raise ValueError(f"aliases must name each entry once; see {', '.join(sorted(wrong))}")
        return self


class Weights(Strict):
    """Registered weights.

    Args:
        folder: Relative to the catalog.
        description: In a line.
        licence: Of the weights.
    """

    folder: Annotated[str, AfterValidator(_inside)]
    description: str
    licence: str


def read_catalog(path: Path) -> Catalog:
    """A catalog of data, checked.

    Raises:
        InputError: There is none, or it says what no catalog may say.
    """
    return _read(path, TypeAdapter(Catalog))


def read_weights(path: Path) -> dict[str, Weights]:
    """A catalog of weights, checked; raises as `read_catalog` does."""
    return _read(path, TypeAdapter(dict[str, Weights]))


def _read(path: Path, adapter: TypeAdapter[_T]) -> _T:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"there is no catalog to read at {path}: {error}") from error
    return parse_named("catalog", text, adapter, source=str(path))
