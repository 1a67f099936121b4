"""What encodes and decodes: an autoencoder with its normalisation, trained or registered."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from appa_core.climatology import Normalisation
from appa_core.config.presets import Preset
from appa_core.io.cube import Cube
from appa_core.io.places import folder_here
from appa_core.io.store import Artifact
from appa_core.nn.bases import Autoencoder
from appa_core.schema import StateSchema
from appa_core.steps.models import cached_model, cached_model_preset, model_key, verify_model
from appa_core.steps.standardised import standardised_states
from appa_core.steps.statistics import NORMALISATION, load_normalisation
from appa_core.steps.train_autoencoder import load_autoencoder


@dataclass(frozen=True)
class Coder:
    """Networks between physical states and latents (not standardised), ready for use.

    Args:
        schema: What states hold.
        normalisation: Between physical and standardised states.
        autoencoder: Between standardised states and latents.
        device: Where it runs.
        batch: States at once.
    """

    schema: StateSchema
    normalisation: Normalisation
    autoencoder: Autoencoder
    device: str
    batch: int = 32

    def standardised(
        self,
        states: Cube,
        times: pd.DatetimeIndex,
        out: np.ndarray | None = None,
        *,
        threads: int | None = None,
    ) -> Tensor:
        """Standardised states of a cube, (T, C, H, W); see `standardised_states`."""
        return standardised_states(
            states, times, self.schema, self.normalisation, out=out, threads=threads
        )

    @torch.no_grad()
    def encode(self, standard: Tensor) -> Tensor:
        """Standardised states (T, C, H, W) to latents (T, c, h, w)."""
        parts = torch.split(standard, self.batch)
        return torch.cat([self.autoencoder.encode(x.to(self.device)).cpu() for x in parts])

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (T, c, h, w) to standardised states (T, C, H, W)."""
        parts = torch.split(latents, self.batch)
        return torch.cat([self.autoencoder.decode(z.to(self.device)).cpu() for z in parts])


@runtime_checkable  # Prefect checks the parameters of flows
class CoderReference(Protocol):
    """Which coder: small, hashable, and safe to send to a worker."""

    @property
    def key(self) -> str:
        """Identity of all weights."""
        ...

    @property
    def preset(self) -> Preset:
        """Fields, grid and sizes."""
        ...

    def load(self, device: str) -> Coder:
        """The networks; a process loads them once."""
        ...


@dataclass(frozen=True)
class TrainedCoder:
    """A coder from the artifacts of its training.

    Args:
        preset: Sizes, which the artifacts determine.
        statistics: The normalisation.
        autoencoder: Trained weights.
    """

    preset: Preset = field(compare=False, repr=False)
    statistics: Artifact
    autoencoder: Artifact

    @property
    def key(self) -> str:
        """Identity of all weights."""
        return f"{self.statistics.key}-{self.autoencoder.key}"

    def load(self, device: str) -> Coder:
        """The networks; a process loads them once."""
        return _trained(self, device)


@dataclass(frozen=True)
class RegisteredCoder:
    """The coder of a registered model.

    Args:
        folder: Path or URL of the model; every worker reads it there.
        key: Hash of its files.
    """

    folder: str
    key: str

    @classmethod
    def of(cls, folder: str | os.PathLike[str]) -> RegisteredCoder:
        """The coder of a model's folder, after checking that it is whole.

        Raises:
            InputError: There is no such model.
            IntegrityError: A file is missing or damaged.
        """
        return cls(os.fspath(folder), model_key(verify_model(folder_here(folder))))

    @property
    def preset(self) -> Preset:
        """What the model was trained with."""
        return cached_model_preset(str(folder_here(self.folder)), self.key)

    def load(self, device: str) -> Coder:
        """The networks; a process loads them once."""
        model = cached_model(str(folder_here(self.folder)), self.key, device)
        schema = model.preset.state.build()
        return Coder(schema, model.normalisation, model.autoencoder, device)


@lru_cache(maxsize=2)
def _trained(coder: TrainedCoder, device: str) -> Coder:
    with coder.statistics.verify().local() as folder:
        normalisation = load_normalisation(folder / NORMALISATION)
    autoencoder = load_autoencoder(coder.preset, coder.autoencoder).to(device)
    return Coder(coder.preset.state.build(), normalisation, autoencoder, device)
