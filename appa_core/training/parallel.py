"""Processes that train together."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils.checkpoint import checkpoint

from appa_core.errors import InputError
from appa_core.nn.bases import Network
from appa_core.training.settings import RunSettings


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Args:
        rank: Its number.
        world: How many there are.
        device: Where its network is.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @classmethod
    def alone(cls, device: str) -> Processes:
        """A single process, on `cpu` or on the first accelerator.

        Raises:
            InputError: There is no such accelerator.
        """
        return cls(device=_place(device, 0))

    @classmethod
    def join(cls, device: str, local_rank: int) -> Processes:
        """Join the processes that `torch.distributed.run` started.

        Args:
            device: `cpu`, or `cuda` for the accelerator of this process's local rank.
            local_rank: The number of this process on its machine.

        Raises:
            InputError: This machine has no such accelerator, or not so many.
        """
        place = _place(device, local_rank)
        if place.index is not None:
            torch.accelerator.set_device_index(place.index)
        dist.init_process_group("gloo" if device == "cpu" else "nccl")
        return cls(dist.get_rank(), dist.get_world_size(), place)

    def leave(self) -> None:
        """Leave the others."""
        if dist.is_initialized():
            gc.collect()  # sharded networks hold the group in cycles; it must not outlive us
            dist.destroy_process_group()

    @property
    def is_first(self) -> bool:
        """Whether this process writes for all."""
        return self.rank == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes."""
        if self.world == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        result: list[float] = tensor.tolist()
        return result

    def share(self, count: int) -> range:
        """The positions, of so many, that this process handles."""
        size = count // self.world
        return range(self.rank * size, (self.rank + 1) * size)

    def place(self, network: Network, run: RunSettings) -> nn.Module:
        """The network on its device, ready to train with the others."""
        network.to(self.device)
        if run.recompute:
            recompute_units(network)
        if run.compile:
            network.compile()
        if self.world == 1:
            return network
        if run.sharding == "fsdp":
            return self._sharded(network)
        # on CPUs buckets keep their first order, so that sums do not change after a resume
        steady = self.device.type == "cpu"
        return nn.parallel.DistributedDataParallel(
            network, find_unused_parameters=steady, gradient_as_bucket_view=True
        )

    def _sharded(self, network: Network) -> nn.Module:
        mesh = init_device_mesh(self.device.type, (self.world,))
        for unit in network.units:
            fully_shard(unit, mesh=mesh)
        fully_shard(network, mesh=mesh)
        return network


def _place(device: str, number: int) -> torch.device:
    """`cpu`, or the accelerator of a number; InputError if this machine does not have it."""
    if device == "cpu":
        return torch.device("cpu")
    kind = torch.accelerator.current_accelerator(check_available=True)
    count = torch.accelerator.device_count() if kind and kind.type == device else 0
    if number >= count:
        raise InputError(
            f"expected a {device} device for each training process of this machine, found "
            f"{count}: start at most so many processes with --nproc, or use --device cpu"
        )
    return torch.device(device, number)


def recompute_units(network: Network) -> None:
    """Recompute the units of a network in the backward pass instead of keeping activations."""
    for unit in network.units:
        unit.forward = partial(checkpoint, unit.forward, use_reentrant=False)


def set_synchronised(network: nn.Module, *, last: bool) -> Any:
    """Context in which gradients are added up over processes only with the last micro-batch."""
    if isinstance(network, nn.parallel.DistributedDataParallel) and not last:
        return network.no_sync()
    if isinstance(network, FSDPModule):
        network.set_requires_gradient_sync(last)
    return torch.enable_grad()


def whole(tensor: Tensor) -> Tensor:
    """A tensor whose parts may lie in many processes, all of which must ask for it."""
    detached = tensor.detach()
    return detached.full_tensor() if isinstance(detached, DTensor) else detached


def laid_out_as(value: Tensor, model: Tensor) -> Tensor:
    """A whole tensor on the device, and over the processes, of another."""
    if isinstance(model, DTensor):
        return distribute_tensor(value.to(model.device), model.device_mesh, model.placements)
    return value.to(model.device)
