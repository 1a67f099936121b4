"""Training a network: optimisers, learning-rate schedule, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from appa_core.errors import NumericalError

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class OptimiserSettings:
    """How weights move.

    Args:
        iterations: Iterations in all.
        learning_rate: Peak rate of Muon, which moves the matrices of hidden layers.
        adam_share: Rate of AdamW, which moves all else, over that of Muon.
        weight_decay: Decay of the matrices.
        warm_up: Iterations until the peak.
        decay_share: Share of the iterations, at the end, over which the rate falls to nothing.
        clip_norm: Largest norm of a gradient.
        ema_decay: Weight of the past in the averaged weights.
    """

    iterations: int
    learning_rate: float
    adam_share: float
    weight_decay: float
    warm_up: int
    decay_share: float
    clip_norm: float
    ema_decay: float

    def rate(self, iteration: int) -> float:
        """Share of the peak learning rate at an iteration: warm-up, plateau, linear decay."""
        left = (self.iterations - iteration) / max(self.iterations * self.decay_share, 1)
        return min((iteration + 1) / self.warm_up, 1.0, max(left, 0.0))


def initialised(make: Callable[[], Network], generator: torch.Generator) -> Network:
    """A network whose initial weights come from a generator; global state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.set_state(generator.get_state())
        return make()


class Trainer:
    """A network on its way.

    Everything that the next iteration depends on is in `state_dict`, so that a resumed training
    takes the same path; randomness comes from the loss, as a function of the iteration.

    Args:
        network: Trained in place.
        settings: How.
    """

    def __init__(self, network: nn.Module, settings: OptimiserSettings) -> None:
        self.network, self.settings = network, settings
        self.iteration = 0
        hidden = [p for n, p in network.named_parameters() if p.ndim == 2 and "blocks." in n]
        chosen = {id(p) for p in hidden}
        others = [p for p in network.parameters() if id(p) not in chosen]
        rate = settings.learning_rate
        self._optimisers: list[tuple[torch.optim.Optimizer, float]] = [
            (
                torch.optim.AdamW(
                    others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0, fused=False
                ),
                rate * settings.adam_share,
            )
        ]
        if hidden:
            muon = torch.optim.Muon(
                hidden,
                lr=rate,
                weight_decay=settings.weight_decay,
                momentum=0.95,
                adjust_lr_fn="match_rms_adamw",
            )
            self._optimisers.append((muon, rate))
        self._names = {id(p): n for n, p in network.named_parameters()}
        self.average = {n: p.detach().clone() for n, p in network.named_parameters()}

    def step(self, loss_of: Callable[[int], Tensor]) -> float:
        """One iteration.

        Args:
            loss_of: Loss as a function of the iteration.

        Returns:
            The loss.

        Raises:
            NumericalError: The loss or gradient is not finite; the weights are as before.
        """
        self.network.train()
        loss = loss_of(self.iteration)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip_norm)
        if not math.isfinite(loss.item() + norm.item()):
            raise NumericalError(
                f"loss {loss.item():g} with gradient norm {norm.item():g} at iteration "
                f"{self.iteration}; lower the learning rate and start again from the last "
                "checkpoint"
            )
        share = self.settings.rate(self.iteration)
        for optimiser, peak in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = peak * share
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.iteration += 1
        self._average_weights()
        return loss.item()

    def _average_weights(self) -> None:
        # early on, the average forgets its start: never a longer memory than a tenth of the way
        decay = min(self.settings.ema_decay, self.iteration / (self.iteration + 10))
        for name, parameter in self.network.named_parameters():
            self.average[name].lerp_(parameter.detach(), 1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        """Weights, averaged weights and optimiser states as flat named tensors."""
        flat = {f"weights/{n}": p.detach() for n, p in self.network.named_parameters()}
        flat |= {f"average/{n}": p for n, p in self.average.items()}
        for i, (optimiser, _) in enumerate(self._optimisers):
            for parameter, entries in optimiser.state.items():
                for key, value in entries.items():
                    tensor = torch.as_tensor(value, dtype=torch.float32)
                    flat[f"optimiser{i}/{self._names[id(parameter)]}/{key}"] = tensor
        return {k: v.contiguous() for k, v in flat.items()}

    @torch.no_grad()
    def load_state_dict(self, flat: Mapping[str, Tensor], iteration: int) -> None:
        """Continue after `iteration` iterations from what `state_dict` gave."""
        parameters = dict(self.network.named_parameters())
        for name, parameter in parameters.items():
            parameter.copy_(flat[f"weights/{name}"])
            self.average[name].copy_(flat[f"average/{name}"])
        for i, (optimiser, _) in enumerate(self._optimisers):
            optimiser.state.clear()
            for group in optimiser.param_groups:
                for parameter in group["params"]:
                    prefix = f"optimiser{i}/{self._names[id(parameter)]}/"
                    optimiser.state[parameter] = {
                        k.removeprefix(prefix): v.clone()
                        for k, v in flat.items()
                        if k.startswith(prefix)
                    }
        self.iteration = iteration
