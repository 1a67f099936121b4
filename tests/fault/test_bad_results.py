"""Results and requests that cannot be evaluated: an error that says why, and nothing written."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from appa_core.errors import DataError, InputError, IntegrityError
from appa_core.io.datasets import write_zarr
from appa_core.schema import Grid, StateSchema
from flows.evaluate import evaluate
from tests.results import (
    FIRST,
    SCHEMA,
    export,
    export_analysis,
    export_forecast,
    made,
    true_states,
)


@pytest.fixture
def world(results_world):
    """True states, and forecasts of two dates by two runs."""
    return results_world


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        ("no manifest", InputError, "is no result"),
        ("damaged manifest", IntegrityError, "damaged"),
        ("damaged data", IntegrityError, "checksum differs"),
    ],
)
def test_folders_that_are_no_results(world, tmp_path, spoil, error, message):
    states = xr.open_zarr(world / "waves.zarr").load()
    result = export_forecast(tmp_path / "r", world / "waves.zarr", states, FIRST, leads=1)
    if spoil == "no manifest":
        (result / "manifest.json").unlink()
    elif spoil == "damaged manifest":
        (result / "manifest.json").write_text('{"artifacts": {}}')
    else:
        chunk = next(p for p in (result / "forecast.zarr/temperature/c").rglob("*") if p.is_file())
        chunk.write_bytes(b"other")
    with pytest.raises(error, match=message):
        made([result], tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("variable", ["temperature", "2m_temperature"])
def test_a_nan_is_an_error_that_says_where(world, tmp_path, variable):
    states = xr.open_zarr(world / "waves.zarr").load()
    result = export_forecast(tmp_path / "r", world / "waves.zarr", states, FIRST, leads=2)
    data = xr.open_zarr(result / "forecast.zarr").load()
    spoiled = data.copy(deep=True)
    values = spoiled[variable].values
    values[(0, 3, 1, *(1,) * (values.ndim - 5), 4, 5)] = np.nan
    manifest = json.loads((result / "manifest.json").read_text())
    about = {"request": manifest["request"], "states": manifest["states"]}
    bad = export(tmp_path / "bad", "forecast", spoiled, about)
    where = "temperature at 850 hPa" if variable == "temperature" else "2m_temperature"
    with pytest.raises(DataError, match=f"{where} at 2012-01-02T12:00 UTC, member 3"):
        made([bad], tmp_path / "store")
    states["temperature"][5, 0, 0, 0] = np.nan
    write_zarr(states, tmp_path / "holes.zarr")
    with pytest.raises(DataError, match=r"true states .* temperature at 500 hPa at 2012-01-02T06"):
        made([result], tmp_path / "store", truth=str(tmp_path / "holes.zarr"))


def test_true_states_that_do_not_fit(world, tmp_path):
    cases = {
        "no 2m_temperature": StateSchema(SCHEMA.channels[1:], SCHEMA.grid, 6),
        "another grid": StateSchema(SCHEMA.channels, Grid.equiangular(8, 16), 6),
        "not at": StateSchema.build(
            ["2m_temperature", "mean_sea_level_pressure"],
            [v for v in SCHEMA.variables if "2m" not in v and "sea" not in v], [500],
            SCHEMA.grid, 6,
        ),
    }  # fmt: skip
    for i, (message, schema) in enumerate(cases.items()):
        true_states(tmp_path / f"{i}.zarr", schema=schema)
        with pytest.raises(DataError, match=message):
            made([world / "one0"], tmp_path / "store", truth=str(tmp_path / f"{i}.zarr"))
    true_states(tmp_path / "late.zarr", start="2013-01-01", days=2)
    with pytest.raises(InputError, match=r"no time of the results is known.*2013-01-01"):
        made([world / "one0"], tmp_path / "store", truth=str(tmp_path / "late.zarr"))


def test_requests_that_cannot_be_met(world, tmp_path):
    one = world / "one0"
    for options, message in (
        ({"regions": ("atlantis",)}, "unknown region 'atlantis'"),
        ({"events": ("hail>1",)}, "is no event"),
        ({"events": ("2m_temperature>q120",)}, "between 0 and 100"),
        ({"events": ("total_precipitation>0.1",)}, "no field for the events"),
        ({"baselines": ("oracle",)}, "unknown baseline 'oracle'"),
        ({"baselines": ("climatology",)}, "no baseline climatology"),
        ({"seed": -1}, "seed"),
    ):
        with pytest.raises(InputError, match=message):
            made([one], tmp_path / "store", **options)
    with pytest.raises(InputError, match="one kind and one size"):
        made([one, world / "two0"], tmp_path / "store")
    with pytest.raises(InputError, match="no time and lead in common"):
        made([one], tmp_path / "store", others=[world / "two1"])
    with pytest.raises(DataError, match="overlap in time"):
        made([one, one], tmp_path / "store")
    with pytest.raises(InputError, match="--output"):
        evaluate([str(one), str(world / "one1")], store=str(tmp_path / "store"))
    states = xr.open_zarr(world / "waves.zarr").load()
    times = pd.date_range("2012-01-02", periods=2, freq="6h")
    analysis = export_analysis(tmp_path / "r", None, states, times)
    with pytest.raises(InputError, match="nothing to evaluate against"):
        made([analysis], tmp_path / "store")
    known = export_analysis(tmp_path / "k", world / "waves.zarr", states, times)
    with pytest.raises(InputError, match="an analysis starts from no known state"):
        made([known], tmp_path / "store", baselines=("persistence",))


def test_states_that_changed_are_not_taken_for_those_that_were_used(world, tmp_path):
    states = xr.open_zarr(world / "waves.zarr").load()
    result = export_forecast(tmp_path / "r", world / "waves.zarr", states, FIRST, leads=1)
    manifest = json.loads((result / "manifest.json").read_text())
    manifest["states"]["fingerprint"] = "another"
    (result / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match=r"name the states .* with --truth"):
        made([result], tmp_path / "store")
