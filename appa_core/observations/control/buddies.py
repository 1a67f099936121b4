"""The buddy check: does a value agree with its neighbours?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from appa_core.observations.control.check import (
    Evidence,
    RejectingCheck,
    departures,
    wrapped,
)
from appa_core.observations.table import ObservationTable
from appa_core.observe.interpolation import EARTH_RADIUS_KM, unit_vectors
from appa_core.observe.quantities import quantity


@dataclass(frozen=True)
class BuddyCheck(RejectingCheck):
    """Rejects values that differ from the median of their neighbours.

    What is compared are departures from the background, else from the climatology, where they are
    known; else values, but no pressures at stations, which differ with height. The tolerance is
    `limit` times the root of the sum of squares of the neighbours' spread (1.4826 times their
    median absolute deviation) and of `noise` of what is typical of the quantity. Medians, so that
    one bad value does not take the good ones with it (as in the spatial checks of Lussana et al.
    2010 and titanlib).

    Args:
        radius_km: How far neighbours are.
        hours: How much earlier or later they are.
        level_ratio: Their pressures differ by less than this factor.
        elevation_m: Their stations' heights differ by less; those that are unknown count as near.
        least: Fewer neighbours say nothing.
        limit: In standard deviations.
        noise: Share of a quantity's typical departure from the season.
        without: Quantities that neighbours say nothing of.
    """

    radius_km: float = 300.0
    hours: float = 1.0
    level_ratio: float = 1.1
    elevation_m: float = 300.0
    least: int = 4
    limit: float = 5.0
    noise: float = 0.5
    without: tuple[str, ...] = ("total_precipitation_6hr",)

    def __call__(self, table: ObservationTable, evidence: Evidence) -> ObservationTable:
        """The table with values rejected that do not agree with their neighbours."""
        compared, is_departure = _compared(table, evidence)
        is_odd = np.zeros(len(table), bool)
        names = table.frame["quantity"].to_numpy(object)
        for name in sorted(set(names[table.is_used].tolist()) - set(self.without)):
            known = quantity(str(name))
            is_own = (names == name) & table.is_used & np.isfinite(compared)
            if known.place == "station":
                is_own &= is_departure
            rows = np.flatnonzero(is_own)
            if len(rows) > self.least:
                typical = self.noise * known.spread
                is_odd[rows] = self._odd(
                    table, rows, compared[rows], typical, is_angle=known.is_angle
                )
        return table.reject(is_odd, "buddy check")

    def _odd(
        self,
        table: ObservationTable,
        rows: np.ndarray,
        compared: np.ndarray,
        noise: float,
        *,
        is_angle: bool,
    ) -> np.ndarray:
        """Which of some rows of one quantity do not agree with the others, (N,) bool."""
        odd = np.zeros(len(rows), bool)
        for n, neighbours in enumerate(self._neighbours(table, rows)):
            if len(neighbours) < self.least:
                continue
            others, distance = compared[neighbours], compared[n]
            if is_angle:  # measured from where the neighbours point
                towards = _mean_direction(others)
                others, distance = (wrapped(x - towards) for x in (others, distance))
            middle = np.median(others)
            spread = 1.4826 * np.median(np.abs(others - middle))
            odd[n] = abs(distance - middle) > self.limit * np.hypot(spread, noise)
        return odd

    def _neighbours(self, table: ObservationTable, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Of each of some rows, those near it, of other stations, as positions among the rows."""
        own = table.frame.iloc[rows]
        points = unit_vectors(own["latitude"].to_numpy(), own["longitude"].to_numpy())
        tree = cKDTree(points)
        chord = 2 * np.sin(min(self.radius_km / EARTH_RADIUS_KM, np.pi) / 2)
        hours = own["valid_time"].to_numpy().astype("datetime64[s]").astype(np.int64) / 3600.0
        logs, heights = np.log(own["level"].to_numpy()), own["elevation_m"].to_numpy()
        station = (own["platform"] + ":" + own["station_id"]).factorize()[0]
        for n, point in enumerate(points):
            near = np.asarray(tree.query_ball_point(point, chord), int)
            is_near = (np.abs(hours[near] - hours[n]) <= self.hours) & (
                station[near] != station[n]
            )
            is_near &= ~(np.abs(logs[near] - logs[n]) > np.log(self.level_ratio))
            is_near &= ~(np.abs(heights[near] - heights[n]) > self.elevation_m)
            yield near[is_near]


def _compared(table: ObservationTable, evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """What is compared of each row, and whether it is a departure from what was expected."""
    found = table.frame["value"].to_numpy(np.float64)
    is_departure = np.zeros(len(table), bool)
    for expected in (evidence.climatology, evidence.background):
        if expected is not None:
            is_known = np.isfinite(expected.mean)
            found = np.where(is_known, departures(table, expected.mean), found)
            is_departure |= is_known
    return found, is_departure


def _mean_direction(degrees: np.ndarray) -> float:
    angle = np.deg2rad(degrees)
    return float(np.rad2deg(np.arctan2(np.sin(angle).sum(), np.cos(angle).sum())))
