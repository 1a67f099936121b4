"""Which fields of an ensemble a page shows, so that it stays within its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from appa_core.io.ensembles import EnsembleFields
from appa_core.metrics.spectra import power_spectrum
from appa_core.report.content import FieldBlock
from appa_core.report.units import shown_name
from appa_core.schema import MASKED, Channel, Grid

#: For the text of the fields on the page that each flow writes.
FLOW_BUDGET_BYTES = 2_500_000
#: What people ask for first.
_FIRST = (
    Channel("geopotential", 500),
    Channel("temperature", 850),
    Channel("2m_temperature"),
    Channel("mean_sea_level_pressure"),
    Channel("u_component_of_wind", 850),
    Channel("v_component_of_wind", 850),
    Channel("10m_u_component_of_wind"),
    Channel("10m_v_component_of_wind"),
    Channel("total_precipitation_6hr"),
    Channel("total_precipitation"),
    Channel("specific_humidity", 700),
)
_MOST_TIMES = 61
#: Of a map: 1 degree around the globe.
_MOST_CELLS = 181 * 360
#: Of a channel in memory and in the browser.
_MOST_VALUES = 12_000_000
#: A smooth field takes as much or more in text; what is loaded in vain is bounded by it.
_LEAST_BYTES = 0.9
_SPECTRA = 3  # leads with spectra on a page


def in_order_of_interest(channels: Sequence[Channel]) -> list[Channel]:
    """Channels, those that people ask for first at the front."""
    return [c for c in _FIRST if c in channels] + [c for c in channels if c not in _FIRST]


@dataclass(frozen=True)
class Extent:
    """What of an ensemble is shown.

    Args:
        channels: In order of interest.
        times: Positions of the valid times.
        stride: Every how many rows and columns.
        left_out: Channels for which there is no room.
        total_times: How many valid times there are.
    """

    channels: tuple[Channel, ...]
    times: tuple[int, ...]
    stride: int
    left_out: tuple[Channel, ...]
    total_times: int

    @classmethod
    def of(
        cls,
        fields: EnsembleFields,
        budget_bytes: int,
        chosen: Sequence[Channel] | None = None,
        most_times: int = _MOST_TIMES,
    ) -> Extent:
        """As much of an ensemble as fits.

        Args:
            fields: The ensemble.
            budget_bytes: For the text of the fields.
            chosen: Channels to show; by interest where None.
            most_times: Of longer results evenly spread times are shown.
        """
        total = len(fields.valid_times)
        count = min(total, most_times)
        times = tuple(int(i) for i in np.unique(np.linspace(0, total - 1, count).astype(int)))
        rows, columns = fields.grid.shape
        stride = 1
        while (
            (cells := -(-rows // stride) * -(-columns // stride)) > _MOST_CELLS
            or cells * len(times) * (fields.members + 2) > _MOST_VALUES
        ) and min(rows, columns) // stride > 2:
            stride += 1
        wanted = list(chosen) if chosen else in_order_of_interest(fields.channels)
        one = cells * len(times) * (fields.members + 2) * _LEAST_BYTES
        room = max(1, int(budget_bytes / one))
        return cls(tuple(wanted[:room]), times, stride, tuple(wanted[room:]), total)

    @property
    def note(self) -> str:
        """What is not shown of grid and times, in a sentence or two; empty if all is."""
        parts = []
        if len(self.times) < self.total_times:
            parts.append(f"{len(self.times)} of {self.total_times} times are shown.")
        if self.stride > 1:
            parts.append(f"Maps and plumes show every {_ordinal(self.stride)} point of the grid.")
        return " ".join(parts)

    def grid(self, whole: Grid) -> Grid:
        """The grid that is shown."""
        return Grid(whole.latitudes[:: self.stride], whole.longitudes[:: self.stride])

    def cut(self, known: np.ndarray) -> np.ndarray:
        """Cells of known fields (..., H, W) that are shown."""
        return known[..., :: self.stride, :: self.stride]


def _ordinal(count: int) -> str:
    return {2: "2nd", 3: "3rd"}.get(count, f"{count}th")


def label_of(channel: Channel) -> str:
    """A channel's name for people, such as `Temperature at 850 hPa`."""
    where = "" if channel.level is None else f" at {channel.level} hPa"
    return shown_name(channel.variable).capitalize() + where


def field_blocks(
    fields: EnsembleFields,
    extent: Extent,
    truth: Mapping[Channel, np.ndarray] | None = None,
    climatology: Mapping[Channel, np.ndarray] | None = None,
    *,
    paired: bool = False,
) -> list[FieldBlock]:
    """The fields that a page shows.

    Args:
        fields: The ensemble.
        extent: What of it.
        truth: By channel, (T, H, W) of the shown times and cells; None if it is not known.
        climatology: Likewise.
        paired: Members come in pairs of opposite noise; see `appa_core.metrics.members`.
    """
    return [
        FieldBlock(
            channel_name=channel.name,
            label=label_of(channel),
            units=channel.units,
            truth=None if truth is None else truth[channel],
            ensemble=fields.read(channel, extent.times, extent.stride),
            climatology=None if climatology is None else climatology[channel],
            signed="component" in channel.variable,
            variable=channel.variable,
            level=channel.level,
            may_be_missing=channel.variable in MASKED,
            paired=paired,
        )
        for channel in extent.channels
    ]


def spectra_of(
    blocks: Sequence[FieldBlock], fields: EnsembleFields, extent: Extent
) -> list[dict[str, object]]:
    """Rows of spectra of global fields that are shown whole, at a few times.

    Args:
        blocks: What `field_blocks` made.
        fields: The ensemble.
        extent: What of it is shown.
    """
    if extent.stride > 1 or not fields.is_global:
        return []
    picks = np.unique(np.linspace(0, len(extent.times) - 1, _SPECTRA).astype(int))
    rows: list[dict[str, object]] = []
    for block in blocks:
        if block.may_be_missing:
            continue
        made = {
            "members": block.ensemble[:, picks],
            "mean": block.ensemble[:, picks].mean(0, keepdims=True),
        }
        if block.truth is not None:
            made["truth"] = block.truth[None, picks]
        for source, values in made.items():
            power = power_spectrum(values, fields.grid).mean(0)
            rows += [
                {
                    "variable": block.variable,
                    "level": block.level,
                    "lead_hours": fields.hours[extent.times[pick]],
                    "source": source,
                    "wavenumber": degree,
                    "power": float(value),
                }
                for pick, spectrum in zip(picks, power, strict=True)
                for degree, value in enumerate(spectrum)
                if degree > 0
            ]
    return rows
