"""What a user asks of a job, validated before anything is computed or written."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
from pydantic import Field, ValidationError, field_validator

from appa_core.config.base import Strict
from appa_core.errors import InputError


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


class ForecastRequest(Strict):
    """A forecast to make.

    Args:
        start: Time of the last known state.
        lead_hours: How far to forecast.
        members: Size of the ensemble.
        seed: Seed of the ensemble.
        model: Name of registered weights.
        source: Catalog entry of the known states.
        dtype: Precision of the networks.
        variables: Variables to write; all if None.
        levels: Levels to write in hPa; all if None.
        region: Box to write; the globe if None.
    """

    start: str
    lead_hours: int = 120
    members: int = 8
    seed: int = 0
    model: str = "small"
    source: str = "sample"
    dtype: str = "float32"
    variables: tuple[str, ...] | None = None
    levels: tuple[int, ...] | None = None
    region: Region | None = None

    @field_validator("members")
    @classmethod
    def _members(cls, value: int) -> int:
        if value < 1:
            raise ValueError(f"expected at least 1 member, got {value}")
        return value

    @field_validator("seed")
    @classmethod
    def _seed(cls, value: int) -> int:
        if value < 0:
            raise ValueError(f"expected a seed of 0 or more, got {value}")
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


def forecast_request(**fields: object) -> ForecastRequest:
    """A validated request.

    Raises:
        InputError: A field is not valid; the message names it.
    """
    try:
        request = ForecastRequest.model_validate(fields)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise InputError(problems) from error
    parse_time(request.start)
    return request
