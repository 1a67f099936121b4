"""How observations are controlled: a validated, immutable list of checks.

A control is one YAML file or the name of one that comes with the project (`control_names()`). It
is scientific: it is hashed into artifact keys.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter

from appa_core.config.base import Positive, Share, Strict
from appa_core.config.named import load_named, shipped_names
from appa_core.observe.quantities import QUANTITIES

Amount = Annotated[float, Field(gt=0)]
Ratio = Annotated[float, Field(gt=1)]


def _known(name: str) -> str:
    if name not in QUANTITIES:
        raise ValueError(f"unknown quantity {name!r}; there are: {', '.join(sorted(QUANTITIES))}")
    return name


Quantity = Annotated[str, AfterValidator(_known)]


class FileFlagsConfig(Strict):
    """Flags that files have."""

    kind: Literal["file-flags"]
    honour: bool = True


class ListingConfig(Strict):
    """Rows that a black-list names; parts may have `*` and `?`."""

    station_id: str = "*"
    platform: str = "*"
    quantity: str = "*"
    why: str = ""


class BlackListConfig(Strict):
    """Rows that are named here or in a file (YAML list, or CSV with these columns)."""

    kind: Literal["black-list"]
    listings: tuple[ListingConfig, ...] = ()
    file: str | None = None


class PhysicalRangeConfig(Strict):
    """Values that can be; limits in SI units replace those of a quantity."""

    kind: Literal["physical-range"]
    limits: dict[Quantity, tuple[float, float]] = Field(default_factory=dict)


class ClimatologicalRangeConfig(Strict):
    """Values that are usual; limit in standard deviations."""

    kind: Literal["climatological-range"]
    limit: Amount = 6.0


class BackgroundDepartureConfig(Strict):
    """Values near a background; limit in standard deviations of the departure."""

    kind: Literal["background-departure"]
    limit: Amount = 5.0


class BuddiesConfig(Strict):
    """Values that agree with their neighbours."""

    kind: Literal["buddies"]
    radius_km: Amount = 300.0
    hours: Amount = 1.0
    level_ratio: Ratio = 1.1
    elevation_m: Amount = 300.0
    least: Positive = 4
    limit: Amount = 5.0
    noise: Amount = 0.5
    without: tuple[Quantity, ...] = ("total_precipitation_6hr",)


class DuplicatesConfig(Strict):
    """Rows that come once."""

    kind: Literal["duplicates"]
    keep: Literal["first", "last"] = "last"
    degrees: Amount = 0.02
    minutes: Amount = 1.0


class OneOfConfig(Strict):
    """One of several quantities of one reading, the preferred first."""

    kind: Literal["one-of"]
    quantities: Annotated[tuple[Quantity, ...], Field(min_length=2)]


class WindPairsConfig(Strict):
    """Both components of a wind, or none."""

    kind: Literal["wind-pairs"]


class BoxesConfig(Strict):
    """Boxes in which a platform counts once; all platforms if none is named."""

    km: Amount = 100.0
    hours: Amount = 1.0
    level_ratio: Ratio = 1.2
    platforms: tuple[str, ...] = ()


class ThinningConfig(Strict):
    """One row of each box."""

    kind: Literal["thinning"]
    boxes: BoxesConfig = BoxesConfig()


class SuperobbingConfig(Strict):
    """The mean of each box."""

    kind: Literal["superobbing"]
    boxes: BoxesConfig = BoxesConfig()
    correlation: Share = 0.3


CheckConfig = Annotated[
    FileFlagsConfig
    | BlackListConfig
    | PhysicalRangeConfig
    | ClimatologicalRangeConfig
    | BackgroundDepartureConfig
    | BuddiesConfig
    | DuplicatesConfig
    | OneOfConfig
    | WindPairsConfig
    | ThinningConfig
    | SuperobbingConfig,
    Field(discriminator="kind"),
]


class ControlConfig(Strict):
    """Checks, in the order that they are made."""

    checks: tuple[CheckConfig, ...]


_ADAPTER: TypeAdapter[ControlConfig] = TypeAdapter(ControlConfig)


def control_names() -> list[str]:
    """Names of the controls that come with the project."""
    return shipped_names("controls")


def load_control(name_or_path: str) -> ControlConfig:
    """A control by its name, or from a YAML file; see `load_named`."""
    return load_named("control", name_or_path, _ADAPTER)
