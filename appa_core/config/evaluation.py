"""What an evaluation is asked for."""

from __future__ import annotations

from pydantic import Field, ValidationError, field_validator

from appa_core.config.base import Positive, Strict
from appa_core.config.events import EventText
from appa_core.config.requests import Region, explained
from appa_core.errors import InputError
from appa_core.metrics.regions import GLOBAL, REGIONS, Box
from appa_core.schema import VARIABLES, Channel

BASELINES = ("persistence", "climatology")
#: What is scored of results that hold the variable, unless events are named.
DEFAULT_EVENTS = (
    "2m_temperature>q90",
    "geopotential@500<q10",
    "total_precipitation_6hr>0.001",
)


class EventSpec(Strict):
    """A value beyond a threshold.

    Args:
        variable: ERA5 name.
        level: In hPa; None at the surface.
        is_above: Above the threshold; below otherwise.
        threshold: In SI units; a percentage if it is of the climatology.
        of_climatology: A percentile of the true states, by cell.
    """

    variable: str
    level: int | None
    is_above: bool
    threshold: float
    of_climatology: bool

    @classmethod
    def parse(cls, text: str) -> EventSpec:
        """An event such as `2m_temperature>303.15` or `geopotential@500<q10`.

        Raises:
            InputError: The text is no event.
        """
        event = EventText.parse(text)
        if event.variable not in VARIABLES or event.sign not in {">", "<"}:
            raise InputError(
                f"{text!r} is no event of an evaluation; expected VARIABLE[@LEVEL]>VALUE or "
                "<VALUE in SI units, or a percentile of the true states such as >q90: "
                "2m_temperature>303.15, geopotential@500<q10"
            )
        if event.is_percentile and not 0 < event.threshold < 100:
            raise InputError(f"event {text!r}: a percentile lies between 0 and 100")
        return cls(
            variable=event.variable,
            level=event.level,
            is_above=event.sign == ">",
            threshold=event.threshold,
            of_climatology=event.is_percentile,
        )

    @property
    def channel(self) -> Channel:
        """What it is of."""
        return Channel(self.variable, self.level)

    @property
    def name(self) -> str:
        """As it is written."""
        where = "" if self.level is None else f"@{self.level}"
        quantile = "q" if self.of_climatology else ""
        sign = ">" if self.is_above else "<"
        return f"{self.variable}{where}{sign}{quantile}{self.threshold:g}"


class EvaluationRequest(Strict):
    """What is evaluated of results, and how.

    Args:
        baselines: Forecasts to compare with; those that can be made if None.
        regions: Names of `REGIONS`, or boxes "south,north,west,east"; the usual ones if empty.
        events: Whose probabilities are scored; the usual ones if None.
        resamples: Draws of dates for intervals.
        physics_states: States, evenly spread, whose physics and spectra are looked at.
        seed: Of the draws.
    """

    baselines: tuple[str, ...] | None = None
    regions: tuple[str, ...] = ()
    events: tuple[str, ...] | None = None
    resamples: Positive = 1000
    physics_states: int = Field(default=4, ge=0)
    seed: int = Field(default=0, ge=0)

    @field_validator("baselines")
    @classmethod
    def _baselines(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in names or ():
            if name not in BASELINES:
                raise ValueError(f"unknown baseline {name!r}; there are {', '.join(BASELINES)}")
        return names

    @property
    def boxes(self) -> dict[str, Box]:
        """Regions by name.

        Raises:
            InputError: One is neither a name nor a box.
        """
        if not self.regions:
            return dict(REGIONS)
        return {GLOBAL: REGIONS[GLOBAL]} | {name: _box(name) for name in self.regions}

    @property
    def event_specs(self) -> list[EventSpec]:
        """Events, parsed.

        Raises:
            InputError: One cannot be read.
        """
        names = DEFAULT_EVENTS if self.events is None else self.events
        return [EventSpec.parse(name) for name in names]


def _box(name: str) -> Box:
    if name in REGIONS:
        return REGIONS[name]
    if "," not in name:
        raise InputError(
            f"unknown region {name!r}; there are {', '.join(REGIONS)}, or give "
            "SOUTH,NORTH,WEST,EAST in degrees"
        )
    return Box(**Region.parse(name).model_dump())


def evaluation_request(**fields: object) -> EvaluationRequest:
    """A validated request.

    Raises:
        InputError: A field is not valid; the message names it.
    """
    try:
        request = EvaluationRequest.model_validate(fields)
    except ValidationError as error:
        raise InputError(explained(error)) from error
    _ = request.boxes, request.event_specs
    return request
