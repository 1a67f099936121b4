"""How wrong reports are: standard deviations by quantity and platform, on a model's grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from appa_core.errors import InputError
from appa_core.observations.table import ObservationTable
from appa_core.observe.interpolation import EARTH_RADIUS_KM
from appa_core.schema import Grid

#: Errors of platforms that the table does not name.
ANY = "any"


@dataclass(frozen=True)
class InstrumentError:
    """Standard deviation of a quantity's error, in SI units, between levels linear in ln p.

    Args:
        level: hPa, ascending; empty where one value serves all.
        std: As many, or one.
    """

    level: tuple[float, ...]
    std: tuple[float, ...]

    def at(self, level: np.ndarray) -> np.ndarray:
        """Standard deviations at levels (N,) in hPa; NaN is the surface."""
        if not self.level:
            return np.full(len(level), self.std[0])
        known = np.where(np.isnan(level), self.level[-1], level)
        return np.interp(np.log(known), np.log(self.level), self.std)


@dataclass(frozen=True)
class PlatformErrors:
    """Errors of a platform.

    Args:
        instrument: By quantity.
        representativeness: Factor of errors of representativeness: 1 for points.
        correlation_ln_p: Correlation length within a report in ln p; 0: none.
        correlation_km: Correlation length within a report along the ground; 0: none.
    """

    instrument: Mapping[str, InstrumentError]
    representativeness: float = 1.0
    correlation_ln_p: float = 0.0
    correlation_km: float = 0.0


@dataclass(frozen=True)
class ErrorTable:
    """Errors by platform and quantity.

    Args:
        platforms: By name; `any` serves the others, and quantities that a platform lacks.
        representativeness: By quantity, SI units: what of points a grid of `reference_km` cannot
            represent.
        reference_km: Spacing of that grid.
        break_km: Up to here it grows with the cube root of the spacing, as differences of wind
            and temperature do in the mesoscale range of spectra (k^-5/3), beyond in proportion
            (k^-3; Nastrom and Gage 1985).
    """

    platforms: Mapping[str, PlatformErrors]
    representativeness: Mapping[str, float]
    reference_km: float
    break_km: float

    def growth(self, grid_spacing_km: float) -> float:
        """Representativeness on a grid relative to that on the grid of reference."""
        inner = min(grid_spacing_km, self.break_km) / self.reference_km
        return float(inner ** (1 / 3) * max(grid_spacing_km / self.break_km, 1.0))


def grid_spacing_km(grid: Grid) -> float:
    """Mean distance between the rows of a grid."""
    return float(EARTH_RADIUS_KM * np.deg2rad(np.diff(grid.latitudes).mean()))


def assign_errors(
    table: ObservationTable,
    errors: ErrorTable,
    grid_spacing_km: float,
    *,
    inflation: float = 1.0,
) -> ObservationTable:
    """The table with errors and their correlation lengths wherever it has none.

    An assigned variance is that of the instrument plus that of representativeness. A given
    `error_std` is the whole error and stays.

    Args:
        table: Observations.
        errors: By platform and quantity.
        grid_spacing_km: Of the model.
        inflation: Factor of all standard deviations.

    Raises:
        InputError: A quantity has no error, or the inflation is not positive.
    """
    if not inflation > 0:
        raise InputError(f"expected an inflation of errors above 0, got {inflation}")
    frame = table.frame.copy()
    for key, group in frame.groupby(["platform", "quantity"]):
        platform, name = (str(part) for part in key)
        rows = group.index
        own = errors.platforms.get(platform, errors.platforms[ANY])
        _fill(frame, rows, "correlation_ln_p", own.correlation_ln_p)
        _fill(frame, rows, "correlation_km", own.correlation_km)
        lacking = rows[group["error_std"].isna().to_numpy()]
        if len(lacking):
            shared = errors.representativeness.get(name, 0.0)
            shared *= own.representativeness * errors.growth(grid_spacing_km)
            instrument = _instrument(errors, own, name).at(
                frame.loc[lacking, "level"].to_numpy(float)
            )
            frame.loc[lacking, "error_std"] = np.hypot(instrument, shared)
    frame["error_std"] *= inflation
    return ObservationTable(frame)


def _fill(frame: pd.DataFrame, rows: pd.Index, column: str, value: float) -> None:
    frame.loc[rows, column] = frame.loc[rows, column].fillna(value)


def _instrument(errors: ErrorTable, own: PlatformErrors, name: str) -> InstrumentError:
    found = own.instrument.get(name) or errors.platforms[ANY].instrument.get(name)
    if found is None:
        raise InputError(
            f"no error of {name} is known; add it to the table of errors under platform {ANY!r}, "
            "or give the column error_std"
        )
    return found
