"""One iteration by hand: averages, clipping, optimisers, precision, random numbers."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from appa_core.errors import InputError
from appa_core.nn.bases import Network
from appa_core.training.optimisers import build_optimisers
from appa_core.training.parallel import Processes
from appa_core.training.settings import RunSettings
from appa_core.training.trainer import Trainer
from tests.lessons import SETTINGS, Net, ReversingLesson


class Point(Network):
    """A single number."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([2.0]))

    @property
    def units(self):
        return []

    def forward(self, x):
        return self.w * x


def settings(**changes):
    return dataclasses.replace(SETTINGS, **changes)


def slope(network, batch):
    """A loss whose gradient is the mean of the batch."""
    return network(batch["x"]).mean()


def test_averaged_weights_follow_by_hand():
    """After step i the average keeps min(decay, i / (i + 10)) of itself."""
    trainer = Trainer(Point(), settings(kind="adamw", ema_decay=0.15))
    average, keeps = 2.0, []
    for i in range(1, 4):
        trainer.step([{"x": torch.ones(4)}], slope)
        keeps.append(min(0.15, i / (i + 10)))
        average = keeps[-1] * average + (1 - keeps[-1]) * trainer.network.w.item()
        assert trainer.average["w"].item() == pytest.approx(average, rel=1e-6)
    assert keeps == [1 / 11, 0.15, 0.15]
    with trainer.averaged() as network:
        assert network.w.item() == pytest.approx(average, rel=1e-6)
    assert trainer.network.w.item() != pytest.approx(average, rel=1e-6)


def test_the_first_step_of_adamw_by_hand():
    """It moves by the rate against the sign of the gradient: warm-up makes it a third of it."""
    trainer = Trainer(Point(), settings(kind="adamw", learning_rate=0.3, warm_up=3))
    loss, norm = trainer.step([{"x": torch.full((4,), 7.0)}], slope)
    assert (loss, norm) == (14.0, 7.0)
    assert trainer.network.w.item() == pytest.approx(2.0 - 0.3 / 3, rel=1e-5)


@pytest.mark.parametrize(("gradient", "expected"), [(0.25, 0.25), (40.0, 0.5)])
def test_gradients_are_clipped_to_a_norm(gradient, expected):
    trainer = Trainer(Point(), settings(kind="adamw", clip_norm=0.5))
    seen = []
    (rated,) = trainer._optimisers
    rated.optimiser.register_step_pre_hook(lambda *_: seen.append(trainer.network.w.grad.item()))
    _, norm = trainer.step([{"x": torch.full((4,), gradient)}], slope)
    assert norm == gradient
    assert seen == [pytest.approx(expected, rel=1e-4)]


def test_micro_batches_have_the_gradient_of_the_whole():
    lesson = ReversingLesson()
    norms = []
    for micro in (16, 4):
        trainer = Trainer(lesson.network(), settings())
        parts = [lesson.batch(0, range(i, i + micro)) for i in range(0, 16, micro)]
        norms.append(trainer.step(parts, lesson.loss))
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)


def test_who_moves_what():
    network = Net()
    network.head = nn.Linear(4, 4)
    muon = build_optimisers(network, settings(kind="muon", weight_decay=0.1, adam_share=0.25))
    adam, hidden = (rated.optimiser for rated in muon)
    matrices = {id(block.weight) for block in network.blocks}
    assert {id(p) for g in hidden.param_groups for p in g["params"]} == matrices
    others = {id(p) for g in adam.param_groups for p in g["params"]}
    assert others == {id(p) for p in network.parameters()} - matrices
    assert [rated.peak for rated in muon] == [0.25 * 0.01, 0.01]
    assert [g["weight_decay"] for g in hidden.param_groups] == [0.1]
    (alone,) = build_optimisers(network, settings(kind="adamw", weight_decay=0.1))
    decays = {id(p): g["weight_decay"] for g in alone.optimiser.param_groups for p in g["params"]}
    assert all(decays[id(p)] == (0.1 if p.ndim == 2 else 0.0) for p in network.parameters())


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_arithmetic_has_the_precision_and_weights_stay_float32(precision):
    lesson, seen = ReversingLesson(), []
    trainer = Trainer(lesson.network(), settings(precision=precision))
    trainer.network.blocks[0].register_forward_hook(lambda *a: seen.append(a[-1].dtype))
    trainer.step([lesson.batch(0, range(4))], lesson.loss)
    assert seen == [getattr(torch, precision)]
    assert {p.dtype for p in trainer.network.parameters()} == {torch.float32}
    assert {t.dtype for t in trainer.average.values()} == {torch.float32}


def test_half_precision_passes_over_a_step_that_overflows_and_scales_less():
    """Gradients of 65536 do not fit into float16: nothing moves, and the scale is halved."""
    trainer = Trainer(Net(), settings(precision="float16"))
    before = trainer.state_dict()
    loss, norm = trainer.step([{"x": torch.ones(2, 4)}], lambda n, b: n(b["x"]).float().sum())
    assert math.isfinite(loss)
    assert not math.isfinite(norm)
    after = trainer.state_dict()
    assert all(torch.equal(after[n], t) for n, t in before.items() if n.startswith("weights/"))
    assert after["scaler/scale"] == before["scaler/scale"] / 2
    other = Trainer(Net(), settings(precision="float16"))
    other.load_state_dict(after, 1)
    assert other.state_dict()["scaler/scale"] == after["scaler/scale"]


def test_random_numbers_are_of_iteration_process_and_micro_batch():
    """Of nothing else: not of what was drawn before, nor of the global state."""

    def draw(iteration, rank, number):
        trainer = Trainer(Net(), settings(), seed=5, processes=Processes(rank=rank))
        trainer.iteration = iteration
        torch.rand(iteration + 3)
        with trainer._seeded(number):
            return tuple(torch.rand(3).tolist())

    identities = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    first, second = ([draw(*i) for i in identities] for _ in range(2))
    assert first == second
    assert len(set(first)) == 4
    trainer = Trainer(Net(), settings())
    state = torch.random.get_rng_state()
    with trainer._seeded(0):
        torch.rand(5)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"micro_batch": 0}, "--micro-batch of 1 or more, got 0"),
        ({"loader_workers": -1}, "--loader-workers of 0 or more, got -1"),
        ({"keep": 0}, "--keep-checkpoints of 1 or more, got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        RunSettings(**changes)


def test_an_accelerator_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
    with pytest.raises(
        InputError, match=r"a cuda device for each .*found 0.*--nproc.*--device cpu"
    ):
        Processes.alone("cuda")
    with pytest.raises(InputError, match="found 0"):
        Processes.join("cuda", 1)
