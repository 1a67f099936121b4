"""Channels, grids and the one mapping between named fields and stacked tensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from appa_core.errors import DataError, InputError

if TYPE_CHECKING:
    import xarray as xr

#: SI unit and CF standard name of every variable that the project knows, by ERA5 name.
VARIABLES: dict[str, tuple[str, str]] = {
    "temperature": ("K", "air_temperature"),
    "u_component_of_wind": ("m s-1", "eastward_wind"),
    "v_component_of_wind": ("m s-1", "northward_wind"),
    "geopotential": ("m2 s-2", "geopotential"),
    "specific_humidity": ("kg kg-1", "specific_humidity"),
    "2m_temperature": ("K", "air_temperature"),
    "10m_u_component_of_wind": ("m s-1", "eastward_wind"),
    "10m_v_component_of_wind": ("m s-1", "northward_wind"),
    "mean_sea_level_pressure": ("Pa", "air_pressure_at_mean_sea_level"),
    "sea_surface_temperature": ("K", "sea_surface_temperature"),
    "total_precipitation_6hr": ("m", "lwe_thickness_of_precipitation_amount"),
    "total_precipitation": ("m", "lwe_thickness_of_precipitation_amount"),
}

#: Variables that cannot be negative.
NON_NEGATIVE = frozenset({"specific_humidity", "total_precipitation", "total_precipitation_6hr"})

#: Variables that have no value in some cells: NaN there is no damage.
MASKED = frozenset({"sea_surface_temperature"})

_SHORT = {
    "temperature": "T",
    "u_component_of_wind": "U",
    "v_component_of_wind": "V",
    "geopotential": "Z",
    "specific_humidity": "Q",
    "2m_temperature": "T2m",
    "10m_u_component_of_wind": "U10",
    "10m_v_component_of_wind": "V10",
    "mean_sea_level_pressure": "MSLP",
    "sea_surface_temperature": "SST",
    "total_precipitation_6hr": "TP6h",
    "total_precipitation": "TP",
}


@dataclass(frozen=True, order=True)
class Channel:
    """One field of a state: a variable, at a pressure level or at the surface.

    Args:
        variable: ERA5 name, one of `VARIABLES`.
        level: Pressure in hPa; None at the surface.
    """

    variable: str
    level: int | None = None

    def __post_init__(self) -> None:
        if self.variable not in VARIABLES:
            known = ", ".join(sorted(VARIABLES))
            raise InputError(f"unknown variable {self.variable!r}; known are: {known}")

    @property
    def units(self) -> str:
        """SI unit of the field."""
        return VARIABLES[self.variable][0]

    @property
    def name(self) -> str:
        """Unique name within a schema, such as `temperature_850`."""
        return self.variable if self.level is None else f"{self.variable}_{self.level}"

    @property
    def short(self) -> str:
        """Name for labels, such as `T850`."""
        return f"{_SHORT[self.variable]}{self.level or ''}"


@dataclass(frozen=True)
class Grid:
    """A regular or Gaussian latitude-longitude grid.

    Args:
        latitudes: Cell centres in degrees, ascending.
        longitudes: Cell centres in degrees east, ascending in [0, 360).
    """

    latitudes: tuple[float, ...]
    longitudes: tuple[float, ...]

    def __post_init__(self) -> None:
        lat, lon = np.asarray(self.latitudes), np.asarray(self.longitudes)
        if lat.size < 2 or (np.diff(lat) <= 0).any() or np.abs(lat).max() > 90:
            raise DataError(f"latitudes must ascend within [-90, 90]; they are {lat}")
        if lon.size < 2 or (np.diff(lon) <= 0).any() or lon[0] < 0 or lon[-1] >= 360:
            raise DataError(f"longitudes must ascend within [0, 360); they are {lon}")

    @classmethod
    def equiangular(cls, n_lat: int, n_lon: int) -> Grid:
        """Cells of equal angles whose edges lie on the poles (WeatherBench2's grids)."""
        d_lat, d_lon = 180 / n_lat, 360 / n_lon
        return cls(tuple((np.arange(n_lat) + 0.5) * d_lat - 90.0), tuple(np.arange(n_lon) * d_lon))

    @classmethod
    def with_poles(cls, n_lat: int, n_lon: int) -> Grid:
        """Rows at equal angles from pole to pole (ERA5's own grids, 721 x 1440 at 0.25)."""
        return cls(tuple(np.linspace(-90.0, 90.0, n_lat)), tuple(np.arange(n_lon) * (360 / n_lon)))

    @property
    def shape(self) -> tuple[int, int]:
        """(latitudes, longitudes)."""
        return len(self.latitudes), len(self.longitudes)

    @cached_property
    def latitude_edges(self) -> np.ndarray:
        """Cell edges in degrees, (H + 1,): half-way between centres, closed by the poles."""
        lat = np.asarray(self.latitudes)
        return np.concatenate([[-90.0], (lat[1:] + lat[:-1]) / 2, [90.0]])

    @cached_property
    def area_weights(self) -> np.ndarray:
        """Share of the sphere's area by latitude row, (H,) float64, with mean 1."""
        area = np.diff(np.sin(np.deg2rad(self.latitude_edges)))
        return np.asarray(area / area.mean())


@dataclass(frozen=True)
class StateSchema:
    """What a state holds and in which order: the only Dataset <-> array mapping.

    Args:
        channels: Fields in the order of the channel axis.
        grid: Horizontal grid.
        step_hours: Time between consecutive states.
    """

    channels: tuple[Channel, ...]
    grid: Grid
    step_hours: int

    def __post_init__(self) -> None:
        if len(set(self.channels)) != len(self.channels):
            raise InputError(f"channels repeat: {[c.name for c in self.channels]}")

    @classmethod
    def build(
        cls,
        surface: Iterable[str],
        upper_air: Iterable[str],
        levels: Sequence[int],
        grid: Grid,
        step_hours: int,
    ) -> StateSchema:
        """Surface channels first, then each upper-air variable on all levels."""
        channels = [Channel(v) for v in surface]
        channels += [Channel(v, level) for v in upper_air for level in levels]
        return cls(tuple(channels), grid, step_hours)

    @property
    def names(self) -> tuple[str, ...]:
        """Channel names in order."""
        return tuple(c.name for c in self.channels)

    @property
    def levels(self) -> tuple[int, ...]:
        """Pressure levels in hPa, ascending."""
        return tuple(sorted({c.level for c in self.channels if c.level is not None}))

    @property
    def variables(self) -> tuple[str, ...]:
        """Distinct variables in order of first appearance."""
        return tuple(dict.fromkeys(c.variable for c in self.channels))

    @cached_property
    def fingerprint(self) -> str:
        """Hash that two schemas share exactly when their states are interchangeable."""
        content = {
            "channels": self.names,
            "latitudes": [round(x, 6) for x in self.grid.latitudes],
            "longitudes": [round(x, 6) for x in self.grid.longitudes],
            "step_hours": self.step_hours,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def bound(self, states: np.ndarray) -> np.ndarray:
        """States (..., C, H, W) with what cannot be negative raised to zero, in a new array."""
        low = [0.0 if c.variable in NON_NEGATIVE else -np.inf for c in self.channels]
        return np.asarray(np.maximum(states, np.asarray(low, states.dtype)[:, None, None]))

    def index(self, variable: str, level: int | None = None) -> int:
        """Position of a channel; InputError names the channels that exist."""
        name = Channel(variable, level).name
        if name not in self.names:
            raise InputError(f"no channel {name!r}; channels are: {', '.join(self.names)}")
        return self.names.index(name)

    def select(
        self, variables: Sequence[str] | None = None, levels: Sequence[int] | None = None
    ) -> list[Channel]:
        """Channels of the named variables and levels (all where None), in schema order."""
        for variable in variables or ():
            if variable not in self.variables:
                raise InputError(
                    f"unknown variable {variable!r}; this model has: {', '.join(self.variables)}"
                )
        for level in levels or ():
            if level not in self.levels:
                raise InputError(f"unknown level {level}; this model has: {self.levels} hPa")
        return [
            c
            for c in self.channels
            if (variables is None or c.variable in variables)
            and (levels is None or c.level is None or c.level in levels)
        ]

    def stack(self, dataset: xr.Dataset) -> np.ndarray:
        """Fields of a dataset as one array.

        Args:
            dataset: Variables with dims (time, [level,] latitude, longitude) in SI units.

        Returns:
            (T, C, H, W) float32, channels in schema order.

        Raises:
            DataError: A variable or level is missing, the grid differs, or a value is not
                finite (NaN is allowed in masked variables).
        """
        self._check_grid(dataset)
        out = np.empty((dataset.sizes["time"], len(self.channels), *self.grid.shape), np.float32)
        levels = [int(x) for x in dataset["level"].values] if "level" in dataset else []
        for variable in self.variables:
            if variable not in dataset:
                found = ", ".join(map(str, dataset))
                raise DataError(f"variable {variable!r} is missing; found: {found}")
            values = self._oriented(dataset, variable)
            for i, channel in enumerate(self.channels):
                if channel.variable != variable:
                    continue
                if channel.level is None:
                    out[:, i] = values
                elif channel.level in levels:
                    out[:, i] = values[:, levels.index(channel.level)]
                else:
                    raise DataError(f"{variable} has no level {channel.level}; has {levels}")
        self._check_finite(out, dataset)
        return out

    def views(self, states: np.ndarray) -> dict[str, np.ndarray] | None:
        """Fields of stacked states by variable, in the same memory.

        Args:
            states: (T, C, H, W).

        Returns:
            By variable, (T, H, W) or (T, level, H, W) with levels ascending; None if the
            channels of a variable do not follow each other in that order.
        """
        out = {}
        for variable in self.variables:
            places = [i for i, c in enumerate(self.channels) if c.variable == variable]
            low, high = places[0], places[-1] + 1
            levels = [self.channels[i].level or 0 for i in places]
            if places != list(range(low, high)) or levels != sorted(levels):
                return None
            out[variable] = states[:, low:high] if levels[0] else states[:, low]
        return out

    def unstack(self, values: np.ndarray, channels: Sequence[Channel]) -> dict[str, np.ndarray]:
        """Split the channel axis (third from the end) into variables with a level axis.

        Args:
            values: (..., len(channels), H, W).
            channels: What the channel axis holds.

        Returns:
            By variable, (..., H, W) or (..., level, H, W) with levels ascending.
        """
        by_variable: dict[str, list[tuple[int, int]]] = {}
        for i, channel in enumerate(channels):
            by_variable.setdefault(channel.variable, []).append((channel.level or 0, i))
        out = {}
        for variable, entries in by_variable.items():
            picks = [i for _, i in sorted(entries)]
            part = values[..., picks, :, :]
            is_surface = len(entries) == 1 and entries[0][0] == 0
            out[variable] = part[..., 0, :, :] if is_surface else part
        return out

    @staticmethod
    def _oriented(dataset: xr.Dataset, variable: str) -> np.ndarray:
        array = dataset[variable]
        dims = [d for d in ("time", "level", "latitude", "longitude") if d in array.dims]
        return np.asarray(array.transpose(*dims).values)

    def _check_grid(self, dataset: xr.Dataset) -> None:
        for dim, expected in (
            ("latitude", self.grid.latitudes),
            ("longitude", self.grid.longitudes),
        ):
            found = np.asarray(dataset[dim].values, dtype=float)
            if found.shape != (len(expected),) or not np.allclose(found, expected, atol=1e-4):
                raise DataError(
                    f"{dim} is not the model's: expected {len(expected)} values "
                    f"{expected[0]:g}..{expected[-1]:g}, found {found.size} values "
                    f"{found[0]:g}..{found[-1]:g}; regrid the data first (flows.ingest)"
                )

    def _check_finite(self, values: np.ndarray, dataset: xr.Dataset) -> None:
        broken = ~np.isfinite(values).all(axis=(2, 3))
        for i, channel in enumerate(self.channels):
            if channel.variable in MASKED:
                broken[:, i] = np.isinf(values[:, i]).any(axis=(1, 2))
        bad = np.argwhere(broken)
        if bad.size:
            time, channel = bad[0]
            raise DataError(
                f"{self.names[channel]} at {dataset['time'].values[time]} holds values that are "
                f"not finite ({len(bad)} such fields in all)"
            )
