"""A network on its way: iterations, averaged weights, and the state that continues them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from appa_core.errors import NumericalError
from appa_core.nn.bases import Network
from appa_core.training.lesson import Batch
from appa_core.training.optimisers import build_optimisers
from appa_core.training.parallel import Processes, laid_out_as, set_synchronised, whole
from appa_core.training.settings import OptimiserSettings, RunSettings

_Network = TypeVar("_Network", bound=nn.Module)


class NotFiniteError(NumericalError):
    """A loss or a gradient that is not finite.

    Args:
        message: What was found.
        parts: Micro-batches whose loss is not finite, numbered over all processes; none if only
            the gradient is not.
    """

    def __init__(self, message: str, parts: Sequence[int]) -> None:
        super().__init__(message)
        self.parts = parts


def initialised(make: Callable[[], _Network], generator: torch.Generator) -> _Network:
    """A network whose initial weights come from a generator; global state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.set_state(generator.get_state())
        return make()


class Trainer:
    """A network on its way.

    Everything that the next iteration depends on is in `state_dict` and the iteration's number:
    random numbers within the network (dropout) are seeded anew for every iteration and process.

    Args:
        network: Trained in place.
        settings: How.
        seed: Of random numbers within the network.
        processes: This process among others.
        run: What it runs on.
    """

    def __init__(
        self,
        network: Network,
        settings: OptimiserSettings,
        *,
        seed: int = 0,
        processes: Processes | None = None,
        run: RunSettings | None = None,
    ) -> None:
        self.settings, self.processes = settings, processes or Processes()
        self._seed, self.iteration = seed, 0
        self.network = self.processes.place(network, run or RunSettings())
        self._plain = network
        self._optimisers = build_optimisers(network, settings)
        self._scaler = torch.amp.GradScaler(
            self.processes.device.type, enabled=settings.precision == "float16"
        )
        self._names = {id(p): n for n, p in network.named_parameters()}
        self.average = {n: p.detach().clone() for n, p in network.named_parameters()}

    def step(
        self, batches: list[Batch], loss_of: Callable[[nn.Module, Batch], Tensor]
    ) -> tuple[float, float]:
        """One iteration.

        Args:
            batches: Micro-batches of this process, of one size.
            loss_of: (network, batch) -> mean loss of its samples.

        Returns:
            Loss, and norm of the gradient before clipping.

        Raises:
            NotFiniteError: The loss or gradient is not finite; the weights are as before.
        """
        self.network.train()
        losses = []
        for number, batch in enumerate(batches):
            with (
                self._seeded(number),
                set_synchronised(self.network, last=number == len(batches) - 1),
            ):
                part = self._loss(batch, loss_of) / len(batches)
                self._scaler.scale(part).backward()  # type: ignore[no-untyped-call]
            losses.append(part.item())
        (loss,) = self.processes.total([sum(losses) / self.processes.world])
        norm = self._clipped_norm()
        if not math.isfinite(loss) or not (math.isfinite(norm) or self._scaler.is_enabled()):
            self._forget_gradients()
            raise NotFiniteError(
                f"loss {loss:g} with gradient norm {norm:g} at iteration {self.iteration}",
                self._not_finite(losses),
            )
        share = self.settings.rate(self.iteration)
        for rated in self._optimisers:
            rated.set_share(share)
            self._scaler.step(rated.optimiser)
        self._scaler.update()
        self._forget_gradients()
        self.iteration += 1
        self._average_weights()
        return loss, norm

    def _not_finite(self, losses: list[float]) -> list[int]:
        """Numbers of the micro-batches, over all processes, whose loss is not finite."""
        flags = [0.0] * (self.processes.world * len(losses))
        first = self.processes.rank * len(losses)
        flags[first : first + len(losses)] = [float(not math.isfinite(x)) for x in losses]
        return [i for i, flag in enumerate(self.processes.total(flags)) if flag]

    def _loss(self, batch: Batch, loss_of: Callable[[nn.Module, Batch], Tensor]) -> Tensor:
        device = self.processes.device
        here = {k: v.to(device, non_blocking=True) for k, v in batch.items()}
        reduced = self.settings.precision != "float32"
        with torch.autocast(device.type, self.settings.dtype, enabled=reduced):
            return loss_of(self.network, here)

    @contextmanager
    def _seeded(self, number: int) -> Iterator[None]:
        """Random numbers as a function of seed, iteration, process and micro-batch."""
        device = self.processes.device
        devices = [] if device.type == "cpu" else [device]
        with torch.random.fork_rng(
            devices=devices, device_type=device.type if devices else "cuda"
        ):
            identity = (self._seed, self.iteration, self.processes.rank, number)
            (seed,) = np.random.SeedSequence(identity).generate_state(1, np.uint64).tolist()
            torch.default_generator.manual_seed(seed)
            if devices:
                torch.cuda.default_generators[device.index].manual_seed(seed)
            yield

    def _clipped_norm(self) -> float:
        for rated in self._optimisers:
            self._scaler.unscale_(rated.optimiser)
        norm = nn.utils.clip_grad_norm_(self._plain.parameters(), self.settings.clip_norm)
        return whole(norm).item()

    def _forget_gradients(self) -> None:
        for rated in self._optimisers:
            rated.optimiser.zero_grad(set_to_none=True)

    @torch.no_grad()
    def _average_weights(self) -> None:
        # early on, the average forgets its start: never a longer memory than a tenth of the way
        decay = min(self.settings.ema_decay, self.iteration / (self.iteration + 10))
        for name, parameter in self._plain.named_parameters():
            self.average[name].lerp_(parameter.detach(), 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The network with its averaged weights, for as long as the context lasts."""
        kept = {n: p.detach().clone() for n, p in self._plain.named_parameters()}
        self._set_weights(self.average)
        self.network.eval()
        try:
            with torch.no_grad():
                yield self.network
        finally:
            self._set_weights(kept)

    @torch.no_grad()
    def _set_weights(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._plain.named_parameters():
            parameter.copy_(values[name])

    def whole_average(self) -> dict[str, Tensor]:
        """Averaged weights on the CPU; all processes must ask."""
        return {n: whole(p).cpu().clone() for n, p in self.average.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """Weights, averaged weights and optimiser states, whole and on the CPU, by name.

        All processes must ask; the answer does not depend on how many there are.
        """
        flat: dict[str, Tensor] = {f"weights/{n}": p for n, p in self._plain.named_parameters()}
        flat |= {f"average/{n}": p for n, p in self.average.items()}
        for i, rated in enumerate(self._optimisers):
            for parameter, entries in rated.optimiser.state.items():
                for key, value in entries.items():
                    tensor = torch.as_tensor(value, dtype=torch.float32)
                    flat[f"optimiser{i}/{self._names[id(parameter)]}/{key}"] = tensor
        for key, value in self._scaler.state_dict().items():
            flat[f"scaler/{key}"] = torch.tensor(value, dtype=torch.float64)
        return {k: whole(v).cpu().contiguous() for k, v in flat.items()}

    @torch.no_grad()
    def load_state_dict(self, flat: Mapping[str, Tensor], iteration: int) -> None:
        """Continue after `iteration` iterations from what `state_dict` gave."""
        parameters = dict(self._plain.named_parameters())
        for name, parameter in parameters.items():
            parameter.copy_(laid_out_as(flat[f"weights/{name}"], parameter))
            self.average[name].copy_(laid_out_as(flat[f"average/{name}"], parameter))
        for i, rated in enumerate(self._optimisers):
            rated.optimiser.state.clear()
            for group in rated.optimiser.param_groups:
                for parameter in group["params"]:
                    prefix = f"optimiser{i}/{self._names[id(parameter)]}/"
                    rated.optimiser.state[parameter] = {
                        k.removeprefix(prefix): _as_state(v, parameter)
                        for k, v in flat.items()
                        if k.startswith(prefix)
                    }
        scaler = {k: flat[f"scaler/{k}"].item() for k in self._scaler.state_dict()}
        self._scaler.load_state_dict(
            {
                k: int(v) if k in {"growth_interval", "_growth_tracker"} else v
                for k, v in scaler.items()
            }
        )
        self.iteration = iteration


def _as_state(value: Tensor, parameter: Tensor) -> Tensor:
    """A count of steps stays on the CPU; a tensor lies as the parameter that it belongs to."""
    return value.clone() if value.ndim == 0 else laid_out_as(value, parameter).clone()
