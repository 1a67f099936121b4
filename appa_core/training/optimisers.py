"""Optimisers as a list: Muon for matrices of hidden layers, AdamW for the rest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from appa_core.training.settings import OptimiserSettings


@dataclass(frozen=True)
class RatedOptimiser:
    """An optimiser and the peak of its learning rate."""

    optimiser: torch.optim.Optimizer
    peak: float

    def set_share(self, share: float) -> None:
        """Set the rate to a share of its peak."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.peak * share


def build_optimisers(network: nn.Module, settings: OptimiserSettings) -> list[RatedOptimiser]:
    """Optimisers of all parameters of a network.

    Args:
        network: Matrices below a module named `blocks` are those of hidden layers.
        settings: Kind and rates.
    """
    parameters = dict(network.named_parameters())
    is_muon = settings.kind == "muon"
    hidden = [p for n, p in parameters.items() if is_muon and p.ndim == 2 and "blocks." in n]
    chosen = {id(p) for p in hidden}
    others = [p for p in parameters.values() if id(p) not in chosen]
    rate = settings.learning_rate
    decay = 0.0 if is_muon else settings.weight_decay
    groups = [
        {"params": [p for p in others if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=rate, betas=(0.9, 0.98), fused=False
    )
    built = [RatedOptimiser(adam, rate * (settings.adam_share if is_muon else 1.0))]
    if hidden:
        muon = torch.optim.Muon(
            hidden,
            lr=rate,
            weight_decay=settings.weight_decay,
            momentum=0.95,
            adjust_lr_fn="match_rms_adamw",
        )
        built.append(RatedOptimiser(muon, rate))
    return built
