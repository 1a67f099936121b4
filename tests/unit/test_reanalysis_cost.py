"""How costs of methods are counted and compared."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from appa_core.diffusion.denoiser import Condition
from appa_core.diffusion.noise import PooledNoise
from appa_core.diffusion.trajectory import NetworkCost
from appa_core.errors import InputError
from appa_core.guidance.covariance import DiagonalCovariance
from appa_core.guidance.observation import Observation
from appa_core.posterior.task import PosteriorTask
from benchmarks import reanalysis
from benchmarks.cost import Cost
from benchmarks.reanalysis import Run, paired_interval, spread_skill, table

BLANKET, LENGTH, SEEN = 4, 8, 3


def test_evaluations_are_weighed_by_their_products():
    """A matrix of a by b costs 2 a b, forwards, backwards and along a direction."""
    zeros = torch.zeros(2, LENGTH)
    matrix, reading = torch.ones(BLANKET, BLANKET), torch.ones(LENGTH, SEEN)
    task = PosteriorTask(
        denoiser=lambda x, *_: x @ matrix,
        blanket_states=BLANKET,
        condition=Condition(zeros, zeros, zeros),
        observation=Observation(
            y=torch.zeros(2, SEEN),
            A=lambda x: x @ reading,
            cov_y=DiagonalCovariance(torch.ones(SEEN)),
        ),
        noise=PooledNoise(0, torch.arange(2), LENGTH, ()),
        group=torch.zeros(2),
        labels=["a", "b"],
    )
    each = Cost.measure(task)
    assert each == Cost(32.0, 32.0, 48.0, 48.0, 48.0)
    assert task.cost == NetworkCost()  # measuring does not count
    used = NetworkCost(3, 2, 5, 4, 1)
    assert each.denoiser(used) == 5 * 32
    assert each.operator(used) == 10 * 48


def run(crps=1.0, spread=0.8, denoiser=100.0, decoder=50.0, seconds=10.0):
    return Run(
        denoiser=denoiser,
        decoder=decoder,
        forward=(10.0, 5.0),
        seconds=seconds,
        crps=np.array([crps, crps]),
        spread=np.array([spread, spread]),
        squared_error=np.ones(2),
    )


def test_intervals_are_students():
    mean, low, high = paired_interval([1.0, 2.0, 3.0])
    half = 4.302653 / 3**0.5
    assert (mean, low, high) == pytest.approx((2.0, 2 - half, 2 + half))
    with pytest.raises(InputError, match="2 or more dates"):
        paired_interval([1.0])


def test_the_spread_of_few_members_is_corrected():
    assert spread_skill([run(spread=0.8)], 4) == pytest.approx(1.0)


def test_methods_are_compared_date_by_date():
    runs = {
        "base": [run(1.0), run(2.0)],
        "other": [run(0.9, 0.2, 10.0, 5.0, 1.0), run(1.8, 0.2, 10.0, 5.0, 1.0)],
    }
    base, other = table(runs, 4, [("T", 1)], "base").splitlines()[2:]
    cells = [cell.strip() for cell in other.split("|")[1:-1]]
    assert cells == [
        "other",
        "1.3500",
        "-10.0% (-10.0% .. -10.0%)",
        "0.500",
        "+0.500 (+0.500 .. +0.500)",
        "1.000",
        "1",
        "1",
        "1/10.0",
        "1/10.0",
        "1",
        "1/10.0",
    ]
    assert "| base | 1.5000 |  | 1.000 |  | 1.000 | 10 | 10 | 1/1.0 |" in base


def test_methods_take_turns_in_going_first(monkeypatch, capsys, tmp_path):
    asked = []

    class Recorded:
        def __init__(self, *_):
            pass

        def run(self, name, date):
            asked.append((date, name))
            return run(1.0 if name == "reference" else 0.9)

        def headline(self):
            return [("T850", 0)]

    monkeypatch.setattr(reanalysis, "Experiment", Recorded)
    monkeypatch.setattr(reanalysis, "load_model", lambda _: SimpleNamespace(key="abc"))
    monkeypatch.setattr(reanalysis, "model_folder", lambda _: "")
    monkeypatch.setattr(reanalysis, "state_source", lambda _: SimpleNamespace(url=""))
    page = tmp_path / "page.md"
    arguments = ["--dates", "2024-01-01", "2024-01-13", "2024-01-25", "--output", str(page)]
    monkeypatch.setattr(sys, "argv", ["reanalysis", *arguments])
    reanalysis.main()
    by_date = [[name for d, name in asked if d == date] for date in dict(asked)]
    assert by_date == [["reference", "mmps"], ["mmps", "reference"], ["reference", "mmps"]]
    text = page.read_text("utf-8")
    assert capsys.readouterr().out == text
    assert "against `reference`, of CRPS" in text
    assert "| mmps | 0.9000 | -10.0% (-10.0% .. -10.0%) |" in text
