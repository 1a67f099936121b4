"""From the configuration of a simulated network to its instruments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from appa_core.config.observing import STANDARDISED, SimulatedNetwork
from appa_core.errors import InputError
from appa_core.observations.keyed import keys_of, uniform
from appa_core.observations.satellites import (
    CircularSatellite,
    Satellite,
    TwoLineSatellite,
)
from appa_core.observations.simulated import (
    Instrument,
    LikeReports,
    Measured,
    Orbiter,
    Radiosondes,
    Stations,
    cell_stations,
    real_stations,
)
from appa_core.observations.table import ObservationTable
from appa_core.observations.views import Disc, Scans, Swath
from appa_core.observe.networks import CircularOrbit
from appa_core.schema import StateSchema

ALL = "all"


@dataclass(frozen=True)
class NetworkData:
    """What networks are made of besides their configuration.

    Args:
        stations: Lists of real stations by name, `isd` and `igra`.
        satellites: By name.
        like: Tables of real reports.
    """

    stations: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    satellites: Mapping[str, TwoLineSatellite] = field(default_factory=dict)
    like: tuple[ObservationTable, ...] = ()


def build_instruments(
    network: SimulatedNetwork, schema: StateSchema, data: NetworkData
) -> list[Instrument]:
    """The instruments of a network.

    Args:
        network: Its configuration.
        schema: Of the states that it observes.
        data: What it refers to.

    Raises:
        InputError: A satellite is unknown.
    """
    standardised = network.errors == STANDARDISED
    surface = Measured.surface(schema, network.station_error if standardised else np.nan)
    sounding_error = network.sounding_error if standardised else np.nan
    sounding = Measured.soundings(schema, sounding_error)
    if network.sounder == "radiance":
        sounded_from_above = Measured.radiances(schema, sounding_error)
    else:
        sounded_from_above = sounding
    instruments: list[Instrument] = [
        Stations(places, surface)
        for places in _places(network, schema, data, "station", network.stations, "isd")
    ]
    instruments += [
        Radiosondes(places, sounding, network.six_hourly, network.seed)
        for places in _places(network, schema, data, "radiosonde", network.radiosondes, "igra")
    ]
    view = _view(network, schema)
    instruments += [
        Orbiter(satellite, view, sounded_from_above) for satellite in _satellites(network, data)
    ]
    instruments += [LikeReports(table, network.like_every_hours) for table in data.like]
    return instruments


def _places(
    network: SimulatedNetwork,
    schema: StateSchema,
    data: NetworkData,
    purpose: str,
    share: float,
    real: str,
) -> list[pd.DataFrame]:
    """Cells, and real stations, of one kind; nothing where there is none."""
    found = []
    if share > 0:
        found.append(cell_stations(schema.grid, share, network.seed, purpose))
    if real in data.stations:
        found.append(real_stations(data.stations[real], getattr(network, real), network.seed))
    return [places for places in found if len(places)]


def _view(network: SimulatedNetwork, schema: StateSchema) -> Disc | Scans:
    if network.view == "disc":
        return Disc(schema.grid, network.radius_deg, network.minutes)
    swath = Swath(
        network.swath_km, network.fields_of_view, network.scan_seconds, network.footprint_km
    )
    return Scans(swath, network.minutes)


def _satellites(network: SimulatedNetwork, data: NetworkData) -> list[Satellite]:
    found: list[Satellite] = []
    for i in range(network.orbiters):
        number = np.array([float(i)])
        longitude, ahead = (
            float(uniform(keys_of(network.seed, purpose, [number]))[0])
            for purpose in ("orbit", "phase")
        )
        orbit = CircularOrbit(network.altitude_km, network.inclination_deg, 360.0 * longitude)
        found.append(CircularSatellite(f"orbiter-{i + 1}", orbit, ahead * orbit.period_minutes))
    names = data.satellites if network.satellites == (ALL,) else network.satellites
    for name in names:
        if name not in data.satellites:
            raise InputError(
                f"unknown satellite {name!r}; there are: {', '.join(data.satellites)}, or {ALL}"
            )
        found.append(data.satellites[name])
    return found
