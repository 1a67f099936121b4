"""The scores of an ensemble as one writes them with whole arrays in xarray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.metrics.multivariate import Lags
from appa_core.metrics.regions import REGIONS

_SPACE = ("latitude", "longitude")


def scores(folder: Path, event: str) -> pd.DataFrame:
    """Scores over all times by variable and region: score, variable, region, value."""
    ensemble = xr.open_zarr(folder / "result" / "reanalysis.zarr", chunks=None).load()
    truth = xr.open_zarr(folder / "truth.zarr", chunks=None).load()
    of_event, _, threshold = event.partition(">")
    weights = _weights(truth["latitude"])
    rows = []
    for variable in truth.data_vars:
        fc, obs = ensemble[variable].squeeze(drop=True), truth[variable].squeeze(drop=True)
        found = dict(_scores(fc, obs, weights))
        if str(variable) == of_event:
            found[f"brier:{event}"] = _brier(fc, obs, weights, float(threshold))
        cells = int((weights > 0).sum()) * obs.sizes["longitude"] * obs.sizes["time"]
        if _ranks(fc, obs, weights).sum() != cells:
            raise AssertionError(f"{variable}: expected one rank of each of {cells} cells")
        rows += [
            {"score": s, "variable": str(variable), "region": r, "value": float(v.sel(region=r))}
            for s, v in found.items()
            for r in REGIONS
        ]
    return pd.DataFrame(rows)


def _weights(lat: xr.DataArray) -> xr.DataArray:
    """Of rows by region."""
    inside = [(lat >= box.south) & (lat <= box.north) for box in REGIONS.values()]
    area = lat.copy(data=np.cos(np.deg2rad(lat.values)))
    index = pd.Index(list(REGIONS), name="region")
    return (area * xr.concat(inside, index)).transpose("region", "latitude").astype(np.float32)


def _mean(field: xr.DataArray, weights: xr.DataArray) -> xr.DataArray:
    """By region."""
    return field.weighted(weights).mean(_SPACE)


def _scores(
    fc: xr.DataArray, obs: xr.DataArray, weights: xr.DataArray
) -> Iterator[tuple[str, xr.DataArray]]:
    members = fc.sizes["member"]
    error = fc.mean("member") - obs
    rmse = _mean(error**2, weights).mean("time") ** 0.5
    spread = _mean(fc.var("member", ddof=1), weights).mean("time") ** 0.5
    yield "rmse", rmse
    yield "bias", _mean(error, weights).mean("time")
    yield "mae", _mean(abs(error), weights).mean("time")
    yield "spread", spread
    yield "ssr", ((members + 1) / members) ** 0.5 * spread / rmse
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
    error = (_mean((fc - obs) ** 2, weights) ** 0.5).mean("member")
    total = xr.zeros_like(error)
    for i in range(members):
        for j in range(i):
            apart = (fc.isel(member=i) - fc.isel(member=j)) ** 2
            total = total + 2 * _mean(apart, weights) ** 0.5
    return (error - total / (2 * members * (members - 1))).mean("time")


def _variogram(fc: xr.DataArray, obs: xr.DataArray, weights: xr.DataArray) -> xr.DataArray:
    lags = Lags.of(obs["latitude"].values, obs["longitude"].values)
    total = xr.zeros_like(weights.isel(latitude=0, drop=True))
    size = total
    for dim, shift in (("longitude", lags.columns), ("latitude", lags.rows)):
        # a meridian ends at the poles, a circle of latitude does not
        pairs = slice(None) if dim == "longitude" else slice(None, -shift)
        gaps = [_gap(x, dim, shift).isel({dim: pairs}) for x in (obs, fc)]
        area = weights.isel({dim: pairs}) if dim in weights.dims else weights
        total = total + ((gaps[0] - gaps[1].mean("member")) ** 2 * area).sum(_SPACE)
        size = size + area.sum("latitude") * obs.sizes["longitude"]
    return (total / size).mean("time")


def _gap(field: xr.DataArray, dim: str, shift: int) -> xr.DataArray:
    return abs(field.roll({dim: -shift}, roll_coords=False) - field) ** 0.5


def _brier(
    fc: xr.DataArray, obs: xr.DataArray, weights: xr.DataArray, threshold: float
) -> xr.DataArray:
    probability = (fc > threshold).mean("member")
    return _mean((probability - (obs > threshold)) ** 2, weights).mean("time")


def _ranks(fc: xr.DataArray, obs: xr.DataArray, weights: xr.DataArray) -> np.ndarray:
    """Cells by time, region and rank."""
    below = (fc < obs).sum("member").transpose("time", *_SPACE).values
    bins = fc.sizes["member"] + 1
    return np.array(
        [
            [np.bincount(b[rows].ravel(), minlength=bins) for rows in (weights > 0).values]
            for b in below
        ]
    )
