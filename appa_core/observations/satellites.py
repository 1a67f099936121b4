"""Satellites: what lies below them when, and in which pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from appa_core.errors import InputError
from appa_core.observe.networks import CircularOrbit

_UNIX_EPOCH_JULIAN = 2_440_587.5
_SECOND = np.timedelta64(1, "s")
#: Elements describe an orbit for about as long.
_CYCLE_DAYS = 16
#: More than the passes of a cycle.
_PASSES_PER_CYCLE = 1000
_WGS84_RADIUS_KM, _WGS84_FLATTENING = 6378.137, 1 / 298.257223563


class Satellite(Protocol):
    """Something that passes over the Earth."""

    @property
    def name(self) -> str:
        """Its name, by which it is a station of the table."""
        ...

    def track(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Latitude and longitude in degrees below it at times (N,) datetime64, (N,) each."""
        ...

    def passes(self, times: np.ndarray) -> np.ndarray:
        """Number of its pass, from one turning point in latitude to the next, (N,) int64."""
        ...


@dataclass(frozen=True)
class CircularSatellite:
    """A satellite on a circular orbit, the same whatever period is asked for.

    Args:
        name: Its name.
        orbit: Where it goes.
        ahead_minutes: How far along its orbit it is at the start of 1970.
    """

    name: str
    orbit: CircularOrbit
    ahead_minutes: float = 0.0

    def _minutes(self, times: np.ndarray) -> np.ndarray:
        return np.asarray((times - np.datetime64(0, "s")) / _SECOND / 60.0) + self.ahead_minutes

    def track(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Satellite`."""
        return self.orbit.ground_track(self._minutes(times))

    def passes(self, times: np.ndarray) -> np.ndarray:
        """See `Satellite`."""
        return self.orbit.passes(self._minutes(times))


@dataclass(frozen=True)
class TwoLineSatellite:
    """A satellite by its two-line elements, through SGP4.

    Elements hold for days. At other times the satellite is where it was, or will be, a multiple
    of 16 days away, within 8 days of the elements' own day: the orbit's geometry with its
    hours of the day, not an ephemeris.

    Args:
        name: Its name.
        first: First line of elements.
        second: Second line.
    """

    name: str
    first: str
    second: str

    @cached_property
    def _model(self) -> Any:
        try:
            from sgp4.api import Satrec
        except ImportError as error:
            raise InputError(
                "satellites from two-line elements need the package sgp4: "
                "pip install 'appa[satellites]', or use circular orbits (orbiters=1)"
            ) from error
        return Satrec.twoline2rv(self.first, self.second)

    @property
    def epoch(self) -> np.datetime64:
        """Time of the elements."""
        days = self._model.jdsatepoch - _UNIX_EPOCH_JULIAN + self._model.jdsatepochF
        return np.datetime64(0, "us") + np.timedelta64(round(days * 86_400e6), "us")

    def _known(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Times at which the elements hold, and by how many cycles they are moved."""
        middle = self.epoch.astype("datetime64[D]")
        day = np.timedelta64(1, "D")
        cycle = np.floor((times - middle) / day / _CYCLE_DAYS + 0.5).astype(np.int64)
        return times - cycle * _CYCLE_DAYS * day, cycle

    def track(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Satellite`; geodetic latitudes (WGS 84)."""
        known, _ = self._known(times)
        days = (known - np.datetime64(0, "us")) / np.timedelta64(1, "D")
        whole = np.floor(days)
        failed, place, _ = self._model.sgp4_array(whole + _UNIX_EPOCH_JULIAN, days - whole)
        if failed.any():
            raise InputError(
                f"the elements of {self.name} give no orbit at "
                f"{known[np.flatnonzero(failed)[0]]} (error {failed.max()} of SGP4); use others"
            )
        longitude = np.rad2deg(np.arctan2(place[:, 1], place[:, 0])) - sidereal_degrees(days)
        return geodetic_latitude(place), np.asarray(longitude % 360.0)

    def passes(self, times: np.ndarray) -> np.ndarray:
        """See `Satellite`; turning points are those of the mean orbit."""
        known, cycle = self._known(times)
        minutes = (known - self.epoch) / _SECOND / 60.0
        rate = self._model.mdot + self._model.argpdot
        angle = self._model.argpo + self._model.mo + rate * minutes
        number = np.floor(angle / np.pi - 0.5).astype(np.int64)
        return np.asarray(number + cycle * _PASSES_PER_CYCLE)


def sidereal_degrees(days: np.ndarray) -> np.ndarray:
    """Greenwich mean sidereal time (Aoki et al. 1982), in degrees.

    Args:
        days: Since the start of 1970, universal time.
    """
    century = (days + _UNIX_EPOCH_JULIAN - 2_451_545.0) / 36_525.0
    seconds = 67_310.54841 + century * (
        876_600.0 * 3600.0 + 8_640_184.812866 + century * (0.093104 - century * 6.2e-6)
    )
    return np.asarray((seconds / 240.0) % 360.0)


def geodetic_latitude(place: np.ndarray) -> np.ndarray:
    """Degrees, of places (N, 3) in km from the centre, the third axis through the pole."""
    across = np.hypot(place[:, 0], place[:, 1])
    squared = _WGS84_FLATTENING * (2 - _WGS84_FLATTENING)
    latitude = np.arctan2(place[:, 2], across)
    for _ in range(5):  # each gains more than two digits
        sine = np.sin(latitude)
        normal = _WGS84_RADIUS_KM / np.sqrt(1 - squared * sine**2)
        latitude = np.arctan2(place[:, 2] + normal * squared * sine, across)
    return np.asarray(np.rad2deg(latitude))


def read_elements(text: str, source: str) -> Mapping[str, TwoLineSatellite]:
    """Satellites by name, from blocks of a name and two lines of elements.

    Raises:
        InputError: The text has another form.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = {}
    for start in range(0, len(lines), 3):
        block = lines[start : start + 3]
        if len(block) < 3 or not (block[1].startswith("1 ") and block[2].startswith("2 ")):
            raise InputError(
                f"{source}: expected a name and two lines of elements, which begin with 1 and 2; "
                f"found {' / '.join(block)}"
            )
        found[block[0]] = TwoLineSatellite(*block)
    return found
