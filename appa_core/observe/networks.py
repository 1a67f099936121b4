"""Simulated networks: which cells of which channels are observed when, and how well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from appa_core.constants import EARTH_RADIUS_M
from appa_core.errors import InputError
from appa_core.observe.interpolation import unit_vectors
from appa_core.schema import Grid, StateSchema

GRAVITATIONAL_PARAMETER = 3.986004418e14
#: What stations measure.
SURFACE = (
    "2m_temperature",
    "10m_u_component_of_wind",
    "10m_v_component_of_wind",
    "mean_sea_level_pressure",
)
#: What is sounded at all levels.
SOUNDED = ("temperature", "u_component_of_wind", "v_component_of_wind", "specific_humidity")


@dataclass(frozen=True)
class CircularOrbit:
    """A satellite whose plane follows the sun.

    Args:
        altitude_km: Above the surface.
        inclination_deg: Of the plane to the equator.
        first_longitude_deg: Longitude at minute 0, when it crosses the equator southwards.
    """

    altitude_km: float = 800.0
    inclination_deg: float = 75.0
    first_longitude_deg: float = 180.0

    @property
    def period_minutes(self) -> float:
        """Of a revolution, by Kepler's third law."""
        radius = EARTH_RADIUS_M + 1e3 * self.altitude_km
        return float(2 * np.pi * np.sqrt(radius**3 / GRAVITATIONAL_PARAMETER) / 60)

    def passes(self, minutes: np.ndarray) -> np.ndarray:
        """Number of the pass from one turning point to the next, (N,) int64."""
        return np.floor(2 * minutes / self.period_minutes + 0.5).astype(np.int64)

    def ground_track(self, minutes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Latitude and longitude (in [0, 360)) in degrees below the satellite, (N,) each."""
        angle = np.pi + 2 * np.pi * minutes / self.period_minutes
        tilt = np.deg2rad(self.inclination_deg)
        latitude = np.arcsin(np.sin(tilt) * np.sin(angle))
        along = np.arctan2(np.cos(tilt) * np.sin(angle), np.cos(angle)) - np.pi
        longitude = np.rad2deg(along) - 360.0 * minutes / 1440.0 + self.first_longitude_deg
        return np.rad2deg(latitude), np.asarray(longitude % 360.0)


@dataclass(frozen=True)
class NetworkPlan:
    """A simulated network.

    Args:
        station_share: Share of cells that are stations, with all surface variables at every
            state; places are drawn by area.
        orbiters: Satellites that sound the upper air.
        station_std: Error of stations, in standard deviations of the channel.
        sounding_std: Error of soundings.
        fixes: Minutes of a satellite's pass around every state.
        radius_deg: Of the area seen from each fix.
        seed: Seed of places and of orbits.
    """

    station_share: float = 0.01
    orbiters: int = 1
    station_std: float = 0.01
    sounding_std: float = 0.1
    fixes: int = 60
    radius_deg: float = 5.0
    seed: int = 0


@dataclass(frozen=True)
class NetworkPoints:
    """Observations of a network, one row each: state, position in (C, H, W), error.

    Args:
        state: (M,) int64.
        cell: (M,) int64, position in a flattened state.
        error_std: (M,) float32, in standard deviations of the channel.
    """

    state: np.ndarray
    cell: np.ndarray
    error_std: np.ndarray


def simulate_network(schema: StateSchema, states: int, plan: NetworkPlan) -> NetworkPoints:
    """Where and when a network observes a trajectory.

    Raises:
        InputError: The share of stations is not between 0 and 1.
    """
    if not 0 <= plan.station_share <= 1:
        raise InputError(f"expected a share of stations of 0 to 1, got {plan.station_share}")
    rng = np.random.default_rng([plan.seed, 3])
    rows, columns = schema.grid.shape
    area = np.repeat(schema.grid.area_weights, columns)
    count = round(plan.station_share * rows * columns)
    stations = rng.choice(rows * columns, count, replace=False, p=area / area.sum())
    orbits = [CircularOrbit(first_longitude_deg=360 * rng.random()) for _ in range(plan.orbiters)]
    surface = [i for i, c in enumerate(schema.channels) if c.variable in SURFACE]
    sounded = [i for i, c in enumerate(schema.channels) if c.variable in SOUNDED]
    parts = []
    for state in range(states):
        parts.append(_points(state, surface, stations, plan.station_std, rows * columns))
        for orbit in orbits:
            minutes = state * 60.0 * schema.step_hours + np.arange(plan.fixes) - plan.fixes / 2
            track = orbit.ground_track(minutes)
            seen, _ = seen_cells(schema.grid, track, plan.radius_deg)
            parts.append(_points(state, sounded, seen, plan.sounding_std, rows * columns))
    return NetworkPoints(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _points(
    state: int, channels: list[int], cells: np.ndarray, std: float, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    position = (np.asarray(channels, np.int64)[:, None] * size + cells).ravel()
    return (
        np.full(position.size, state, np.int64),
        position,
        np.full(position.size, std, np.float32),
    )


def seen_cells(
    grid: Grid, track: tuple[np.ndarray, np.ndarray], radius_deg: float
) -> tuple[np.ndarray, np.ndarray]:
    """Cells whose centres lie within a radius of any point of a ground track.

    Args:
        grid: Cells.
        track: Latitude and longitude of N points in degrees.
        radius_deg: Of the area seen from each point.

    Returns:
        Positions in a flattened (H, W), ascending, and the point that each is nearest to.
    """
    rows, columns = grid.shape
    cells = unit_vectors(np.repeat(grid.latitudes, columns), np.tile(grid.longitudes, rows))
    best = np.full(len(cells), -np.inf)
    nearest = np.zeros(len(cells), np.int64)
    for i, point in enumerate(unit_vectors(*track)):
        cosine = cells @ point
        closer = cosine > best
        best[closer], nearest[closer] = cosine[closer], i
    seen = np.flatnonzero(best > np.cos(np.deg2rad(radius_deg)))
    return seen, nearest[seen]
