"""What a forecast report shows, checked when it is put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from appa_core.errors import DataError, InputError
from appa_core.metrics.members import are_pairs, spread_of, variances
from appa_core.report.evaluation import Evaluation, RunComparison
from appa_core.report.units import Display, display_of
from appa_core.schema import Grid

#: Columns of a score row that hold numbers.
SCORES = ("rmse", "crps", "spread", "ssr", "rmse_persistence", "rmse_climatology")


@dataclass(frozen=True, eq=False)
class FieldBlock:
    """One channel of a forecast, in SI units.

    Args:
        channel_name: Such as `temperature_850`; joins the block to its score rows.
        label: Name for people, such as `Temperature at 850 hPa`.
        units: SI unit of the arrays.
        truth: (T, H, W), or None for a forecast whose truth is not known yet.
        ensemble: (M, T, H, W).
        climatology: (T, H, W) or None.
        display: How values are shown; the custom for the unit where None.
        signed: Whether zero is the middle of the colour scale, as for a wind component.
        variable: Name that the choice of variables shows; `channel_name` where empty.
        level: Pressure in hPa; None at the surface.
        may_be_missing: Whether cells without a value, NaN, are no damage.
        paired: Members 2k and 2k + 1 were drawn from opposite noise.

    Raises:
        DataError: Shapes differ, or a value is not finite.
    """

    channel_name: str
    label: str
    units: str
    truth: np.ndarray | None
    ensemble: np.ndarray
    climatology: np.ndarray | None = None
    display: Display | None = None
    signed: bool = False
    variable: str = ""
    level: int | None = None
    may_be_missing: bool = False
    paired: bool = False

    def __post_init__(self) -> None:
        if self.ensemble.ndim != 4 or 0 in self.ensemble.shape:
            raise DataError(
                f"{self.channel_name}: an ensemble has shape (member, lead, latitude, "
                f"longitude); this one has {self.ensemble.shape}"
            )
        for name, values in self.arrays.items():
            if values.shape[-3:] != self.ensemble.shape[1:]:
                raise DataError(
                    f"{self.channel_name}: the {name} has shape {values.shape}, the ensemble "
                    f"{self.ensemble.shape}"
                )
            broken = np.isinf(values).any() if self.may_be_missing else ~np.isfinite(values).all()
            if broken or np.isnan(values).all():
                raise DataError(
                    f"{self.channel_name}: the {name} holds values that are not finite"
                )

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that the block has, by name."""
        named = {"ensemble": self.ensemble, "truth": self.truth, "climatology": self.climatology}
        return {name: values for name, values in named.items() if values is not None}

    @property
    def shown(self) -> Display:
        """How values are shown."""
        return self.display or display_of(self.units)

    @property
    def are_pairs(self) -> bool:
        """Whether spread and ranks are those of pairs."""
        return are_pairs(len(self.ensemble), self.paired)

    def spread(self, time: int) -> np.ndarray:
        """Estimated standard deviation of a member at a time, (H, W); NaN of a single one."""
        members = self.ensemble[:, time].astype(np.float64)
        return spread_of(variances(members, paired=self.paired).member, len(members))


@dataclass(frozen=True)
class ReportTable:
    """A table of numbers and texts.

    Args:
        title: Heading.
        note: What it shows, in a sentence.
        columns: Headings of the columns.
        rows: As many cells each; None and NaN show as a dash.

    Raises:
        DataError: A row has another number of cells.
    """

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | int | None]]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise DataError(
                    f"table {self.title!r} has {len(self.columns)} columns and a row of {len(row)}"
                )


@dataclass(frozen=True)
class Place:
    """A named point of the plume.

    Args:
        name: For the list of places.
        latitude: Degrees north.
        longitude: Degrees east.
    """

    name: str
    latitude: float
    longitude: float


@dataclass(frozen=True, eq=False)
class ForecastReport:
    """Content of the page about one forecast, or about an analysis over some time.

    Args:
        title: Heading of the page.
        simulated_notice: Shown prominently: what the data are and are not. May be empty.
        init_time: Start, from which leads count; without a time zone it is UTC.
        lead_hours: Lead times in hours, ascending, (T,).
        latitudes: Degrees, ascending, (H,).
        longitudes: Degrees east in [0, 360), ascending, (W,).
        fields: Channels with maps and plumes; at least one.
        score_rows: For each channel and lead `variable`, `level` (None at the surface),
            `lead_hours`, and `SCORES` in SI units; a score that is missing or NaN shows as
            a dash. `units` is read where the variable is not one of the schema's.
        provenance: How the forecast was made; values may be mappings and lists.
        score_note: What the scores are means over, in a sentence.
        hours_label: What the axis of hours is called.
        tables: Shown below the scores.
        evaluation: What else is known of its quality.
        comparison: With another run.
        places: Points that the plume offers beside its own.
        left_out: Labels of channels that the page does not hold.
        thinning: What of the result is shown, in a sentence, where it is not all.

    Raises:
        InputError: There is no field, or `init_time` is not a time.
        DataError: The axes do not fit the fields.
    """

    title: str
    simulated_notice: str
    init_time: datetime | str
    lead_hours: Sequence[int]
    latitudes: Sequence[float]
    longitudes: Sequence[float]
    fields: Sequence[FieldBlock]
    score_rows: Sequence[Mapping[str, Any]] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    score_note: str = ""
    hours_label: str = "Lead time"
    tables: Sequence[ReportTable] = ()
    evaluation: Evaluation = field(default_factory=Evaluation)
    comparison: RunComparison | None = None
    places: Sequence[Place] = ()
    left_out: Sequence[str] = ()
    thinning: str = ""

    def __post_init__(self) -> None:
        if not self.fields:
            raise InputError("a report needs at least one field to show")
        if len({f.channel_name for f in self.fields}) != len(self.fields):
            raise InputError(f"fields repeat: {[f.channel_name for f in self.fields]}")
        expected = (len(self.lead_hours), *self.grid.shape)
        for block in self.fields:
            if block.ensemble.shape[1:] != expected:
                raise DataError(
                    f"{block.channel_name} has (lead, latitude, longitude) "
                    f"{block.ensemble.shape[1:]}; the report's axes have {expected}"
                )
        if (np.diff(np.asarray(self.lead_hours)) <= 0).any():
            raise DataError(f"lead times must ascend; they are {list(self.lead_hours)}")
        _ = self.valid_times

    @property
    def is_forecast(self) -> bool:
        """Whether hours count from the start of a forecast."""
        return self.hours_label == "Lead time"

    @property
    def note_on_members(self) -> str:
        """How members depend on each other, in a sentence; empty if they do not."""
        if not any(block.are_pairs for block in self.fields):
            return ""
        return (
            "Members 1 and 2, 3 and 4, and so on are pairs drawn from opposite noise; "
            "spread and ranks allow for it."
        )

    @property
    def grid(self) -> Grid:
        """Horizontal grid of the fields."""
        return Grid(tuple(map(float, self.latitudes)), tuple(map(float, self.longitudes)))

    @property
    def valid_times(self) -> list[str]:
        """Valid time of each lead, such as `Mon 2 Jan 2023 06:00 UTC`."""
        start = _utc(self.init_time)
        return [time_label(start + timedelta(hours=int(h))) for h in self.lead_hours]

    @property
    def init_label(self) -> str:
        """Start of the forecast, written like the valid times."""
        return time_label(_utc(self.init_time))


def time_label(time: datetime) -> str:
    """A UTC time for people, in English whatever the locale."""
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    months = "JanFebMarAprMayJunJulAugSepOctNovDec"
    month = months[3 * time.month - 3 : 3 * time.month]
    date = f"{days[time.weekday()]} {time.day} {month} {time.year}"
    return f"{date} {time:%H:%M} UTC"


def _utc(time: datetime | str) -> datetime:
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError as error:
            raise InputError(
                f"init_time {time!r} is not an ISO 8601 time such as 2023-01-01T00"
            ) from error
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
