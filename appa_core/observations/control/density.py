"""Where observations stand closer than a model resolves: thinning and superobbing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from appa_core.observations.control.check import Evidence, Knowledge, PlainCheck
from appa_core.observations.table import ObservationTable
from appa_core.observe.interpolation import EARTH_RADIUS_KM, unit_vectors
from appa_core.observe.quantities import QUANTITIES

_SUPEROBSERVATION = "superobservation"


@dataclass(frozen=True)
class Boxes:
    """Boxes of about equal area, time and thickness, in each of which a platform counts once.

    Args:
        km: Side of a box.
        hours: Its length in time; boxes are centred on multiples of it.
        level_ratio: Pressures of its bottom and top.
        platforms: Only these; all if empty.
    """

    km: float = 100.0
    hours: float = 1.0
    level_ratio: float = 1.2
    platforms: tuple[str, ...] = ()

    def of(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """The box of each of N rows, and how far from its centre the row is.

        Returns:
            Numbers of boxes (N,), of one quantity and platform each, and distances (N,) in units
            of the size of a box.
        """
        step = np.degrees(self.km / EARTH_RADIUS_KM)
        rows = np.maximum(1, np.round(180.0 / step))
        place = (frame["latitude"].to_numpy() + 90.0) / (180.0 / rows)
        row = np.minimum(np.floor(place), rows - 1)
        # as many columns as keep boxes square at the middle of the row
        circumference = np.cos(np.deg2rad((row + 0.5) * 180.0 / rows - 90.0))
        columns = np.maximum(1, np.round(360.0 / step * circumference))
        along = frame["longitude"].to_numpy() / 360.0 * columns
        column = np.floor(along)
        seconds = frame["valid_time"].to_numpy().astype("datetime64[s]").astype(np.int64)
        time = seconds / (3600.0 * self.hours)
        slot = np.round(time)
        # one layer for all that has no level
        height = np.nan_to_num(np.log(frame["level"].to_numpy()) / np.log(self.level_ratio))
        layer = np.round(height)
        keys = frame[["quantity", "platform", "top_level"]].assign(
            row=row, column=column, slot=slot, layer=layer
        )
        box = keys.groupby(list(keys.columns), dropna=False, sort=False).ngroup().to_numpy()
        offsets = [place - row - 0.5, along - column - 0.5, time - slot, height - layer]
        return box, np.sqrt(np.sum(np.square(offsets), axis=0))

    def chosen(self, table: ObservationTable) -> np.ndarray:
        """Which rows are used and of the platforms concerned, (N,) bool."""
        if not self.platforms:
            return table.is_used
        return table.is_used & table.frame["platform"].isin(self.platforms).to_numpy()


@dataclass(frozen=True)
class Thinning(PlainCheck):
    """Keeps of each box the row that is nearest to its centre.

    Args:
        boxes: Within which observations are taken to say the same.
    """

    boxes: Boxes = Boxes()

    def checked(self, table: ObservationTable) -> ObservationTable:
        """The table with all other rows rejected."""
        rows = np.flatnonzero(self.boxes.chosen(table))
        box, distance = self.boxes.of(table.frame.iloc[rows])
        order = np.lexsort((rows, distance, box))
        is_first = np.ones(len(rows), bool)
        is_first[1:] = box[order][1:] != box[order][:-1]
        is_thinned = np.ones(len(rows), bool)
        is_thinned[order[is_first]] = False
        everywhere = np.zeros(len(table), bool)
        everywhere[rows] = is_thinned
        return table.reject(everywhere, "thinned")


@dataclass(frozen=True)
class Superobbing:
    """Replaces the rows of a box by their mean.

    A mean of n errors of standard deviation s that are correlated by r has the variance
    s^2 (1 + (n - 1) r) / n.

    Args:
        boxes: Within which observations are averaged.
        correlation: Of the errors within a box.
    """

    boxes: Boxes = Boxes()
    correlation: float = 0.3

    @property
    def needs(self) -> frozenset[Knowledge]:
        """Nothing."""
        return frozenset()

    @property
    def makes_rows(self) -> bool:
        """One for each box with more than one row."""
        return True

    def __call__(self, table: ObservationTable, evidence: Evidence) -> ObservationTable:  # noqa: ARG002
        """The table with rows rejected that are averaged, and their averages after them."""
        rows = np.flatnonzero(self.boxes.chosen(table))
        box, _ = self.boxes.of(table.frame.iloc[rows])
        is_shared = np.bincount(box)[box] > 1 if len(box) else np.zeros(0, bool)
        if not is_shared.any():
            return table
        averaged = np.zeros(len(table), bool)
        averaged[rows[is_shared]] = True
        members = table.frame.iloc[rows[is_shared]]
        _, number = np.unique(box[is_shared], return_inverse=True)
        made = _means(members, number, self.correlation)
        return ObservationTable.concatenate(
            [
                table.reject(averaged, "averaged into a superobservation"),
                ObservationTable.of(made, "superobservations", is_si=True),
            ]
        )


def _means(members: pd.DataFrame, box: np.ndarray, correlation: float) -> pd.DataFrame:
    """A row for each of the boxes 0 to B - 1."""

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(box, values) / count

    count = np.bincount(box)
    made = members.iloc[np.unique(box, return_index=True)[1]].reset_index(drop=True)
    points = unit_vectors(members["latitude"].to_numpy(), members["longitude"].to_numpy())
    x, y, z = (mean(points[:, i]) for i in range(3))
    seconds = members["valid_time"].to_numpy().astype("datetime64[s]").astype(np.int64)
    variance = mean(np.square(members["error_std"].to_numpy()))
    return made.assign(
        latitude=np.rad2deg(np.arctan2(z, np.hypot(x, y))),
        longitude=np.rad2deg(np.arctan2(y, x)) % 360.0,
        valid_time=np.round(mean(seconds)).astype("datetime64[s]"),
        level=np.exp(mean(np.log(members["level"].to_numpy()))),
        elevation_m=mean(members["elevation_m"].to_numpy()),
        value=_mean_values(members, mean),
        error_std=np.sqrt(variance * (1 + (count - 1) * correlation) / count),
        station_id=_SUPEROBSERVATION,
        report_id="",
    )


def _mean_values(members: pd.DataFrame, mean: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Means of values; of directions, that of their unit vectors."""
    values = members["value"].to_numpy()
    angle = np.deg2rad(values)
    around = np.rad2deg(np.arctan2(mean(np.sin(angle)), mean(np.cos(angle)))) % 360.0
    is_angle = members["quantity"].map({n: q.is_angle for n, q in QUANTITIES.items()})
    return np.asarray(np.where(mean(is_angle.to_numpy(float)) > 0.5, around, mean(values) + 0.0))
