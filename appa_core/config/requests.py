"""What a user asks of a job, validated before anything is computed or written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

import pandas as pd
from pydantic import Field, ValidationError, field_validator

from appa_core.config.base import MOST_HOURS, Hours, Positive, Share, Strict
from appa_core.errors import InputError

#: Times are counted in nanoseconds here and there, which leaves 1678 to 2261.
_FIRST_YEAR, _LAST_YEAR = 1700, 2200
_MOST_MEMBERS = 100_000
_MOST_STATES = 100_000


def parse_time(text: str) -> pd.Timestamp:
    """A UTC time from ISO 8601 text, such as 2024-01-01 or 2024-01-01T12.

    Raises:
        InputError: The text is no such time.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is no date; expected ISO 8601 in UTC, such as 2024-01-01 or 2024-01-01T12"
        ) from error
    if not _FIRST_YEAR < parsed.year < _LAST_YEAR:
        raise InputError(f"{text!r}: expected a time after {_FIRST_YEAR} and before {_LAST_YEAR}")
    if parsed.tzinfo is not None:
        parsed = parsed.astimezone(UTC).replace(tzinfo=None)
    return pd.Timestamp(parsed)


class Region(Strict):
    """A box of latitude and longitude; `west` may exceed `east` across the date line."""

    south: float = Field(ge=-90, le=90)
    north: float = Field(ge=-90, le=90)
    west: float = Field(ge=-180, le=360)
    east: float = Field(ge=-180, le=360)

    @classmethod
    def parse(cls, text: str) -> Region:
        """A region from "south,north,west,east" in degrees.

        Raises:
            InputError: The text is no such box.
        """
        try:
            south, north, west, east = (float(part) for part in text.split(","))
            region = cls(south=south, north=north, west=west, east=east)
        except (ValueError, ValidationError) as error:
            raise InputError(
                f"{text!r} is no region; expected SOUTH,NORTH,WEST,EAST in degrees, such as "
                "30,75,-20,45"
            ) from error
        if south >= north:
            raise InputError(f"region {text!r}: SOUTH must be below NORTH")
        return region


class EnsembleRequest(Strict):
    """What every ensemble has in common.

    Args:
        start: When it begins.
        members: Size of the ensemble.
        seed: Seed of the ensemble.
        model: Name of registered weights.
        dtype: Precision of the networks.
        variables: Variables to write; all if None.
        levels: Levels to write in hPa; all if None.
        region: Box to write; the globe if None.
    """

    start: str
    members: int = 8
    seed: int = 0
    model: str = "small"
    dtype: str = "float32"
    variables: tuple[str, ...] | None = None
    levels: tuple[int, ...] | None = None
    region: Region | None = None

    @field_validator("members")
    @classmethod
    def _members(cls, value: int) -> int:
        if not 1 <= value <= _MOST_MEMBERS:
            raise ValueError(f"expected at least 1 member, got {value}; at most {_MOST_MEMBERS}")
        return value

    @field_validator("seed")
    @classmethod
    def _seed(cls, value: int) -> int:
        if not 0 <= value < 2**63:
            raise ValueError(f"expected a seed of 0 or more, below 2**63, got {value}")
        return value

    @field_validator("dtype")
    @classmethod
    def _dtype(cls, value: str) -> str:
        if value not in {"float32", "bfloat16"}:
            raise ValueError(f"expected float32 or bfloat16, got {value}")
        return value

    @property
    def time(self) -> pd.Timestamp:
        """The start as a time."""
        return parse_time(self.start)


class ForecastRequest(EnsembleRequest):
    """A forecast to make; `start` is the time of the last known state.

    Args:
        lead_hours: How far to forecast.
        source: Catalog entry of the known states.
    """

    lead_hours: int = Field(default=120, le=MOST_HOURS)
    source: str = "sample"

    def leads(self, step_hours: int) -> int:
        """Lead in states.

        Raises:
            InputError: The lead is no positive multiple of the step.
        """
        if self.lead_hours <= 0 or self.lead_hours % step_hours:
            raise InputError(
                f"lead of {self.lead_hours} h: expected a positive multiple of the model's step, "
                f"{step_hours} h"
            )
        return self.lead_hours // step_hours


class ObservedRequest(EnsembleRequest):
    """What is asked of everything that is drawn from observations.

    Args:
        observations: What is observed: a simulated network, a catalog entry, files.
        method: How the posterior is drawn: a name, or the path of a YAML file.
        withhold: Share of whole stations and passes that are kept to verify with.
        operator: A user's own, `package.module:function`; none if empty.
        truth: Catalog entry of states to score against; none if empty.
        stretch_states: States that are drawn at once; a blanket if None.
        ahead_states: States that a stretch looks ahead; half of what it draws if None.
    """

    observations: str
    method: str = "mmps"
    withhold: Share = 0.0
    operator: str = ""
    truth: str = ""
    stretch_states: Positive | None = None
    ahead_states: int | None = Field(default=None, ge=0, le=_MOST_STATES)

    @property
    def known_states(self) -> str:
        """Catalog entry of states that are known; empty if none are named."""
        return self.truth


class ReanalysisRequest(ObservedRequest):
    """A reanalysis to make, of the states from `start` to before `end`.

    Args:
        end: Time before which it ends.
    """

    end: str
    method: str = "reanalysis"

    def times(self, step_hours: int) -> pd.DatetimeIndex:
        """Valid times of the states.

        Raises:
            InputError: The end is not after the start, or they are no multiple of the step apart.
        """
        start, end = self.time, parse_time(self.end)
        step = pd.Timedelta(hours=step_hours)
        if end <= start or (end - start) % step:
            raise InputError(
                f"{self.start} to {self.end}: expected an end that is a positive multiple of the "
                f"model's step, {step_hours} h, after the start"
            )
        require_step(self, step_hours)
        return pd.date_range(start, end, freq=step, inclusive="left")


class FilteringRequest(ObservedRequest):
    """A cycle of analyses; `start` is the time of the first.

    Args:
        cycles: How many.
        cycle_hours: From one to the next; the model's step if None.
        lag: States before the current one that are drawn again in each cycle.
    """

    cycles: Positive = 8
    cycle_hours: Hours | None = None
    lag: int = Field(default=0, ge=0, le=_MOST_STATES)

    def every(self, step_hours: int) -> int:
        """States from one cycle to the next.

        Raises:
            InputError: Cycles are no multiple of the step apart, or do not start on a step.
        """
        hours = self.cycle_hours or step_hours
        if hours % step_hours:
            raise InputError(
                f"cycles of {hours} h: expected a multiple of the model's step, {step_hours} h"
            )
        require_step(self, step_hours)
        return hours // step_hours


class ObservedForecastRequest(ForecastRequest, ObservedRequest):
    """A forecast straight from observations; `start` is the time of the last of them.

    Args:
        assimilation_hours: Before the start, from which observations are taken.
    """

    method: str = "reanalysis"
    assimilation_hours: Hours = 24

    @property
    def known_states(self) -> str:
        """Catalog entry of states that are known."""
        return self.truth or self.source

    def times(self, step_hours: int) -> pd.DatetimeIndex:
        """Valid times of the states of the assimilation window; the last is the start.

        Raises:
            InputError: The window is no multiple of the step.
        """
        if self.assimilation_hours % step_hours:
            raise InputError(
                f"assimilation of {self.assimilation_hours} h: expected a multiple of the model's "
                f"step, {step_hours} h"
            )
        require_step(self, step_hours)
        step = pd.Timedelta(hours=step_hours)
        return pd.date_range(
            end=self.time, periods=self.assimilation_hours // step_hours + 1, freq=step
        )


def require_step(request: EnsembleRequest, step_hours: int) -> None:
    """Make sure that a job starts at one of the times of a model.

    Raises:
        InputError: It does not.
    """
    if (request.time - request.time.normalize()) % pd.Timedelta(hours=step_hours):
        raise InputError(f"start {request.start}: expected an hour divisible by {step_hours}")


_R = TypeVar("_R", bound=EnsembleRequest)


def forecast_request(**fields: object) -> ForecastRequest:
    """A validated request of a forecast; raises as `validated`."""
    return validated(ForecastRequest, fields)


def reanalysis_request(**fields: object) -> ReanalysisRequest:
    """A validated request of a reanalysis; raises as `validated`."""
    request = validated(ReanalysisRequest, fields)
    parse_time(request.end)
    return request


def filtering_request(**fields: object) -> FilteringRequest:
    """A validated request of cycles of analyses; raises as `validated`."""
    return validated(FilteringRequest, fields)


def observed_forecast_request(**fields: object) -> ObservedForecastRequest:
    """A validated request of a forecast from observations; raises as `validated`."""
    return validated(ObservedForecastRequest, fields)


def validated(kind: type[_R], fields: Mapping[str, object]) -> _R:
    """A request of a kind.

    Raises:
        InputError: A field is not valid; the message names it.
    """
    try:
        request = kind.model_validate(fields)
    except ValidationError as error:
        raise InputError(explained(error)) from error
    parse_time(request.start)
    return request


def explained(error: ValidationError) -> str:
    """What is wrong with which field, in one line."""
    return "; ".join(
        f"{'.'.join(str(part) for part in e['loc'])}: {e['msg'].removeprefix('Value error, ')}"
        for e in error.errors()
    )
