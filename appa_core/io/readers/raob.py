"""Radiosonde soundings of MADIS: mandatory and significant levels, tropopause, maximum wind."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.io.readers.madis_variables import first_flag, flags, numbers, texts, times
from appa_core.io.readers.reports import (
    launch_times,
    report_ids,
    surface_rows,
    upper_air_rows,
)
from appa_core.observe.instruments import pressure_at_heights

#: Elements of each kind of level: pressure in hPa, geopotential in m, temperature and depression
#: of the dew point in K, wind.
_KINDS = {
    "Man": ("pr", "ht", "tp", "td", "wd", "ws"),
    "SigT": ("pr", "tp", "td"),
    "SigW": ("ht", "wd", "ws"),
    "Trop": ("pr", "tp", "td", "wd", "ws"),
    "MaxW": ("pr", "wd", "ws"),
}


def sounding_rows(dataset: xr.Dataset, unreadable: Counter[str]) -> pd.DataFrame:
    """Rows of all levels of all soundings; the first mandatory level is the surface.

    Args:
        dataset: An open file, of N soundings.
        unreadable: Counts what no row can be made of, by reason; added to.
    """
    soundings = _soundings(dataset)
    levels = pd.concat([_levels(dataset, kind, soundings) for kind in _KINDS], ignore_index=True)
    _complete_pressures(dataset, levels)
    surface = numbers(dataset, "prMan")[:, 0][levels["sounding"]]
    is_surface = np.asarray(levels["is_first"]) | (levels["pressure"].to_numpy() == 100 * surface)
    ground = levels[is_surface]
    at_surface = ground.assign(
        station_pressure=ground["pressure"], station_pressure_flag=ground["pressure_flag"]
    )
    return pd.concat(
        [surface_rows(at_surface, unreadable), upper_air_rows(levels[~is_surface], unreadable)],
        ignore_index=True,
    )


def _soundings(dataset: xr.Dataset) -> pd.DataFrame:
    """Where and when soundings were launched; at the synoptic hour if the launch is unknown."""
    codes, names = numbers(dataset, "wmoStaNum"), texts(dataset, "staName")
    station = [f"{int(n):05d}" if n > 0 else name for n, name in zip(codes, names, strict=True)]
    soundings = pd.DataFrame(
        {
            "valid_time": launch_times(times(dataset, "relTime"), times(dataset, "synTime")),
            "latitude": numbers(dataset, "staLat"),
            "longitude": numbers(dataset, "staLon"),
            "elevation_m": numbers(dataset, "staElev"),
            "platform": "radiosonde",
            "station_id": station,
        }
    )
    return soundings.assign(report_id=report_ids(soundings))


def _levels(dataset: xr.Dataset, kind: str, soundings: pd.DataFrame) -> pd.DataFrame:
    """Levels of one kind that hold any value, a row each, with the place of their sounding."""
    elements = {name: numbers(dataset, f"{name}{kind}") for name in _KINDS[kind]}
    shape = elements[_KINDS[kind][-1]].shape
    nothing = np.full(shape, np.nan)
    values = {name: elements.get(name, nothing) for name in _KINDS["Man"]}
    reasons = {
        name: flags(dataset, f"{name}{kind}") if name in elements else np.full(shape, "", object)
        for name in values
    }
    sounding, position = np.nonzero(np.any([np.isfinite(v) for v in values.values()], axis=0))
    at = {name: v[sounding, position] for name, v in values.items()}
    flag = {name: reason[sounding, position] for name, reason in reasons.items()}
    return soundings.iloc[sounding].assign(
        sounding=sounding,
        is_first=(position == 0) & (kind == "Man"),
        pressure=100 * at["pr"],
        pressure_flag=flag["pr"],
        height=at["ht"],
        height_flag=flag["ht"],
        temperature=at["tp"],
        temperature_flag=flag["tp"],
        dew_point=at["tp"] - at["td"],
        dew_point_flag=first_flag(flag["td"], flag["tp"]),
        wind_direction=at["wd"],
        wind_direction_flag=flag["wd"],
        wind_speed=at["ws"],
        wind_speed_flag=flag["ws"],
    )


def _complete_pressures(dataset: xr.Dataset, levels: pd.DataFrame) -> None:
    """Give levels known by height a pressure, between the mandatory levels of their sounding."""
    heights = numbers(dataset, "htMan")
    pressures = 100 * numbers(dataset, "prMan")
    lacks = levels["pressure"].isna() & levels["height"].notna()
    for sounding, rows in levels[lacks].groupby("sounding"):
        n = int(str(sounding))
        known = pressure_at_heights(rows["height"].to_numpy(), heights[n], pressures[n])
        levels.loc[rows.index, "pressure"] = known
    # the height served to find the pressure; it is no measurement beside it
    levels.loc[lacks, "height"] = np.nan
