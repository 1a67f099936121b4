"""Fields of ensembles, read one at a time, thinned or at points: how pages and exports read.

What is exported and whether it is whole `results` knows; evaluations read by `result_blocks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.errors import DataError, InputError, IntegrityError
from appa_core.io.results import Result
from appa_core.schema import VARIABLES, Channel, Grid


@dataclass(frozen=True, eq=False)
class EnsembleFields:
    """Fields of an ensemble: a forecast, or trajectories over some time.

    Args:
        dataset: What `forecast_dataset` or `trajectory_dataset` made, lazily; of forecasts from
            several dates the last is seen.
    """

    dataset: xr.Dataset

    @property
    def is_forecast(self) -> bool:
        """Whether times are leads from a start."""
        return "lead_time" in self.dataset.dims

    @cached_property
    def single(self) -> xr.Dataset:
        """The dataset of one start."""
        several = "init_time" in self.dataset.dims
        return self.dataset.isel(init_time=-1) if several else self.dataset

    @property
    def time_dim(self) -> str:
        """Name of the dimension of time."""
        return "lead_time" if self.is_forecast else "time"

    @cached_property
    def valid_times(self) -> pd.DatetimeIndex:
        """Valid times, (T,), UTC."""
        name = "valid_time" if self.is_forecast else "time"
        return pd.DatetimeIndex(np.asarray(self.single[name].values))

    @cached_property
    def start(self) -> pd.Timestamp:
        """Start of a forecast, or the first valid time."""
        if self.is_forecast:
            return pd.Timestamp(np.asarray(self.single["init_time"].values).item())
        return pd.Timestamp(self.valid_times[0])

    @cached_property
    def hours(self) -> list[int]:
        """Hours from the start to each valid time."""
        return [int(h) for h in (self.valid_times - self.start) / pd.Timedelta(hours=1)]

    @property
    def members(self) -> int:
        """Size of the ensemble."""
        return int(self.dataset.sizes["member"])

    @cached_property
    def grid(self) -> Grid:
        """Horizontal grid, perhaps of a part of the globe."""
        axes = (self.dataset[name].values for name in ("latitude", "longitude"))
        return Grid(*(tuple(map(float, axis)) for axis in axes))

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """Fields: those at the surface first, then by variable and level."""
        names = [v for v in VARIABLES if v in self.dataset]
        at_surface = [v for v in names if "level" not in self.dataset[v].dims]
        levels = [int(x) for x in self.dataset["level"].values] if "level" in self.dataset else []
        above = [Channel(v, level) for v in names if v not in at_surface for level in levels]
        return tuple([Channel(v) for v in at_surface] + above)

    @property
    def source(self) -> str:
        """What the states are, as the data say."""
        return str(self.dataset.attrs.get("source", "unknown"))

    def channel(self, name: str) -> Channel:
        """A channel by its name, such as `temperature_850`.

        Raises:
            InputError: There is none; the message names those that there are.
        """
        found = {c.name: c for c in self.channels}
        if name not in found:
            raise InputError(f"the result has no field {name!r}; it has: {', '.join(found)}")
        return found[name]

    def read(
        self, channel: Channel, times: Sequence[int] | None = None, stride: int = 1
    ) -> np.ndarray:
        """A field as (member, time, latitude, longitude), SI units.

        Args:
            channel: Which.
            times: Positions in `valid_times`; all where None.
            stride: Every how many rows and columns are read.
        """
        field = self.single[channel.variable]
        if channel.level is not None:
            field = field.sel(level=channel.level)
        thin = {"latitude": slice(None, None, stride), "longitude": slice(None, None, stride)}
        field = field.isel(thin)
        if times is not None:
            field = field.isel({self.time_dim: list(times)})
        order = ("member", self.time_dim, "latitude", "longitude")
        return np.asarray(field.transpose(*order).values)

    def read_points(
        self, channel: Channel, rows: Sequence[int], columns: Sequence[int]
    ) -> np.ndarray:
        """A field at K cells as (member, time, K), SI units; other cells are not kept.

        Args:
            channel: Which.
            rows: Of the cells, (K,).
            columns: Of the cells, (K,).
        """
        field = self.single[channel.variable]
        if channel.level is not None:
            field = field.sel(level=channel.level)
        points = field.isel(
            latitude=xr.DataArray(list(rows), dims="cell"),
            longitude=xr.DataArray(list(columns), dims="cell"),
        )
        return np.asarray(points.transpose("member", self.time_dim, "cell").values)

    @property
    def is_global(self) -> bool:
        """Whether the grid goes around the globe and from pole to pole, but for half a cell."""
        lat, lon = (np.asarray(x) for x in (self.grid.latitudes, self.grid.longitudes))
        gap = lon[0] + 360 - lon[-1]
        polar = 90 - max(abs(lat[0]), abs(lat[-1])) <= np.diff(lat).max()
        return bool(polar and gap <= 1.5 * np.diff(lon).min() and lat[0] < 0 < lat[-1])


def open_fields(result: Result) -> EnsembleFields:
    """The fields of a result, lazily.

    Raises:
        DataError: They are not those of an ensemble, or not of the kind of the result.
    """
    dataset = xr.open_zarr(result.path, chunks=None, consolidated=False)
    expected = ["member", "latitude", "longitude"]
    expected.append("lead_time" if result.kind == "forecast" else "time")
    if not set(expected) <= set(dataset.dims):
        raise DataError(
            f"{result.path} holds no ensemble: expected dims {', '.join(expected)}; it has "
            f"{', '.join(map(str, dataset.dims))}"
        )
    return EnsembleFields(dataset)


@dataclass(frozen=True, eq=False)
class OpenResult:
    """An exported result with its fields and tables.

    Args:
        result: The folder.
        fields: The ensemble.
    """

    result: Result
    fields: EnsembleFields

    @classmethod
    def of(cls, folder: str | Path) -> OpenResult:
        """Open a result.

        Raises:
            InputError: There is no such folder, or it holds no result.
            DataError: Its fields are not those of an ensemble.
            IntegrityError: Its manifest is damaged.
        """
        result = Result.open(folder)
        return cls(result, open_fields(result))

    @property
    def folder(self) -> Path:
        """Where it is."""
        return Path(self.result.folder)

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What tells it from others."""
        return self.result.manifest

    @property
    def kind(self) -> str:
        """Such as `forecast` or `reanalysis`."""
        return self.result.file.removesuffix(".zarr")

    def table(self, name: str) -> pd.DataFrame | None:
        """A table of the folder, or None if there is none.

        Args:
            name: Path within the folder, such as `evaluation/scores.csv`.

        Raises:
            IntegrityError: It cannot be read.
        """
        path = self.folder / name
        if not path.is_file():
            return None
        try:
            return pd.read_csv(path)
        except (ValueError, UnicodeDecodeError) as error:
            raise IntegrityError(f"{path} cannot be read as a table: {error}") from error
