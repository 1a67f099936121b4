"""Tables of observations become observations of a trajectory, and pull draws towards them."""

import numpy as np
import pandas as pd
import pytest
import torch

from appa_core.config.build_method import build_method
from appa_core.config.methods import load_method
from appa_core.errors import InputError
from appa_core.io.cube import Cube
from appa_core.observations.table import ObservationTable
from appa_core.posterior.task import draw_posterior
from appa_core.posterior.windows import Window, observation_of
from appa_core.steps.assimilate import DrawSettings, posterior_task
from appa_core.steps.models import load_model
from appa_core.steps.reported import (
    observed_rows,
    reject_unusable,
    report_observation,
    report_operator,
)

TIMES = pd.date_range("2012-02-11", periods=6, freq="6h")


@pytest.fixture(scope="module")
def model(tiny_world):
    return load_model(tiny_world.model)


@pytest.fixture(scope="module")
def truth(tiny_world, model):
    """Standardised latents of the states that were, (1, L, c, h, w)."""
    states = model.preset.state.build().stack(Cube.load(tiny_world.states).read(TIMES))
    standard = model.normalisation.standardise(states, TIMES.values)
    return model.encode(torch.from_numpy(standard))[None]


def table(count=60, **changes):
    rng = np.random.default_rng(0)
    columns = {
        "valid_time": TIMES[0] + pd.to_timedelta(rng.uniform(0, 30, count), "h"),
        "latitude": rng.uniform(-85, 85, count),
        "longitude": rng.uniform(0, 360, count),
        "level": np.nan,
        "quantity": "2m_temperature",
        "value": 280.0,
        "error_std": 0.5,
        "platform": "metar",
        "station_id": [f"S{i}" for i in range(count)],
    }
    return ObservationTable.of(pd.DataFrame(columns | changes))


def observed(model, truth, rows):
    """The table with values as they were read from the truth."""
    operator = report_operator(model, rows, TIMES)
    values = (operator(truth) * operator.scale)[0].numpy()
    return ObservationTable(rows.frame.assign(value=values.astype(float)))


def test_valid_times_become_positions_between_states():
    rows = table(2, valid_time=[TIMES[0], TIMES[1] + pd.Timedelta(hours=3)])
    assert observed_rows(rows, TIMES).state.tolist() == [0.0, 1.5]


def test_values_and_errors_are_in_units_of_the_spread(model, truth):
    rows = observed(model, truth, table())
    observation = report_observation(model, rows, TIMES)
    torch.testing.assert_close(observation.predict(truth), observation.y)
    channel = model.preset.state.build().index("2m_temperature", None)
    scale, lost = model.normalisation.std[channel], float(model.reconstruction_rmse[channel])
    expected = (0.5 / scale) ** 2 + lost**2
    variance = observation.cov_y.variances
    torch.testing.assert_close(variance, torch.full_like(variance, expected), rtol=1e-3, atol=0)


def test_draws_come_near_to_what_was_observed(model, truth):
    rows = observed(model, truth, table(200, error_std=0.2))
    observation = report_observation(model, rows, TIMES)
    settings = DrawSettings(range(4))
    task = posterior_task(model, [TIMES], settings, observation)
    drawn = draw_posterior(task, build_method(load_method("mmps"), task.blanket_states))
    nothing = observation.A(torch.zeros_like(truth))
    error = (observation.predict(drawn).mean(dim=0) - observation.y).square().mean()
    assert error < 0.3 * (nothing - observation.y).square().mean()


def soundings(levels=(900.0, 600.0, 300.0), ascents=3):
    """Ascents that share no place, every level of one next to the same of the others."""
    count = len(levels) * ascents
    return table(
        count,
        valid_time=[TIMES[1 + i % ascents] for i in range(count)],
        latitude=[10.0 * (i % ascents) for i in range(count)],
        longitude=40.0,
        level=np.repeat(levels, ascents),
        quantity="temperature",
        value=250.0,
        error_std=np.linspace(0.5, 1.5, count),
        platform="radiosonde",
        station_id="A",
        report_id=[f"A{i % ascents}" for i in range(count)],
        correlation_ln_p=0.4,
    )


def test_errors_of_a_sounding_are_correlated(model, truth):
    """The covariance is the hand-made one, and solves agree with dense algebra."""
    rows = soundings()
    observation = report_observation(model, rows, TIMES)
    scale = observation.A.scale.double()
    levels = np.log(rows.frame["level"].to_numpy())
    error = rows.frame["error_std"].to_numpy()
    expected = np.zeros((9, 9))
    for i in range(9):
        for j in range(9):
            if i % 3 == j % 3:
                share = 1.0 if i == j else 0.9 * np.exp(-abs(levels[i] - levels[j]) / 0.4)
                expected[i, j] = share * error[i] * error[j] / (scale[i] * scale[j])
    cells = int(np.prod(model.preset.state.build().grid.shape))
    lost = observation.A.variance_of(model.reconstruction_rmse, cells).double()
    dense = torch.from_numpy(expected) + torch.diag(lost)
    found = observation.cov_y.apply(torch.eye(9))
    torch.testing.assert_close(found.double(), dense, rtol=1e-4, atol=1e-6)
    v = torch.linspace(-1, 2, 9)[None]
    solution = torch.linalg.solve(dense, v.double()[0])[None]
    torch.testing.assert_close(observation.cov_y.solve(v).double(), solution, rtol=1e-3, atol=1e-3)


def test_a_window_holds_the_soundings_within_it(model, truth):
    rows = soundings()
    observation = report_observation(model, rows, TIMES)
    drawn = torch.ones(len(TIMES), dtype=torch.bool)
    part = observation_of(observation, Window(2, 2, ()), truth, drawn)
    inside = np.arange(9) % 3 > 0  # the second and the third ascent
    assert part.used[0].bool().tolist() == inside.tolist()
    alone = report_observation(model, rows.rows(inside), TIMES)
    v = torch.randn(1, 9, generator=torch.Generator().manual_seed(0)) * part.used
    weights = part.cov_y.solve(v)
    torch.testing.assert_close(weights[:, inside], alone.cov_y.solve(v[:, inside]))
    assert (weights[:, ~inside] == 0).all()
    read = part.predict(truth[:, 2:4])
    torch.testing.assert_close(read[:, inside], alone.predict(truth))


def test_rows_out_of_reach_are_rejected_with_their_reason(model):
    far = {"valid_time": [TIMES[0] - pd.Timedelta(hours=1), TIMES[-1]]}
    rows = reject_unusable(table(2, **far), model, TIMES)
    assert rows.frame["rejected"].tolist() == ["outside the period", ""]
    high = {"quantity": "temperature", "level": [10.0, 500.0], "value": 250.0}
    rows = reject_unusable(table(2, **high), model, TIMES)
    assert rows.frame["rejected"].tolist() == ["outside the model's levels", ""]


def test_nothing_left_says_why(model):
    rows = table(3).reject(np.ones(3, bool), "black-list")
    with pytest.raises(InputError, match=r"no observation is left(.|\n)*black-list"):
        report_observation(model, rows, TIMES)
    with pytest.raises(InputError, match="the table has no rows"):
        report_observation(model, ObservationTable.empty(), TIMES)


def test_errors_are_needed(model):
    with pytest.raises(InputError, match=r"60 observations have no error_std \(2m_temperature\)"):
        report_observation(model, table(error_std=np.nan), TIMES)
