"""Analyses with and without parts of a network."""

from __future__ import annotations

import pandas as pd
from pydantic import Field

from appa_core.config.base import MOST_HOURS, Hours, Positive
from appa_core.config.requests import (
    EnsembleRequest,
    ForecastRequest,
    ObservedRequest,
    require_step,
    validated,
)
from appa_core.errors import InputError


class DenialRequest(ObservedRequest):
    """Analyses, and forecasts from them, with and without parts of a network.

    Args:
        hours: Length of each analysis.
        periods: How many, `spacing_hours` from the start of one to that of the next.
        spacing_hours: Between starts; far apart they are independent.
        lead_hours: Of the forecast from the end of each analysis; none if 0.
        deny: What to deny in turn; each platform if empty.
    """

    hours: Hours = 72
    periods: Positive = 1
    spacing_hours: Hours = 120
    lead_hours: int = Field(default=48, ge=0, le=MOST_HOURS)
    deny: tuple[str, ...] = ()

    def spans(self, step_hours: int) -> list[pd.DatetimeIndex]:
        """Valid times of the states of each period.

        Raises:
            InputError: A length is no multiple of the step.
        """
        for name in ("hours", "spacing_hours", "lead_hours"):
            if getattr(self, name) % step_hours:
                raise InputError(
                    f"{name} of {getattr(self, name)}: expected a multiple of the model's step, "
                    f"{step_hours} h"
                )
        require_step(self, step_hours)
        starts = [
            self.time + i * pd.Timedelta(hours=self.spacing_hours) for i in range(self.periods)
        ]
        count = self.hours // step_hours
        return [pd.date_range(start, periods=count, freq=f"{step_hours}h") for start in starts]

    def forecast_from(self, time: pd.Timestamp, source: str) -> ForecastRequest:
        """The forecast from the end of an analysis."""
        shared = {name: getattr(self, name) for name in EnsembleRequest.model_fields}
        start = {"start": f"{time:%Y-%m-%dT%H}", "lead_hours": self.lead_hours}
        return ForecastRequest(**shared | start | {"source": source})


def denial_request(**fields: object) -> DenialRequest:
    """A validated request of denials; raises as `validated`."""
    return validated(DenialRequest, fields)
