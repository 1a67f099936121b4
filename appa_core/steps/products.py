"""Small files for those who need numbers: values at points, chances of events, quantiles.

The spread is that of pairs where members are pairs of opposite noise. Probabilities and quantiles
count all members alike: every member is a draw of the same distribution, so that shares of paired
members are right on average; only their sampling error is another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.io.ensembles import EnsembleFields, OpenResult
from appa_core.io.exports import described_axes, write_netcdf
from appa_core.io.hashing import content_key
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.metrics.members import spread_of, variances
from appa_core.products import Event, PointWeights, quantiles
from appa_core.report.content import Place
from appa_core.schema import Channel
from appa_core.steps.page_fields import in_order_of_interest
from appa_core.steps.step import run_step

POINTS = "points.csv"
PROBABILITIES = "probabilities.nc"
CHANCES = "probabilities.csv"
QUANTILES = "quantiles.nc"
#: Fields with quantiles, unless they are named.
_USUAL_QUANTILES = 6


@dataclass(frozen=True)
class ProductOrder:
    """What products are asked for.

    Args:
        places: Points with values of every field.
        events: Whose probabilities are wanted.
        quantiles: Of members, from 0 to 1.
        channels: Fields with quantiles; some that many want where empty.
    """

    places: tuple[Place, ...] = ()
    events: tuple[Event, ...] = ()
    quantiles: tuple[float, ...] = ()
    channels: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.places or self.events or self.quantiles)

    def check(self, fields: EnsembleFields) -> None:
        """See whether a result has what is asked for.

        Raises:
            InputError: It lacks a field, or a point lies outside its region.
        """
        for name in (*self.channels, *(e.channel_name for e in self.events)):
            fields.channel(name)
        for place in self.places:
            _weights(fields, place)

    def quantile_channels(self, fields: EnsembleFields) -> list[Channel]:
        """Fields with quantiles."""
        if self.channels:
            return [fields.channel(name) for name in self.channels]
        return in_order_of_interest(fields.channels)[:_USUAL_QUANTILES]


def write_products(
    store: ArtifactStore, result: OpenResult, order: ProductOrder, *, recompute: bool = False
) -> Artifact:
    """Write the products of a result.

    Args:
        store: Where artifacts live.
        result: What is read.
        order: What is asked for; checked.
        recompute: Write again what is there.

    Raises:
        InputError: The result lacks a field, or a point lies outside its region.
        IntegrityError: The result is damaged.
    """
    order.check(result.fields)
    recipe = Recipe("products", 2, asdict(order), {"result": content_key(result.manifest)})

    def build(folder: Path) -> Mapping[str, Any]:
        result.result.verify()
        fields = result.fields
        if order.places:
            paired = result.result.paired
            table = point_table(fields, order.places, order.quantiles, paired=paired)
            _write_table(table, folder / POINTS)
        if order.events:
            write_netcdf(probability_fields(fields, order.events), folder / PROBABILITIES)
        if order.events and order.places:
            table = probability_table(fields, order.events, order.places)
            _write_table(table, folder / CHANCES)
        if order.quantiles:
            channels = order.quantile_channels(fields)
            write_netcdf(quantile_fields(fields, channels, order.quantiles), folder / QUANTILES)
        return {"files": sorted(p.name for p in folder.iterdir())}

    return run_step(store, recipe, build, recompute=recompute)


def point_table(
    fields: EnsembleFields,
    places: Sequence[Place],
    levels: Sequence[float] = (),
    *,
    paired: bool = False,
) -> pd.DataFrame:
    """Values of every field at points, SI units: a row for each place, field and time.

    Columns are place, latitude, longitude, variable, level, units, valid_time, lead_hours, mean,
    spread (unbiased variance; NaN of one member), `q<level>` for each quantile, and `member_<m>`.

    Args:
        fields: The ensemble.
        places: Points.
        levels: Of the quantiles, from 0 to 1.
        paired: Members come in pairs of opposite noise, which the spread allows for
            (`appa_core.metrics.members`); quantiles are those of all members.
    """
    rows = []
    for channel in fields.channels:
        for place in places:
            members = _at(fields, place, channel)
            spread = spread_of(variances(members, paired=paired).member, len(members))
            columns = {"mean": members.mean(0), "spread": spread}
            found = zip(levels, quantiles(members, levels), strict=True)
            columns |= {f"q{q:g}": values for q, values in found}
            columns |= {f"member_{m}": values for m, values in enumerate(members)}
            rows += [
                _where(place)
                | {"variable": channel.variable, "level": channel.level, "units": channel.units}
                | _when(fields, t)
                | {name: float(values[t]) for name, values in columns.items()}
                for t in range(len(fields.hours))
            ]
    return pd.DataFrame(rows).astype({"level": "Int64"})


def probability_table(
    fields: EnsembleFields, events: Sequence[Event], places: Sequence[Place]
) -> pd.DataFrame:
    """Probabilities of events at points: of the members' values there, not of the cells'."""
    rows = []
    for event in events:
        channel = fields.channel(event.channel_name)
        for place in places:
            chances = event.probability(_at(fields, place, channel))
            rows += [
                _where(place)
                | {"event": event.text}
                | _when(fields, t)
                | {"probability": float(chance)}
                for t, chance in enumerate(chances)
            ]
    return pd.DataFrame(rows)


def probability_fields(fields: EnsembleFields, events: Sequence[Event]) -> xr.Dataset:
    """Probabilities of events in every cell: `probability` (event, time, latitude, longitude)."""
    values = np.empty((len(events), len(fields.hours), *fields.grid.shape), np.float32)
    for i, event in enumerate(events):
        channel = fields.channel(event.channel_name)
        for t in range(len(fields.hours)):
            values[i, t] = event.probability(fields.read(channel, [t]))[0]
    attrs = {
        "long_name": "share of ensemble members for which the event is so",
        "units": "1",
        "members": fields.members,
    }
    dims = ("event", fields.time_dim, "latitude", "longitude")
    dataset = xr.Dataset({"probability": (dims, values, attrs)}, coords=described_axes(fields))
    names = np.asarray([e.text for e in events], dtype=object)
    about = {"long_name": "field beyond a threshold in SI units"}
    return dataset.assign_coords(event=("event", names, about)).assign_attrs(_about(fields))


def quantile_fields(
    fields: EnsembleFields, channels: Sequence[Channel], levels: Sequence[float]
) -> xr.Dataset:
    """Quantiles of members in every cell: for each field (quantile, time, latitude, longitude)."""
    dims = ("quantile", fields.time_dim, "latitude", "longitude")
    data = {}
    for channel in channels:
        values = np.empty((len(levels), len(fields.hours), *fields.grid.shape), np.float32)
        for t in range(len(fields.hours)):
            values[:, t] = quantiles(fields.read(channel, [t])[:, 0], levels)
        attrs = {"units": channel.units, "long_name": f"quantiles of {channel.name} over members"}
        data[channel.name] = (dims, values, attrs)
    dataset = xr.Dataset(data, coords=described_axes(fields))
    about = {"units": "1", "long_name": "share of members at or below the value"}
    place = ("quantile", np.asarray(levels), about)
    return dataset.assign_coords(quantile=place).assign_attrs(_about(fields))


def _weights(fields: EnsembleFields, place: Place) -> PointWeights:
    return PointWeights.of(
        fields.grid, place.latitude, place.longitude, is_global=fields.is_global
    )


def _at(fields: EnsembleFields, place: Place, channel: Channel) -> np.ndarray:
    """Members' values at a place, (M, T)."""
    weights = _weights(fields, place)
    cells = fields.read_points(channel, weights.row.tolist(), weights.column.tolist())
    return weights.values(cells, turns="component" in channel.variable)


def _where(place: Place) -> dict[str, Any]:
    return {"place": place.name, "latitude": place.latitude, "longitude": place.longitude}


def _when(fields: EnsembleFields, t: int) -> dict[str, Any]:
    return {
        "valid_time": f"{fields.valid_times[t]:%Y-%m-%dT%H:%M}",
        "lead_hours": fields.hours[t],
    }


def _about(fields: EnsembleFields) -> dict[str, Any]:
    kept = ("title", "source", "model")
    found = {k: v for k, v in fields.dataset.attrs.items() if k in kept}
    return {**found, "Conventions": "CF-1.11"}


def _write_table(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
