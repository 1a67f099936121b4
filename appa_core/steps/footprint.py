"""What networks cost: parameters, arithmetic and memory, computed without either.

Networks are built and trained for one step on tensors that have shapes but no values (fake
tensors). A multiplication and an addition count as two operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

from appa_core.config.build import (
    CONTEXT_CHANNELS,
    build_autoencoder,
    build_backbone,
    latent_shape,
    optimiser_settings,
)
from appa_core.config.networks import TrainingConfig
from appa_core.config.presets import Preset
from appa_core.diffusion.denoiser import Condition, Denoiser
from appa_core.errors import InputError
from appa_core.nn.bases import Autoencoder, BlanketBackbone, Network
from appa_core.objectives import denoising_loss, reconstruction_loss
from appa_core.training.optimisers import build_optimisers
from appa_core.training.parallel import recompute_units
from appa_core.training.settings import OptimiserSettings

_FLOAT32 = 4
_Shape = tuple[int, ...]


@dataclass(frozen=True)
class NetworkFootprint:
    """Costs of a network.

    Args:
        parameters: Number of weights.
        flops: Operations of inference on one sample, by name.
        training_flops: Operations of one sample in training, forward and backward.
        activations: Bytes that one sample keeps for the backward pass.
        optimiser_values: Values that the optimiser keeps.
        casts: Bytes of weights in reduced precision, kept during a step.
    """

    parameters: int
    flops: dict[str, int]
    training_flops: int
    activations: int
    optimiser_values: int
    casts: int

    def fixed(self, processes: int, sharding: str) -> dict[str, int]:
        """Bytes of a GPU that do not depend on the batch, by what they hold."""
        parts = processes if sharding == "fsdp" else 1
        weights = _FLOAT32 * self.parameters // parts
        return {
            "weights": weights,
            "gradients": weights,
            "optimiser": _FLOAT32 * self.optimiser_values // parts,
            "averaged weights": weights,
            "casts": self.casts,
        }

    def largest_micro_batch(self, memory: int, processes: int, sharding: str) -> int:
        """Samples at once that fit into so many bytes; 0 if not even one does."""
        left = memory - sum(self.fixed(processes, sharding).values())
        return max(0, left // self.activations)


@dataclass(frozen=True)
class Footprint:
    """Costs of a preset's networks.

    Args:
        autoencoder: For one state.
        denoiser: For one blanket.
        latent_shape: (c, h, w).
        tokens: Of a blanket.
    """

    autoencoder: NetworkFootprint
    denoiser: NetworkFootprint
    latent_shape: tuple[int, int, int]
    tokens: int


def measure_footprint(preset: Preset, *, recompute: bool = False) -> Footprint:
    """Costs of the networks of a preset; takes seconds and next to no memory.

    Args:
        preset: Sizes and precision.
        recompute: Recompute blocks in the backward pass instead of keeping activations.
    """
    shape = latent_shape(preset)
    tokens = preset.denoiser.states // preset.denoiser.time_patch * shape[1] * shape[2]
    with FakeTensorMode():
        autoencoder = _autoencoder(preset, recompute=recompute)
        denoiser = _denoiser(preset, recompute=recompute)
    return Footprint(autoencoder, denoiser, shape, tokens)


def _autoencoder(preset: Preset, *, recompute: bool) -> NetworkFootprint:
    network: Autoencoder = build_autoencoder(preset)
    x = torch.empty(1, len(preset.state.build().channels), *preset.state.build().grid.shape)
    z = torch.empty(1, *latent_shape(preset))
    weights = torch.empty(x.shape[1], x.shape[2], 1)
    flops = {
        "encode a state": _flops(lambda: network.encode(x)),
        "decode a state": _flops(lambda: network.decode(z)),
    }
    training = preset.autoencoder.training
    return _trained(
        network, training, flops, lambda n: reconstruction_loss(n, x, weights), recompute=recompute
    )


def _denoiser(preset: Preset, *, recompute: bool) -> NetworkFootprint:
    network: BlanketBackbone = build_backbone(preset)
    states, shape = preset.denoiser.states, latent_shape(preset)
    x = torch.empty(1, states, *shape)
    context = torch.empty(1, states, CONTEXT_CHANNELS - 1, *shape[1:])
    condition = Condition(x, torch.empty(1, states, 1, 1, 1), context)
    sigma, weights = torch.empty(1), torch.empty(shape[0], shape[1], 1)
    flops = {"denoise a blanket": _flops(lambda: Denoiser(network)(x, sigma, condition))}
    return _trained(
        network,
        preset.denoiser.training,
        flops,
        lambda n: denoising_loss(n, x, condition, x, sigma, weights),
        recompute=recompute,
    )


def _trained(
    network: Network,
    training: TrainingConfig,
    flops: dict[str, int],
    loss: Callable[[nn.Module], Tensor],
    *,
    recompute: bool,
) -> NetworkFootprint:
    settings = optimiser_settings(training)
    values = 0
    for rated in build_optimisers(network, settings):
        each = 1 if isinstance(rated.optimiser, torch.optim.Muon) else 2
        values += each * sum(p.numel() for g in rated.optimiser.param_groups for p in g["params"])
    step = _Step(network, settings, loss)
    activations = step.saved()
    if recompute:
        largest = step.largest_unit
        recompute_units(network)
        # while a unit is recomputed, all that it keeps is there too
        activations = step.saved() + largest
    parameters = sum(p.numel() for p in network.parameters())
    return NetworkFootprint(
        parameters=parameters,
        flops=flops,
        training_flops=step.flops,
        activations=activations,
        optimiser_values=values,
        casts=2 * parameters if settings.precision != "float32" else 0,
    )


class _Step:
    """A training step of one sample, and what it costs."""

    def __init__(
        self, network: Network, settings: OptimiserSettings, loss: Callable[[nn.Module], Tensor]
    ) -> None:
        self._network, self._settings, self._loss = network, settings, loss
        self.flops = 0
        self.largest_unit = 0

    def saved(self) -> int:
        """Bytes that the backward pass keeps; sets `flops`, and `largest_unit` of them."""
        saved, before = _Saved(self._network), 0

        def enter(*_: object) -> None:
            nonlocal before
            before = saved.size

        def leave(*_: object) -> None:
            self.largest_unit = max(self.largest_unit, saved.size - before)

        hooks = [u.register_forward_pre_hook(enter) for u in self._network.units]
        hooks += [u.register_forward_hook(leave) for u in self._network.units]
        with _counter() as counter:
            with saved.counting(), _arithmetic(self._settings):
                value = self._loss(self._network)
            value.backward()  # type: ignore[no-untyped-call]
        for hook in hooks:
            hook.remove()
        self.flops = counter.get_total_flops()
        return saved.size


def _arithmetic(settings: OptimiserSettings) -> torch.autocast:
    reduced = settings.precision != "float32"
    dtype = settings.dtype if reduced else torch.bfloat16
    # casts of weights are counted apart
    return torch.autocast("cpu", dtype, enabled=reduced, cache_enabled=True)


def _flops(work: Callable[[], Any]) -> int:
    with torch.no_grad(), _counter() as counter:
        work()
    return int(counter.get_total_flops())


def _counter() -> FlopCounterMode:
    """A counter that knows the attention of CPUs, which torch's own leaves out, and groups.

    Torch's own takes the backward pass of a grouped convolution for that of a full one.
    """
    aten = torch.ops.aten
    known = {
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,  # noqa: SLF001
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,  # noqa: SLF001
        aten.convolution_backward: _convolution_backward,
    }
    return FlopCounterMode(display=False, custom_mapping=known)


def _attention(query: _Shape, key: _Shape, value: _Shape, *_: Any, **__: Any) -> int:
    count: int = sdpa_flop_count(query, key, value)  # type: ignore[no-untyped-call]
    return count


def _attention_backward(
    gradient: _Shape, query: _Shape, key: _Shape, value: _Shape, *_: Any, **__: Any
) -> int:
    count: int = sdpa_backward_flop_count(  # type: ignore[no-untyped-call]
        gradient, query, key, value
    )
    return count


def _convolution_backward(
    gradient: _Shape, _x: _Shape, weight: _Shape, *rest: Any, **__: Any
) -> int:
    """As much as the forward pass for each of the gradients of input and weights."""
    wanted = next(x for x in reversed(rest) if _is_mask(x))
    kinds: int = sum(wanted[:2])
    return 2 * math.prod(gradient) * math.prod(weight[1:]) * kinds


def _is_mask(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and isinstance(value[0], bool)


class _Saved:
    """Bytes of the tensors that autograd keeps, each storage once, without weights."""

    def __init__(self, network: nn.Module) -> None:
        self._shapes = {tuple(p.shape) for p in network.parameters() if p.ndim >= 2}
        self._shapes |= {tuple(reversed(s)) for s in self._shapes if len(s) == 2}
        self._weights = {_identity(p) for p in network.parameters()}
        self._kept: dict[int, Tensor] = {}

    def counting(self) -> torch.autograd.graph.saved_tensors_hooks:
        """Context that counts."""
        return torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return sum(t.untyped_storage().nbytes() for t in self._kept.values())

    def _keep(self, tensor: Tensor) -> Tensor:
        # a cast of a weight has its shape; no activation of one sample has
        if _identity(tensor) not in self._weights and tuple(tensor.shape) not in self._shapes:
            self._kept[_identity(tensor)] = tensor
        return tensor


def _identity(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001


def parse_memory(text: str) -> int:
    """Bytes from text such as 80GiB or 24GB.

    Raises:
        InputError: The text is no size.
    """
    units = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
    units |= {"KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40}
    for unit, size in units.items():
        number = text.removesuffix(unit).strip()
        if number != text and number.replace(".", "", 1).isdigit():
            return int(float(number) * size)
    raise InputError(f"{text!r} is no size of memory; expected such as 80GiB")
