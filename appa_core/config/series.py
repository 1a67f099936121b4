"""Reanalyses that grow day by day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from pydantic import Field

from appa_core.config.base import Positive
from appa_core.config.requests import ObservedRequest, validated
from appa_core.errors import InputError

DAY = pd.Timedelta(days=1)


class SeriesRequest(ObservedRequest):
    """A series of days, each of which starts from the one before; `start` is the first day.

    Args:
        overlap_hours: After a day, that are drawn with it and then again by the next; as far as
            a stretch looks ahead if None.
        stream_days: Days of a stream, which starts anew so that streams can be made side by side;
            0: one stream.
        spin_up_days: Days before a stream but the first that are drawn and not kept.
    """

    overlap_hours: int | None = Field(default=None, ge=0)
    stream_days: int = Field(default=0, ge=0)
    spin_up_days: Positive = 1

    @property
    def first_day(self) -> pd.Timestamp:
        """The first day of the series."""
        return self.time

    def states_of_day(self, step_hours: int) -> int:
        """How many.

        Raises:
            InputError: Steps do not divide a day.
        """
        if 24 % step_hours:
            raise InputError(
                f"days of a series: expected a step that divides 24 h, got {step_hours}"
            )
        return 24 // step_hours

    def overlap_states(self, step_hours: int) -> int | None:
        """Overlap in states; None if it is not set.

        Raises:
            InputError: It is no multiple of the step.
        """
        if self.overlap_hours is None:
            return None
        if self.overlap_hours % step_hours:
            raise InputError(
                f"overlap of {self.overlap_hours} h: expected a multiple of the model's step, "
                f"{step_hours} h"
            )
        return self.overlap_hours // step_hours

    def stream_start(self, day: pd.Timestamp) -> pd.Timestamp:
        """First day of the stream that a day belongs to."""
        if not self.stream_days:
            return self.first_day
        number = (day - self.first_day).days // self.stream_days
        return self.first_day + number * self.stream_days * DAY

    def drawn_from(self, day: pd.Timestamp) -> pd.Timestamp:
        """Day with which the stream of a day begins to be drawn: its spin-up is before it."""
        start = self.stream_start(day)
        if start == self.first_day:
            return start
        return max(self.first_day, start - self.spin_up_days * DAY)


def series_request(**fields: object) -> SeriesRequest:
    """A validated request of a series.

    Raises:
        InputError: A field is not valid; the message names it.
    """
    request = validated(SeriesRequest, fields)
    if request.time != request.time.normalize():
        raise InputError(f"first day {request.start}: expected a date, such as 2024-01-01")
    if request.operator:
        raise InputError("a series reads observations with the operators that ship, not your own")
    return request


def settings_of(request: SeriesRequest | Mapping[str, Any]) -> dict[str, Any]:
    """All of a request but its first day, JSON-compatible."""
    content = request.hashed() if isinstance(request, SeriesRequest) else dict(request)
    content.pop("start", None)
    return content
