"""The scores of an ensemble as one writes them with whole arrays in xarray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.metrics.multivariate import Lags
from appa_core.metrics.regions import REGIONS, Box

_SPACE = ("latitude", "longitude")


def scores(folder: Path, event: str) -> pd.DataFrame:
    """Scores over all times by variable and region: score, variable, region, value."""
    ensemble = xr.open_zarr(folder / "result" / "reanalysis.zarr", chunks=None).load()
    truth = xr.open_zarr(folder / "truth.zarr", chunks=None).load()
    rows = []
    for variable in truth.data_vars:
        fc, obs = ensemble[variable].squeeze(drop=True), truth[variable].squeeze(drop=True)
        for region, box in REGIONS.items():
            weights = _weights(obs, box)
            found = dict(_scores(fc, obs, weights))
            if str(variable) == event.partition(">")[0]:
                found[f"brier:{event}"] = _brier(fc, obs, weights, float(event.partition(">")[2]))
            ranks = _ranks(fc, obs, box)
            assert ranks.sum() > 0
            rows += [
                {"score": s, "variable": str(variable), "region": region, "value": float(v)}
                for s, v in found.items()
            ]
    return pd.DataFrame(rows)


def _weights(obs: xr.DataArray, box: Box) -> xr.DataArray:
    lat = obs["latitude"]
    inside = (lat >= box.south) & (lat <= box.north)
    return (np.cos(np.deg2rad(lat)) * inside).astype(np.float32)


def _mean(field: xr.DataArray, weights: xr.DataArray) -> xr.DataArray:
    return field.weighted(weights).mean(_SPACE)


def _scores(
    fc: xr.DataArray, obs: xr.DataArray, weights: xr.DataArray
) -> Iterator[tuple[str, xr.DataArray]]:
    members = fc.sizes["member"]
    mean = fc.mean("member")
    error = mean - obs
    rmse = np.sqrt(_mean(error**2, weights).mean("time"))
    spread = np.sqrt(_mean(fc.var("member", ddof=1), weights).mean("time"))
    yield "rmse", rmse
    yield "bias", _mean(error, weights).mean("time")
    yield "mae", _mean(abs(error), weights).mean("time")
    yield "spread", spread
    yield "ssr", np.sqrt((members + 1) / members) * spread / rmse
    ordered = xr.apply_ufunc(
        np.sort, fc, input_core_dims=[["member"]], output_core_dims=[["member"]]
    )
    factors = xr.DataArray(
        2.0 * np.arange(members, dtype=np.float32) - (members - 1), dims="member"
    )
    distance = (ordered * factors).sum("member") * (2 / members**2)
    member_error = abs(fc - obs).mean("member")
    yield "crps_ensemble", _mean(member_error - distance / 2, weights).mean("time")
    pairs = members / (members - 1)
    yield "crps", _mean(member_error - pairs * distance / 2, weights).mean("time")
    yield "coverage:50", _coverage(ordered, obs, weights)
    yield "energy", _energy(fc, obs, weights)
    yield "variogram", _variogram(fc, obs, weights)


def _coverage(ordered: xr.DataArray, obs: xr.DataArray, weights: xr.DataArray) -> xr.DataArray:
    members = ordered.sizes["member"]
    rank = 0.25 * (members + 1)
    low = int(rank)
    inside = [
        (ordered.isel(member=k - 1) <= obs) & (ordered.isel(member=members - k) >= obs)
        for k in (low, low + 1)
    ]
    share = inside[0] * (1 - (rank - low)) + inside[1] * (rank - low)
    return _mean(share, weights).mean("time")


def _energy(fc: xr.DataArray, obs: xr.DataArray, weights: xr.DataArray) -> xr.DataArray:
    members = fc.sizes["member"]
    error = np.sqrt(_mean((fc - obs) ** 2, weights)).mean("member")
    total = xr.zeros_like(error)
    for i in range(members):
        for j in range(i):
            apart = (fc.isel(member=i) - fc.isel(member=j)) ** 2
            total = total + 2 * np.sqrt(_mean(apart, weights))
    return (error - total / (2 * members * (members - 1))).mean("time")


def _variogram(fc: xr.DataArray, obs: xr.DataArray, weights: xr.DataArray) -> xr.DataArray:
    lags = Lags.of(obs["latitude"].values, obs["longitude"].values)
    east = _gaps(obs.roll(longitude=-lags.columns) - obs)
    east = east - _gaps(fc.roll(longitude=-lags.columns) - fc).mean("member")
    south, north = (
        slice(None, -lags.rows),
        slice(lags.rows, None),
    )
    up = _gaps(obs.isel(latitude=north).values - obs.isel(latitude=south))
    up = up - _gaps(fc.isel(latitude=north).values - fc.isel(latitude=south)).mean("member")
    columns = obs.sizes["longitude"]
    total = (east**2 * weights).sum(_SPACE) + (up**2 * weights).sum(_SPACE)
    size = columns * (weights.sum() + weights.isel(latitude=south).sum())
    return (total / size).mean("time")


def _gaps(difference: xr.DataArray) -> xr.DataArray:
    return np.sqrt(abs(difference))


def _brier(
    fc: xr.DataArray, obs: xr.DataArray, weights: xr.DataArray, threshold: float
) -> xr.DataArray:
    probability = (fc > threshold).mean("member")
    return _mean((probability - (obs > threshold)) ** 2, weights).mean("time")


def _ranks(fc: xr.DataArray, obs: xr.DataArray, box: Box) -> np.ndarray:
    rows = (obs["latitude"] >= box.south) & (obs["latitude"] <= box.north)
    below = (fc < obs).sum("member").isel(latitude=rows.values)
    return np.stack(
        [np.bincount(b.ravel(), minlength=fc.sizes["member"] + 1) for b in below.values]
    )
