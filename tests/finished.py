"""A small finished result without a flow, and the tables of an evaluation beside it."""

import json

import numpy as np
import pandas as pd
import xarray as xr

from appa_core.io.datasets import write_zarr
from appa_core.io.forecasts import FieldSelection, forecast_dataset, trajectory_dataset
from appa_core.io.hashing import tree_checksums, tree_digest
from appa_core.schema import Channel, Grid, StateSchema

CHANNELS = (
    Channel("2m_temperature"),
    Channel("10m_u_component_of_wind"),
    Channel("total_precipitation_6hr"),
    Channel("temperature", 500),
    Channel("temperature", 850),
    Channel("geopotential", 500),
    Channel("geopotential", 850),
)
START = pd.Timestamp("2024-01-01")
_MEANS = {"2m_temperature": 280.0, "temperature": 260.0, "geopotential": 5e4}


def ensemble(grid, members=3, leads=4, seed=0):
    """Waves that differ from member to member, (M, T, C, H, W), SI units."""
    rng = np.random.default_rng(seed)
    lat, lon = np.deg2rad(grid.latitudes)[:, None], np.deg2rad(grid.longitudes)[None]
    values = np.empty((members, leads, len(CHANNELS), *grid.shape), np.float32)
    for c, channel in enumerate(CHANNELS):
        mean = _MEANS.get(channel.variable, 0.0)
        size = 0.02 * mean or 5.0
        for m in range(members):
            phase = rng.normal(size=leads).cumsum()[:, None, None]
            wave = np.cos(lat) * np.sin(3 * lon + phase) + 0.1 * rng.normal(size=grid.shape)
            values[m, :, c] = mean + size * wave
    rain = CHANNELS.index(Channel("total_precipitation_6hr"))
    values[:, :, rain] = np.clip(values[:, :, rain], 0, None) * 1e-3
    return values


def write_result(
    folder,
    *,
    seed=0,
    grid=None,
    rows=None,
    columns=None,
    kind="forecast",
    start=START,
    members=3,
    step="6h",
    paired=False,
):
    """Write a folder as flows export it; scores are hand-made."""
    grid = grid or Grid.equiangular(12, 24)
    schema = StateSchema(CHANNELS, grid, 6)
    selection = FieldSelection(
        schema,
        CHANNELS,
        tuple(rows or range(grid.shape[0])),
        tuple(columns or range(grid.shape[1])),
    )
    values = selection.of_states(ensemble(grid, members=members, seed=seed))
    times = pd.date_range(start, periods=4, freq=step)
    if kind == "forecast":
        dataset = forecast_dataset(values, selection, start, 6)
    else:
        dataset = trajectory_dataset(values, selection, times)
    about = {"title": f"Appa ensemble {kind}", "source": "Simulated waves", "model": "none"}
    folder.mkdir(parents=True)
    write_zarr(dataset.assign_attrs(about), folder / f"{kind}.zarr")
    _scores(kind, times, seed).to_csv(folder / "scores.csv", index=False)
    files = tree_checksums(folder)
    fields = {name: sha for name, sha in files.items() if name.startswith(f"{kind}.zarr/")}
    manifest = {
        "request": {"start": str(start), "seed": seed, "members": members},
        "model": {"name": "no-such-model", "key": "0"},
        "artifacts": {kind: {"digest": tree_digest(fields), "files": fields}},
    }
    if paired:
        manifest["method"] = {"kind": "mmps", "paired": True}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _scores(kind, times, seed):
    rows = []
    for channel in CHANNELS:
        for t, time in enumerate(times):
            when = (
                {"lead_hours": 6 * (t + 1)}
                if kind == "forecast"
                else {"valid_time": f"{time:%Y-%m-%dT%H}"}
            )
            rmse = (t + 1) * (1 + 0.1 * seed)
            rows.append(
                {"variable": channel.variable, "level": channel.level, **when, "rmse": rmse,
                 "crps": rmse / 2, "spread": 0.9 * rmse, "ssr": 0.9, "rmse_persistence": 2 * rmse,
                 "rmse_climatology": 5.0}
            )  # fmt: skip
    return pd.DataFrame(rows).astype({"level": "Int64"})


def write_evaluation(folder):
    """Tables of an evaluation of a forecast of three members: plausible, made up."""
    target = folder / "evaluation"
    target.mkdir()
    fields = [{"variable": c.variable, "level": c.level} for c in CHANNELS]
    tables = {name: [] for name in ("scores", "ranks", "reliability", "spectra", "physics")}
    for field in fields:
        for lead in (6, 12, 18, 24):
            base = {**field, "lead_hours": lead}
            for region in ("-30,60,-20,40", "global", "tropics"):
                place = {**base, "region": region}
                tables["scores"] += _score_rows(place, lead)
                tables["ranks"] += [
                    {**place, "rank": r, "count": n} for r, n in enumerate((40, 25, 25, 30))
                ]
                tables["reliability"] += [
                    {"event": "warm", **place, "forecast_probability": p,
                     "observed_frequency": 0.1 + 0.8 * p, "count": 50}
                    for p in (0.0, 1 / 3, 2 / 3, 1.0)
                ]  # fmt: skip
            tables["spectra"] += [
                {**base, "source": source, "wavenumber": k, "power": power * k**-3.0}
                for source, power in (("members", 0.9), ("truth", 1.0))
                for k in range(1, 12)
            ]
    for source, value in (("members", 1.2), ("truth", 0.4), ("autoencoder", 0.9)):
        tables["physics"].append(
            {"check": "hydrostatic", "variable": "geopotential", "level": 850, "band": "global",
             "lead_hours": 6, "source": source, "value": value, "units": "m"}
        )  # fmt: skip
    for name, rows in tables.items():
        pd.DataFrame(rows).astype({"level": "Int64"}).to_csv(target / f"{name}.csv", index=False)
    return target


def _score_rows(place, lead):
    rows = []
    for forecast, factor in (("ensemble", 1.0), ("persistence", 2.0), ("climatology", 1.5)):
        for score, value in (("rmse", 0.1), ("bias", 0.02), ("spread", 0.09), ("ssr", None)):
            if score in {"spread", "ssr"} and forecast != "ensemble":
                continue
            middle = 0.95 if value is None else factor * value * lead
            rows.append(
                {"forecast": forecast, "score": score, **place, "season": "all",
                 "value": middle, "low": 0.9 * middle, "high": 1.1 * middle, "dates": 12}
            )  # fmt: skip
    return rows


def fields_of(folder):
    return xr.open_zarr(next(folder.glob("*.zarr")), consolidated=False)
