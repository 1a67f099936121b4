"""What a model expects of observations: its climatology, and an ensemble of its states."""

import numpy as np
import pandas as pd
import pytest
import torch

from appa_core.config.control import ControlConfig
from appa_core.observations.control.check import Evidence
from appa_core.observations.table import ObservationTable
from appa_core.steps.control import background_at, climatology_at, control_table
from appa_core.steps.models import load_model
from tests.observed import ALOFT, reasons, table

TIMES = pd.date_range("2012-02-11", periods=6, freq="6h")


@pytest.fixture(scope="module")
def model(tiny_world):
    return load_model(tiny_world.model)


def at_cell(model, row, column, **changes):
    """A row at the centre of a cell, where nothing is interpolated."""
    grid = model.preset.state.build().grid
    place = {"latitude": grid.latitudes[row], "longitude": grid.longitudes[column]}
    return place | {"valid_time": str(TIMES[0])} | changes


def climatology_of(model, name, level, time, row, column):
    channel = model.preset.state.build().index(name, level)
    base = model.normalisation.base.at(np.array([time], "datetime64[ns]"))[0, channel]
    base = np.broadcast_to(base, model.preset.state.build().grid.shape)
    return base[row, column], model.normalisation.std[channel]


def test_the_climatology_of_a_cell_and_a_state(model):
    level = model.preset.state.build().levels[1]
    rows = table(
        at_cell(model, 3, 5),
        at_cell(model, 2, 7, **(ALOFT | {"level": float(level)}), valid_time=str(TIMES[3])),
    )
    found = climatology_at(model, rows)
    mean, std = climatology_of(model, "2m_temperature", None, TIMES[0], 3, 5)
    assert (found.mean[0], found.std[0]) == pytest.approx((mean, std), rel=1e-4)
    mean, std = climatology_of(model, "temperature", level, TIMES[3], 2, 7)
    assert (found.mean[1], found.std[1]) == pytest.approx((mean, std), rel=1e-4)


def test_the_climatology_of_long_periods_and_of_rows_that_cannot_be_read(model):
    rows = table(
        at_cell(model, 3, 5),
        at_cell(model, 3, 5, valid_time=str(TIMES[0] + pd.Timedelta(days=40))),
        at_cell(model, 3, 5, **(ALOFT | {"level": 1.0})),
        at_cell(model, 3, 5, valid_time=str(TIMES[0] + pd.Timedelta(hours=9))),
    )
    found = climatology_at(model, rows)
    assert np.isnan(found.mean[2])
    assert np.isfinite(found.mean[[0, 1, 3]]).all()
    later = TIMES[0] + pd.Timedelta(days=40)
    mean, _ = climatology_of(model, "2m_temperature", None, later, 3, 5)
    assert found.mean[1] == pytest.approx(mean, rel=1e-5)
    between = [climatology_of(model, "2m_temperature", None, t, 3, 5)[0] for t in TIMES[1:3]]
    assert found.mean[3] == pytest.approx(np.mean(between), rel=1e-5)
    assert len(climatology_at(model, ObservationTable.empty()).mean) == 0


def test_spread_of_what_follows_from_several_fields(model):
    """Of speed: that of the components, where one of them prevails."""
    rows = table(at_cell(model, 3, 5, quantity="10m_wind_speed", value=5.0))
    found = climatology_at(model, rows)
    stds = [
        climatology_of(model, f"10m_{c}_component_of_wind", None, TIMES[0], 3, 5)[1] for c in "uv"
    ]
    assert 0.2 * min(stds) < found.std[0] < 1.5 * np.hypot(*stds)


def test_moments_of_an_ensemble(model):
    generator = torch.Generator().manual_seed(0)
    shape = (5, len(TIMES), *model.autoencoder.latent_shape)
    latents = torch.randn(shape, generator=generator)
    rows = table(at_cell(model, 3, 5), at_cell(model, 3, 5, valid_time="2012-01-01"))
    found = background_at(model, rows, TIMES, latents)
    channel = model.preset.state.build().index("2m_temperature", None)
    states = model.decode(latents[:, 0]).numpy()
    fields = model.normalisation.restore(states[:, None], TIMES[:1].values)[:, 0, channel, 3, 5]
    assert found.mean[0] == pytest.approx(fields.mean(), abs=1e-3)
    assert found.std[0] == pytest.approx(fields.std(ddof=1), rel=1e-3)
    assert np.isnan(found.mean[1]), "outside the period"
    single = background_at(model, rows, TIMES, latents[:1])
    assert single.std[0] == 0


def test_unusual_values_and_departures_are_rejected(model):
    mean, std = climatology_of(model, "2m_temperature", None, TIMES[0], 3, 5)
    rows = table(
        at_cell(model, 3, 5, value=float(mean + 5.9 * std)),
        at_cell(model, 3, 5, value=float(mean + 6.1 * std)),
        at_cell(model, 3, 5, value=float(mean)),
    )
    control = ControlConfig(
        checks=[
            {"kind": "climatological-range", "limit": 6.0},
            {"kind": "background-departure", "limit": 3.0},
        ]
    )
    latents = torch.zeros(2, len(TIMES), *model.autoencoder.latent_shape)
    evidence = Evidence(
        climatology=climatology_at(model, rows),
        background=background_at(model, rows, TIMES, latents),
    )
    found, left_out = control_table(rows, control, evidence)
    assert left_out == ()
    assert reasons(found)[1] == "climatological range"
    # members that are alike, and an error of 1 K
    departure = abs(rows.frame["value"].to_numpy() - evidence.background.mean)
    expected = ["background departure" if d > 3.0 else "" for d in departure]
    assert [reasons(found)[i] for i in (0, 2)] == [expected[i] for i in (0, 2)]
    assert "background departure" in reasons(found)
