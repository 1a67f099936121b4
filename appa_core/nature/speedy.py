"""The simulator: jcm's general circulation model with SPEEDY physics, T31 and eight levels.

jcm (with JAX) is an optional extra: `pip install 'appa[simulate]'`. It is imported on use.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.errors import InputError, NumericalError
from appa_core.nature.vertical import SigmaColumns
from appa_core.regrid import ConservativeRegridder
from appa_core.schema import VARIABLES, Grid, StateSchema

STEP_HOURS = 6
_OUTPUT_HOURS = 1  # precipitation is averaged over hourly samples of its rate
_UNUSED_TOP_LEVELS = 2  # they grow too cold and too windy in winter
SIMULATED = (
    "Simulated by the jcm general circulation model (SPEEDY physics, T31L8). "
    "This is not the weather of these days, nor of any others."
)


@dataclass
class _Raw:
    """One chunk as the model gives it: (time, level, lat, lon), levels from the top down."""

    times: pd.DatetimeIndex
    upper: dict[str, np.ndarray]
    surface: dict[str, np.ndarray]


class NatureModel:
    """A simulated atmosphere that runs forward in chunks of whole days.

    Args:
        start: First day, before the spin-up.
        schema: Which fields to give, on which grid; its step must be `STEP_HOURS`.

    Raises:
        InputError: jcm is not installed, or the schema asks what the model cannot give.
    """

    def __init__(self, start: pd.Timestamp, schema: StateSchema) -> None:
        if schema.step_hours != STEP_HOURS:
            raise InputError(f"the nature run has {STEP_HOURS}-hourly states")
        warnings.filterwarnings("ignore", module=r"jcm|xarray|dinosaur")
        logging.getLogger("jcm").setLevel(logging.ERROR)
        try:
            from jcm.forcing import ForcingData
            from jcm.model import Model
            from jcm.physics.speedy.speedy_coords import get_speedy_coords
            from jcm.terrain import TerrainData
        except ImportError as error:
            raise InputError(
                "simulating the nature run needs jcm: pip install 'appa[simulate]'"
            ) from error
        climate = files("jcm") / "data" / "bc" / "t30" / "clim"
        coords = get_speedy_coords(layers=8, spectral_truncation=31)
        terrain = TerrainData.from_file(climate / "terrain.nc", coords)
        self._forcing = ForcingData.from_file(
            climate / "forcing.nc", coords, align_mode="wrap_year"
        )
        self._model: Any = Model(coords=coords, terrain=terrain, start_time=str(start.date()))
        self._sigma = np.asarray(coords.vertical.centers)
        horizontal = coords.horizontal
        source = Grid(
            tuple(np.rad2deg(np.asarray(horizontal.latitudes, np.float64))),
            tuple(np.rad2deg(np.asarray(horizontal.longitudes, np.float64))),
        )
        self._regrid = ConservativeRegridder.between(source, schema.grid)
        self._ground = np.asarray(terrain.phis0, np.float64).T
        self.orography = self._regrid(self._ground)
        self.land_sea_mask = self._regrid(np.asarray(terrain.fmask, np.float64).T)
        self._schema = schema
        self.time = start

    def spin_up(self, days: float) -> None:
        """Run for some days and keep nothing of them."""
        self._model.run(forcing=self._forcing, save_interval=float(days), total_time=float(days))
        self.time += pd.Timedelta(days=days)

    def save(self, path: Path) -> None:
        """Write the model's complete state to a file, from which `load` continues."""
        from jcm.checkpoint import save_checkpoint

        save_checkpoint(self._model, path)

    def load(self, path: Path, time: pd.Timestamp) -> None:
        """Continue from a saved state."""
        from jcm.checkpoint import load_checkpoint

        self._model.bootstrap_state()
        load_checkpoint(self._model, path)
        self.time = time

    def run(self, days: int) -> xr.Dataset:
        """Simulate some days.

        Returns:
            States of (time, time + days], 6-hourly, ERA5 names and SI units, on the schema's
            levels and grid. Precipitation is the sum over the six hours before each time.

        Raises:
            NumericalError: The model left the finite numbers.
        """
        raw = self._advance(days)
        self.time += pd.Timedelta(days=days)
        dataset = self._on_pressure_levels(raw)
        for name in dataset.data_vars:
            if not np.isfinite(dataset[name].values).all():
                raise NumericalError(f"the nature run blew up before {self.time}: {name}")
        return dataset

    def _advance(self, days: int) -> _Raw:
        model_output = self._model.resume(
            forcing=self._forcing, save_interval=_OUTPUT_HOURS / 24, total_time=float(days)
        )
        dynamics, physics = model_output.dynamics, model_output.physics
        every = STEP_HOURS // _OUTPUT_HOURS

        def at_steps(field: Any) -> np.ndarray:
            return np.swapaxes(np.asarray(field[every - 1 :: every]), -1, -2).astype(np.float64)

        top_down = slice(None) if self._sigma[0] < self._sigma[-1] else slice(None, None, -1)
        upper = {
            "temperature": dynamics.temperature,
            "u_component_of_wind": dynamics.u_wind,
            "v_component_of_wind": dynamics.v_wind,
            "geopotential": dynamics.geopotential,
            "specific_humidity": dynamics.specific_humidity,
        }
        exchange = physics["surface_exchange"]
        rain = np.swapaxes(np.asarray(exchange.precipitation, np.float64), -1, -2)
        rain = rain.reshape(-1, every, *rain.shape[1:]).mean(axis=1)
        surface = {
            "2m_temperature": at_steps(physics["_surface_flux"].t0),
            "10m_u_component_of_wind": at_steps(exchange.wind_u),
            "10m_v_component_of_wind": at_steps(exchange.wind_v),
            "surface_pressure": at_steps(dynamics.normalized_surface_pressure) * 1e5,
            "total_precipitation_6hr": rain * STEP_HOURS * 3600 / 1000,
        }
        times = pd.date_range(
            self.time + pd.Timedelta(hours=STEP_HOURS),
            periods=days * 24 // STEP_HOURS,
            freq=f"{STEP_HOURS}h",
        )
        return _Raw(
            times,
            {k: at_steps(v)[:, top_down][:, _UNUSED_TOP_LEVELS:] for k, v in upper.items()},
            surface,
        )

    def _on_pressure_levels(self, raw: _Raw) -> xr.Dataset:
        sigma = np.sort(self._sigma)[_UNUSED_TOP_LEVELS:]
        columns = SigmaColumns(sigma, raw.surface["surface_pressure"])
        fields = dict(raw.surface)
        fields["mean_sea_level_pressure"] = columns.sea_level_pressure(
            raw.upper["temperature"], self._ground
        )
        data: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]] = {}
        for variable in self._schema.variables:
            units, standard_name = VARIABLES[variable]
            attrs = {"units": units, "standard_name": standard_name}
            if variable in raw.upper:
                values = np.stack(
                    [self._interpolate(columns, raw, variable, p) for p in self._schema.levels],
                    axis=1,
                )
                dims: tuple[str, ...] = ("time", "level", "latitude", "longitude")
            elif variable in fields:
                values, dims = fields[variable], ("time", "latitude", "longitude")
            else:
                raise InputError(f"the nature run has no {variable!r}")
            data[variable] = (dims, self._regrid(values).astype(np.float32), attrs)
        return xr.Dataset(
            data,
            coords={
                "time": raw.times,
                "level": ("level", list(self._schema.levels), {"units": "hPa"}),
                "latitude": list(self._schema.grid.latitudes),
                "longitude": list(self._schema.grid.longitudes),
            },
            attrs={"title": "Appa nature run", "source": SIMULATED, "Conventions": "CF-1.11"},
        )

    @staticmethod
    def _interpolate(
        columns: SigmaColumns, raw: _Raw, variable: str, level_hpa: int
    ) -> np.ndarray:
        values, pressure = raw.upper[variable], level_hpa * 100.0
        if variable == "temperature":
            return columns.temperature(values, pressure)
        if variable == "geopotential":
            return columns.geopotential(values, raw.upper["temperature"], pressure)
        return columns.field(values, pressure, extend_top=variable != "specific_humidity")
