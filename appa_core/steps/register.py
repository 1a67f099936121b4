"""From the artifacts of a training to a registered model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appa_core.config.presets import Preset
from appa_core.errors import InputError
from appa_core.io.store import Artifact
from appa_core.io.tensors import load_tensors, save_tensors
from appa_core.steps.coder import TrainedCoder
from appa_core.steps.latents import LATENT_STATISTICS
from appa_core.steps.models import AUTOENCODER, DENOISER, RECONSTRUCTION, write_model
from appa_core.steps.statistics import (
    NORMALISATION,
    load_normalisation,
    write_compact_normalisation,
)
from appa_core.steps.training import WEIGHTS


@dataclass(frozen=True)
class TrainedParts:
    """The artifacts that make a model; `latents` are the statistics of latents."""

    statistics: Artifact
    autoencoder: Artifact
    reconstruction: Artifact
    latents: Artifact
    denoiser: Artifact

    def check(self, preset: Preset) -> None:
        """Raise InputError if one was made from something else than the others."""
        coder = TrainedCoder(preset, self.statistics, self.autoencoder)
        for child, role, key in (
            (self.autoencoder, "statistics", self.statistics.key),
            (self.reconstruction, "coder", coder.key),
            (self.latents, "coder", coder.key),
            (self.denoiser, "statistics", self.latents.key),
        ):
            made_from = child.manifest["parents"].get(role)
            if made_from != key:
                raise InputError(
                    f"{child.manifest['step']} {child.key} was made from {role} {made_from}, not "
                    f"from {key}: these parts are of different models; take all of one"
                )


def register_model(
    folder: Path, preset: Preset, parts: TrainedParts, trained_on: str = "unknown"
) -> str:
    """Write a model's folder from the artifacts of its training, weights in half precision.

    Args:
        folder: Where.
        preset: What the parts were trained with.
        parts: From one training.
        trained_on: Source of the states.

    Returns:
        The model's key.

    Raises:
        InputError: The parts are not of one training.
    """
    parts.check(preset)

    def fill(scratch: Path) -> Mapping[str, Any]:
        with parts.statistics.verify().local() as data:
            normalisation = load_normalisation(data / NORMALISATION)
        write_compact_normalisation(scratch / NORMALISATION, normalisation)
        for artifact, name in (
            (parts.latents, LATENT_STATISTICS),
            (parts.reconstruction, RECONSTRUCTION),
        ):
            with artifact.verify().local() as data:
                shutil.copyfile(data / name, scratch / name)
        for artifact, name in ((parts.autoencoder, AUTOENCODER), (parts.denoiser, DENOISER)):
            with artifact.verify().local() as data:
                weights = load_tensors(data / WEIGHTS)
            save_tensors(scratch / name, {k: v.half() for k, v in weights.items()})
        return {
            role: {k: artifact.manifest[k] for k in ("step", "key", "digest", "seed", "parents")}
            | {"summary": artifact.summary, "provenance": artifact.manifest["provenance"]}
            for role, artifact in vars(parts).items()
        }

    return write_model(folder, preset, fill, trained_on)
