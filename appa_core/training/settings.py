"""How weights move, and what they are moved on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from appa_core.errors import InputError

Precision = Literal["float32", "bfloat16", "float16"]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class OptimiserSettings:
    """How weights move.

    Args:
        iterations: Iterations in all.
        kind: `muon` moves the matrices of hidden layers by Muon, all else by AdamW.
        learning_rate: Peak rate of Muon, or of AdamW where it is alone.
        adam_share: Rate of AdamW over that of Muon.
        weight_decay: Decay of matrices.
        warm_up: Iterations until the peak.
        decay_share: Share of the iterations, at the end, over which the rate falls to nothing.
        clip_norm: Largest norm of a gradient.
        ema_decay: Weight of the past in the averaged weights.
        precision: Of the network's arithmetic; weights stay float32.
    """

    iterations: int
    learning_rate: float
    adam_share: float
    weight_decay: float
    warm_up: int
    decay_share: float
    clip_norm: float
    ema_decay: float
    kind: Literal["muon", "adamw"] = "muon"
    precision: Precision = "float32"

    @property
    def dtype(self) -> torch.dtype:
        """Of the network's arithmetic."""
        return _DTYPES[self.precision]

    def rate(self, iteration: int) -> float:
        """Share of the peak learning rate at an iteration: warm-up, plateau, linear decay."""
        left = (self.iterations - iteration) / max(self.iterations * self.decay_share, 1)
        return min((iteration + 1) / self.warm_up, 1.0, max(left, 0.0))


@dataclass(frozen=True)
class RunSettings:
    """What a training runs on; results depend on it by rounding alone.

    Args:
        micro_batch: Samples that a process handles at once; its whole share if None.
        sharding: `ddp` keeps all weights in every process, `fsdp` shares them out.
        recompute: Recompute blocks in the backward pass instead of keeping their activations.
        compile: Compile the network with torch.compile.
        loader_workers: Processes that read data ahead, for every training process; 0: none.
        keep: Checkpoints to keep.

    Raises:
        InputError: A number is too small.
    """

    micro_batch: int | None = None
    sharding: Literal["ddp", "fsdp"] = "ddp"
    recompute: bool = False
    compile: bool = False
    loader_workers: int = 0
    keep: int = 2

    def __post_init__(self) -> None:
        for name, least in (("micro_batch", 1), ("loader_workers", 0), ("keep", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                option = "keep-checkpoints" if name == "keep" else name.replace("_", "-")
                raise InputError(f"expected --{option} of {least} or more, got {value}")
