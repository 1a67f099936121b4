"""Exported results and true states for tests, made of waves and noise: no model, no Prefect."""

import json

import numpy as np
import pandas as pd
import pytest

from appa_core.config.evaluation import evaluation_request
from appa_core.config.requests import forecast_request
from appa_core.io.datasets import write_zarr
from appa_core.io.forecasts import FieldSelection, forecast_dataset, trajectory_dataset
from appa_core.io.hashing import tree_checksums, tree_digest
from appa_core.schema import Grid, StateSchema
from tasks import evaluating
from tasks.catalog import state_source
from tasks.cluster import ClusterSettings
from tests.synthetic import synthetic_states

FIRST, SECOND = "2012-01-02", "2012-01-07"
SCHEMA = StateSchema.build(
    ["2m_temperature", "mean_sea_level_pressure"],
    [
        "geopotential",
        "temperature",
        "u_component_of_wind",
        "v_component_of_wind",
        "specific_humidity",
    ],
    [500, 850],
    Grid.equiangular(16, 32),
    6,
)


def true_states(path, start="2012-01-01", days=12, schema=SCHEMA):
    """A zarr store of waves; returns the dataset."""
    states = synthetic_states(schema, start, days)
    write_zarr(states, path)
    return states


def ensemble_about(states, times, members=5, seed=0, size=0.3, schema=SCHEMA):
    """States with errors (M, T, C, H, W) that grow with time."""
    truth = schema.stack(states.sel(time=times))
    rng = np.random.default_rng(seed)
    scale = size * truth.std(axis=(0, 2, 3), keepdims=True) + 1e-9
    noise = rng.normal(size=(members, *truth.shape))
    noise *= np.linspace(0.5, 1.5, len(times))[:, None, None, None]
    return schema.bound((truth + scale * noise).astype(np.float32))


def export_forecast(folder, source, states, start, leads=4, schema=SCHEMA, region=None, **changes):
    """A folder as flows.forecast leaves it."""
    time = pd.Timestamp(start)
    times = pd.date_range(time, periods=leads + 1, freq="6h")[1:]
    request = forecast_request(start=str(start), source=str(source), region=region)
    selection = FieldSelection.of(schema, request)
    values = selection.of_states(ensemble_about(states, times, schema=schema, **changes))
    dataset = forecast_dataset(values, selection, time, 6)
    about = {"states": {"name": str(source), "fingerprint": ""}, "request": request.hashed()}
    return export(folder, "forecast", dataset, about)


def export_analysis(folder, source, states, times, table=None, **changes):
    """A folder as flows.reanalysis leaves it, with observations if a table is given."""
    request = forecast_request(start=str(times[0]))
    selection = FieldSelection.of(SCHEMA, request)
    values = ensemble_about(states, times, **changes)
    dataset = trajectory_dataset(values, selection, times)
    asked = {"start": str(times[0]), "truth": str(source) if source else ""}
    folder = export(folder, "reanalysis", dataset, {"truth": None, "request": asked})
    if table is not None:
        table.to_parquet(folder / "observations.parquet", index=False)
    return folder


def export(folder, kind, dataset, about):
    """Fields and a manifest."""
    folder.mkdir(parents=True)
    write_zarr(dataset, folder / f"{kind}.zarr")
    files = tree_checksums(folder)
    artifact = {"key": "k", "digest": tree_digest(files), "files": files}
    told = about.get("states")
    manifest = about | {"model": None, "artifacts": {kind: artifact}}
    if told is not None:
        manifest["states"] = {**told, "fingerprint": state_source(told["name"]).fingerprint}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="session")
def results_world(tmp_path_factory):
    """True states, and forecasts of two dates by two runs."""
    folder = tmp_path_factory.mktemp("results")
    source = folder / "waves.zarr"
    states = true_states(source)
    for i, start in enumerate((FIRST, SECOND)):
        export_forecast(folder / f"one{i}", source, states, start, seed=i)
        export_forecast(folder / f"two{i}", source, states, start, seed=9 + i, size=0.6, members=4)
    return folder


def made(results, store, others=(), cluster=None, truth="", **options):
    """Tables by name, without Prefect."""
    request = evaluation_request(**{"physics_states": 0, "resamples": 200} | options)
    job = evaluating.prepare_evaluation(
        [str(r) for r in results], [str(r) for r in others], request, str(store), truth
    )
    pieces = evaluating.evaluate_pieces.fn(job, cluster or ClusterSettings())
    artifact = evaluating.write_tables.fn(job, pieces)
    with artifact.verify().local() as folder:
        return {p.stem: pd.read_csv(p) for p in folder.iterdir()}, artifact
