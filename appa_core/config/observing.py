"""What is observed: one text on a command line, or the same as a mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError, ValidationInfo, field_validator

from appa_core.config.base import Positive, Share, Strict
from appa_core.errors import InputError

SIMULATED = "simulated"
#: Errors in units of the spread of what is measured.
STANDARDISED = "standardised"
#: Where NOAA publishes its lists of stations.
ISD_LIST = "https://www.ncei.noaa.gov/pub/data/noaa/isd-history.csv"
IGRA_LIST = "https://www.ncei.noaa.gov/pub/data/igra/igra2-station-list.txt"
#: Where elements of satellites are public.
PUBLIC_ELEMENTS = "https://celestrak.org/NORAD/elements/gp.php?GROUP=weather&FORMAT=tle"
_Size = Annotated[float, Field(gt=0)]
#: Options that name files.
_FILES = frozenset({"isd_list", "igra_list", "elements", "like", "errors"})
#: Options of several values, joined by +.
_SEVERAL = frozenset({"satellites", "like"})
_Location = Annotated[str, Field(min_length=1)]


class SimulatedNetwork(Strict):
    """Instruments that read known states, with the errors that they declare.

    Args:
        seed: Of places, orbits, errors and of what is withheld.
        stations: Share of the model's cells that are stations, drawn by area.
        isd: Share of the real surface stations (NOAA's ISD).
        isd_list: Path or URL of their list, `isd-history.csv`.
        radiosondes: Share of cells that launch radiosondes at 00 and 12 UTC.
        igra: Share of the real radiosonde stations (IGRA).
        igra_list: Path or URL of their list, `igra2-station-list.txt`.
        six_hourly: Share of radiosonde stations that launch at 06 and 18 UTC too.
        orbiters: Satellites on circular orbits.
        altitude_km: Of their orbits.
        inclination_deg: Of their orbits.
        satellites: Satellites by two-line elements: names, or `all`.
        elements: Path or URL of the two-line elements, which satellites need.
        view: What satellites see: `disc`, all cells within a radius of the track, at the states'
            times; `swath`, fields of view across the track, at their own times.
        radius_deg: Of the disc.
        minutes: Of observing around every state; the states' step or more: always.
        swath_km: Width of the swath.
        fields_of_view: Across the swath.
        scan_seconds: From scan to scan.
        footprint_km: Radius of a field of view; points if 0.
        sounder: `state`: temperature, wind and humidity at all levels; `radiance`: brightness
            temperatures.
        errors: `standardised`, or a table of errors in SI units: `standard`, or a YAML file.
        station_error: Of stations, in units of the spread of what they measure.
        sounding_error: Of radiosondes and satellites.
        error: Factor of all errors.
        like: Real reports whose places, times and quantities are taken: files of any time, each of
            these joined by + moved into the period by itself.
        like_every_hours: How often they come again; once if 0.
        withhold: Share of whole stations and passes to withhold, to verify with.
    """

    kind: Literal["simulated"] = "simulated"
    seed: int = Field(default=0, ge=0)
    stations: Share = 0.0
    isd: Share = 0.0
    isd_list: _Location = ISD_LIST
    radiosondes: Share = 0.0
    igra: Share = 0.0
    igra_list: _Location = IGRA_LIST
    six_hourly: Share = 0.1
    orbiters: int = Field(default=0, ge=0)
    altitude_km: float = Field(default=800.0, ge=100)
    inclination_deg: float = Field(default=75.0, gt=0, lt=180)
    satellites: tuple[str, ...] = ()
    elements: str = Field(default="", validate_default=True)
    view: Literal["disc", "swath"] = "disc"
    radius_deg: float = Field(default=5.0, gt=0, le=90)
    minutes: Positive = 60
    swath_km: _Size = 1112.0
    fields_of_view: Positive = 5
    scan_seconds: _Size = 60.0
    footprint_km: float = Field(default=0.0, ge=0)
    sounder: Literal["state", "radiance"] = "state"
    errors: str = STANDARDISED
    station_error: _Size = 0.01
    sounding_error: _Size = 0.1
    error: _Size = 1.0
    like: tuple[_Location, ...] = ()
    like_every_hours: int = Field(default=0, ge=0)
    withhold: Share = 0.0

    @field_validator("elements")
    @classmethod
    def _elements(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("satellites") and not value:
            raise ValueError(
                "expected elements=PATH_OR_URL, the two-line elements of the satellites; public "
                f"ones are at {PUBLIC_ELEMENTS}"
            )
        return value

    @property
    def templates(self) -> tuple[ReportTemplate, ...]:
        """Real reports that lend their places and times."""
        return tuple(ReportTemplate(location=location) for location in self.like)

    def hashed(self) -> dict[str, Any]:
        """Content without names of files, whose contents are hashed instead."""
        return {k: v for k, v in super().hashed().items() if k not in _FILES}


class ReportTemplate(Strict):
    """Real reports of any time that lend a simulated network their places, times and quantities.

    Args:
        location: Path, pattern, folder or URL.
    """

    location: str


class FileObservations(Strict):
    """Observations in files.

    Args:
        location: Path, pattern, folder or URL.
    """

    kind: Literal["file"] = "file"
    location: str


class CatalogObservations(Strict):
    """Observations by an entry of the catalog.

    Args:
        name: The entry.
        parameters: Of the entry, such as `location`.
    """

    kind: Literal["catalog"] = "catalog"
    name: str
    parameters: dict[str, str] = Field(default_factory=dict)


ObservationSpec: TypeAlias = Annotated[
    SimulatedNetwork | FileObservations | CatalogObservations, Field(discriminator="kind")
]
_ADAPTER: TypeAdapter[SimulatedNetwork | FileObservations | CatalogObservations] = TypeAdapter(
    ObservationSpec
)


def parse_observations(
    text: str, entries: Sequence[str] = ()
) -> SimulatedNetwork | FileObservations | CatalogObservations:
    """What `--observations SPEC` asks for.

    Args:
        text: `simulated:stations=0.01,orbiters=1`; an entry of the catalog, as `madis` or
            `madis:location=FOLDER`; or a path, pattern or URL.
        entries: Names in the catalog.

    Raises:
        InputError: It is none of them, or an option is unknown or out of range; the message
            lists what there is.
    """
    head, _, tail = text.partition(":")
    if head == SIMULATED:
        return _simulated(text, _options(text, tail))
    if head in entries:
        return CatalogObservations(name=head, parameters=_options(text, tail))
    if set(text) & set("/*?.") or (text and Path(text).exists()):
        return FileObservations(location=text)
    raise InputError(
        f"unknown observations {text!r}; expected a simulated network such as "
        f"{SIMULATED}:stations=0.01,orbiters=1, an entry of the catalog "
        f"({', '.join(entries) or 'there is none'}), or the path or URL of reports"
    )


def validated_observations(
    content: Mapping[str, Any],
) -> SimulatedNetwork | FileObservations | CatalogObservations:
    """The same from a mapping with a `kind`: simulated, file or catalog.

    Raises:
        InputError: It is not valid; the message says why.
    """
    try:
        return _ADAPTER.validate_python(dict(content))
    except ValidationError as error:
        raise InputError(f"observations are not valid: {_problems(error)}") from error


def _options(text: str, tail: str) -> dict[str, str]:
    """Options NAME=VALUE,NAME=VALUE; a value may hold = and :, but no comma."""
    options: dict[str, str] = {}
    for part in filter(None, tail.split(",")):
        name, is_given, value = part.partition("=")
        if not is_given or not value or name in options:
            raise InputError(
                f"{text!r}: expected options NAME=VALUE,NAME=VALUE, each once; found {part!r}; "
                "in a URL a comma is %2C"
            )
        options[name] = value
    return options


def _simulated(text: str, options: Mapping[str, str]) -> SimulatedNetwork:
    known = [name for name in SimulatedNetwork.model_fields if name != "kind"]
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"; do you mean {near[0]}?" if near else ""
            raise InputError(f"{text!r} has no option {name}{hint} Options: {', '.join(known)}")
    content: dict[str, Any] = dict(options)
    for name in _SEVERAL & content.keys():
        content[name] = tuple(content[name].split("+"))
    try:
        return SimulatedNetwork.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{text!r} is not valid: {_problems(error)}") from error


def _problems(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in e['loc']) or 'kind'}: "
        + e["msg"].removeprefix("Value error, ")
        + (f", got {e['input']}" if e["type"] not in {"missing", "value_error"} else "")
        for e in error.errors()
    )
