"""A lesson of milliseconds: a small network learns to reverse four numbers."""

from dataclasses import dataclass

import torch
from torch import nn

from appa_core.diffusion.noise import generator_for
from appa_core.nn.bases import Network
from appa_core.training.settings import OptimiserSettings
from appa_core.training.trainer import initialised

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


class Net(Network):
    def __init__(self, dropout=0.0):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.dropout = nn.Dropout(dropout)

    @property
    def units(self):
        return list(self.blocks)

    def forward(self, x):
        return self.blocks[1](self.dropout(torch.tanh(self.blocks[0](x))))


@dataclass(frozen=True)
class ReversingLesson:
    """Learn to reverse; data of the iteration `poison` are not finite, all or those `poisoned`."""

    batch_size: int = 16
    held_out: int = 40
    objective: str = "error"
    dropout: float = 0.0
    poison: int = -1
    poisoned: int | None = None

    def network(self):
        return initialised(lambda: Net(self.dropout), generator_for(0, 1))

    def batch(self, iteration, positions):
        rows = [torch.randn(4, generator=generator_for(1, iteration, p)) for p in positions]
        x = torch.stack(rows)
        if iteration == self.poison:
            x[[self.poisoned in {None, p} for p in positions]] = float("nan")
        return {"x": x}

    def describe(self, iteration, positions):
        return f"rows {list(positions)} of iteration {iteration}"

    def loss(self, network, batch):
        return (network(batch["x"]) - batch["x"].flip(1)).square().mean()

    def held_out_batch(self, positions):
        return {
            "x": torch.stack([torch.randn(4, generator=generator_for(2, p)) for p in positions])
        }

    def errors(self, network, batch):
        return (network(batch["x"]) - batch["x"].flip(1)).square().mean(1, keepdim=True)

    def scores(self, errors):
        return {"error": errors[0]}
