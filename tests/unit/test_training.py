import pytest
import torch
from torch import nn

from appa_core.diffusion.noise import generator_for
from appa_core.errors import NumericalError
from appa_core.io.store import ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors
from appa_core.steps.training import WEIGHTS, TrainingJob, run_training
from appa_core.training import OptimiserSettings, Trainer, initialised

SETTINGS = OptimiserSettings(
    iterations=12,
    learning_rate=0.01,
    adam_share=0.3,
    weight_decay=0.01,
    warm_up=3,
    decay_share=0.5,
    clip_norm=1.0,
    ema_decay=0.9,
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

    def forward(self, x):
        return self.blocks[1](torch.tanh(self.blocks[0](x)))


def make():
    return initialised(Net, generator_for(0, 1))


def loss(network, iteration):
    x = torch.randn(16, 4, generator=generator_for(1, iteration))
    return (network(x) - x.flip(1)).square().mean()


def job(**changes):
    settings = {
        "recipe": Recipe("train-demo", 1, {}, {}),
        "network": make,
        "loss": loss,
        "settings": SETTINGS,
        "checkpoint_every": 4,
        "validate": lambda network: {"error": loss(network, 999).item()},
    }
    return TrainingJob(**settings | changes)


def weights(artifact):
    with artifact.local() as folder:
        return load_tensors(folder / WEIGHTS)


def test_training_lowers_the_loss(tmp_path):
    trained = run_training(ArtifactStore(tmp_path), job())
    assert trained.summary["validation"]["error"] < loss(make(), 999).item()


@pytest.mark.parametrize("stop", [2, 5, 10])
def test_a_killed_training_ends_with_the_same_bytes(tmp_path, stop):
    undisturbed = run_training(ArtifactStore(tmp_path / "a"), job())

    def dying(network, iteration):
        if iteration == stop:
            raise KeyboardInterrupt
        return loss(network, iteration)

    store = ArtifactStore(tmp_path / "b")
    with pytest.raises(KeyboardInterrupt):
        run_training(store, job(loss=dying))
    seen = []

    def counting(network, iteration):
        seen.append(iteration)
        return loss(network, iteration)

    resumed = run_training(store, job(loss=counting))
    assert resumed.digest == undisturbed.digest
    assert seen[0] == stop - stop % 4


def test_old_checkpoints_are_removed(tmp_path):
    store = ArtifactStore(tmp_path)
    run_training(store, job())
    kept = [a.summary["iteration"] for a in store.artifacts("train-demo-checkpoint")]
    assert sorted(kept) == [8, 12]


def test_a_loss_that_is_not_finite_stops_and_keeps_the_weights():
    trainer = Trainer(make(), SETTINGS)
    before = {n: p.clone() for n, p in trainer.network.named_parameters()}
    with pytest.raises(NumericalError, match="iteration 0"):
        trainer.step(lambda i: loss(trainer.network, i) * float("nan"))
    assert all(torch.equal(p, before[n]) for n, p in trainer.network.named_parameters())


def test_rate_warms_up_holds_and_falls():
    rates = [SETTINGS.rate(i) for i in range(12)]
    assert rates[0] == pytest.approx(1 / 3)
    assert rates[3:6] == [1.0, 1.0, 1.0]
    assert rates[11] == pytest.approx(1 / 6)


def test_initial_weights_leave_global_randomness_alone():
    state = torch.random.get_rng_state()
    a, b = make(), make()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(a.blocks[0].weight, b.blocks[0].weight)
