"""From a model and observations to a task: what its rows are, and what is known of them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from appa_core.config.build_method import build_method
from appa_core.config.methods import load_method, method_names
from appa_core.errors import DataError, InputError
from appa_core.observe.networks import NetworkPoints
from appa_core.posterior.background import Background
from appa_core.posterior.perturbations import unit_errors
from appa_core.steps.assimilate import (
    DrawSettings,
    ObservedTrajectory,
    model_task,
    observe_states,
    reconstruction_variance,
)
from appa_core.steps.latents import latent_context
from appa_core.steps.models import Model, load_model
from tests.synthetic import synthetic_states

LENGTH, BLANKET = 8, 6
STATE, LATENT = (35, 32, 64), (24, 8, 16)
FIRST, NEXT, LATER = "2012-02-11T00", "2012-02-11T06", "2012-02-13T18"
#: Solvers that stop early enlarge rounding; these of variational methods converge.
STEPS = {"steps": 3, "particles": 4, "assimilations": 2, "outer": 1, "inner": 30}
STEPS["tolerance"] = 1e-5


def draw_network(count, states, seed, error_std=0.1):
    """Points anywhere in some states of a trajectory."""
    rng = np.random.default_rng(seed)
    cells = rng.choice(np.prod(STATE), count, replace=False)
    state = rng.choice(np.asarray(states, np.int64), count)
    return NetworkPoints(state, cells, np.full(count, error_std, np.float32))


def quick_config(name, **changes):
    """A method that ships, with few steps."""
    config = load_method(name)
    few = {k: v for k, v in STEPS.items() if k in type(config).model_fields}
    return config.model_copy(update=few | changes)


def quick(name, **changes):
    return build_method(quick_config(name, **changes), BLANKET)


@dataclass(frozen=True)
class Case:
    """A model with what its tasks need."""

    model: Model
    extra: np.ndarray
    background: Background

    @classmethod
    def of(cls, folder):
        model = load_model(folder)
        latents = model.encode(_states(model, "2012-01-05", 60))
        windows = torch.stack([latents[i : i + LENGTH] for i in range(0, 52, 4)])
        extra = reconstruction_variance(model, _states(model, "2012-02-05", 20))
        return cls(model, extra, Background.estimate(windows, 4))

    def states(self, start, count=LENGTH):
        """Standardised truth, (count, C, H, W)."""
        return _states(self.model, start, count)

    def observed(self, start, points, length=LENGTH) -> ObservedTrajectory:
        times = pd.date_range(start, periods=length, freq="6h")
        values = observe_states(self.states(start, length), points, np.random.default_rng(7))
        return ObservedTrajectory(times, points, values)

    def task(self, *trajectories, members=range(2), extra=None, on_evaluation=None, **settings):
        task: Any = model_task(
            self.model,
            trajectories,
            DrawSettings(members, **settings),
            self.extra if extra is None else extra,
            background=self.background,
            on_evaluation=on_evaluation or (lambda: None),
        )
        return replace(task, dynamics=drifting)


def _states(model, start, count):
    schema = model.preset.state.build()
    data = synthetic_states(schema, start, -(-count // 4))
    standard = model.normalisation.standardise(schema.stack(data), data["time"].values)
    return torch.from_numpy(standard[:count].astype(np.float32))


def drifting(first):
    """Latents that move eastwards, decay and saturate after their first states."""
    states = list(first.unbind(1))
    while len(states) < LENGTH:
        states.append(torch.tanh(0.9 * torch.roll(states[-1], 1, dims=-1)))
    return torch.stack(states, dim=1)


@pytest.fixture(scope="module")
def case(tiny_world):
    return Case.of(tiny_world.model)


@pytest.fixture(scope="module")
def three_dates(case):
    """Dates with 12, no and 5 observations."""
    networks = [draw_network(12, (1, 5), 1), draw_network(0, (0,), 2), draw_network(5, (0, 7), 3)]
    dates = (FIRST, NEXT, LATER)
    return [case.observed(d, p) for d, p in zip(dates, networks, strict=True)]


def test_rows_are_the_members_of_one_date_after_another(case, three_dates):
    task = case.task(*three_dates, members=range(2, 4))
    assert (len(task), task.length, task.blanket_states) == (6, LENGTH, BLANKET)
    assert task.condition.known.shape == (6, LENGTH, *LATENT)
    assert not task.condition.mask.any()
    assert task.group.tolist() == [0, 0, 1, 1, 2, 2]
    assert task.labels == [f"{d} member {m}" for d in (FIRST, NEXT, LATER) for m in (2, 3)]


def test_rows_know_their_dates(case, three_dates):
    context = case.task(*three_dates).condition.context
    for row, trajectory in enumerate(t for t in three_dates for _ in range(2)):
        expected = latent_context(case.model.preset, trajectory.times.values)
        assert torch.equal(context[row], expected)
    assert not torch.allclose(context[0], context[2])


def test_trajectories_that_overlap_share_their_noise(case, three_dates):
    task = case.task(*three_dates)
    first, following, later = (task.noise.rows([i, i + 1]) for i in (0, 2, 4))
    for draw in (0, 3):
        assert first(draw).shape == (2, LENGTH, *LATENT)
        assert torch.equal(following(draw)[:, :-1], first(draw)[:, 1:])
        assert torch.equal(later(draw)[:, 0], case.task(three_dates[2]).noise(draw)[:, 0])
        assert not torch.isclose(first(draw), later(draw)).all(dim=-1).any()
        assert not torch.isclose(first(draw)[0], first(draw)[1]).all(dim=-1).any()
    assert not torch.isclose(first(0), first(3)).all(dim=-1).any()


def test_noise_is_that_of_the_member_and_of_the_seed(case, three_dates):
    date = three_dates[0]
    noise = case.task(date, members=range(4)).noise(1)
    assert torch.equal(case.task(date, members=range(2, 4)).noise(1), noise[2:])
    assert torch.equal(case.task(date, members=range(1, 2)).noise(1), noise[1:2])
    other = case.task(date, members=range(4), seed=1).noise(1)
    assert not torch.isclose(other, noise).all(dim=-1).any()


def test_every_date_is_observed_at_its_own_points(case, three_dates):
    observation = case.task(*three_dates).observation
    z = torch.randn(6, LENGTH, *LATENT, generator=torch.Generator().manual_seed(0))
    observed, decoded = observation.A(z), case.model.decode(z)
    for row, trajectory in enumerate(t for t in three_dates for _ in range(2)):
        points, count = trajectory.points, len(trajectory.values)
        expected = decoded[row].numpy()[points.state, *np.unravel_index(points.cell, STATE)]
        np.testing.assert_allclose(observed[row, :count], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(observation.y[row, :count], trajectory.values)
    assert observation.count.tolist() == [12, 12, 0, 0, 5, 5]
    assert not observation.residual(observed)[2:4].any()


def test_errors_have_the_representativeness_of_their_channel(case):
    points = NetworkPoints(
        state=np.array([0, 3, 7]),
        cell=np.array([0, 34 * 32 * 64, 5 * 32 * 64 - 1]),
        error_std=np.array([0.1, 0.2, 0.3], np.float32),
    )
    few = case.observed(LATER, draw_network(1, (0,), 4))
    extra = np.arange(35, dtype=np.float32)
    task = case.task(case.observed(FIRST, points), few, members=range(1), extra=extra)
    variance = task.observation.cov_y.variance(task.observation.y)
    channel = few.points.cell[0] // (32 * 64)
    assert variance[0].tolist() == pytest.approx([0.01, 34.04, 4.09])
    assert variance[1, 0].item() == pytest.approx(0.01 + channel)


def test_a_network_reads_values_with_the_errors_it_declares(case):
    truth, exact = case.states(FIRST), draw_network(4000, range(LENGTH), 5, error_std=0.0)
    values = observe_states(truth, exact, np.random.default_rng(0))
    row, column = exact.cell // 64 % 32, exact.cell % 64
    assert np.array_equal(values, truth[exact.state, exact.cell // (32 * 64), row, column])
    sizes = np.repeat(np.float32([0.05, 0.8]), 2000)
    points = replace(exact, error_std=sizes)
    observed = observe_states(truth, points, np.random.default_rng(0))
    errors = (observed - values) / sizes
    for part in (errors[:2000], errors[2000:]):
        assert abs(part.mean()) < 4 / 2000**0.5
        assert abs(part.std() - 1) < 4 / (2 * 2000) ** 0.5
    assert abs(np.corrcoef(errors, values)[0, 1]) < 4 / 4000**0.5
    assert observed.dtype == np.float32


def test_errors_are_those_of_the_generator(case):
    truth, points = case.states(FIRST), draw_network(50, range(LENGTH), 6)
    first, again, other = (
        observe_states(truth, points, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.isclose(first, other).all()


def test_reconstruction_variance_is_the_error_of_the_autoencoder(case):
    states = case.states(LATER, 5)
    with torch.no_grad():
        error = (case.model.autoencoder(states) - states).double().numpy()
    expected = [np.square(error[:, channel]).mean() for channel in range(35)]
    variance = reconstruction_variance(case.model, states)
    np.testing.assert_allclose(variance, expected, rtol=1e-3)
    rain = case.model.preset.state.build().index("total_precipitation_6hr")
    assert variance.argmax() == rain  # it weighs least in the autoencoder's loss


@pytest.mark.parametrize("state", [-1, LENGTH])
def test_observations_outside_the_trajectory_are_refused(state):
    times = pd.date_range(FIRST, periods=LENGTH, freq="6h")
    points = NetworkPoints(np.array([0, state]), np.zeros(2, int), np.ones(2, np.float32))
    with pytest.raises(DataError, match=f"1 observations are of states outside .* {state}"):
        ObservedTrajectory(times, points, np.zeros(2, np.float32))


def test_trajectories_of_other_lengths_are_refused(case):
    points = draw_network(4, (0,), 0)
    one, other = case.observed(FIRST, points), case.observed(LATER, points, length=3)
    with pytest.raises(InputError, match=r"these have \[3, 8\] states"):
        case.task(one, other)


@pytest.mark.parametrize("count", [0, 3, 5])
def test_values_that_do_not_match_their_points_are_refused(count):
    times = pd.date_range(FIRST, periods=LENGTH, freq="6h")
    with pytest.raises(DataError, match=f"{count} values for 4 observations"):
        ObservedTrajectory(times, draw_network(4, (0,), 0), np.zeros(count, np.float32))


def test_perturbed_observations_do_not_depend_on_other_dates(case):
    few, many = (
        case.observed(date, draw_network(count, (0, 1), 8), length=2)
        for date, count in ((FIRST, 4000), (LATER, 7000))
    )
    together, alone = (case.task(*dates, members=range(1)) for dates in ((few, many), (few,)))
    errors = [unit_errors(t, torch.zeros_like(t.observation.y), 1)[0] for t in (together, alone)]
    assert torch.equal(errors[0][:4000], errors[1])


@pytest.mark.parametrize("name", method_names())
def test_methods_are_read_from_files(tmp_path, name):
    config, path = quick_config(name), tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert load_method(str(path)) == config
    # nothing of optimal interpolation has to be made quicker
    assert (config == load_method(name)) == (name == "optimal-interpolation")


def test_methods_that_are_not_known_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"unknown method 'mmpz'; methods are: 4dvar, .*mmps"):
        load_method("mmpz")
    content = load_method("mmps").model_dump(mode="json")
    for part, key in ((content["guidance"], "tweedie"), (content, "step")):
        path = tmp_path / f"{key}.yaml"
        part[key] = 3
        path.write_text(yaml.safe_dump(content))
        with pytest.raises(InputError, match=rf"{key}.yaml is not valid: .*\.{key}: Extra inputs"):
            load_method(str(path))
        del part[key]
