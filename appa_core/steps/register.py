"""From the artifacts of a training to a registered model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appa_core.config.presets import Preset
from appa_core.errors import InputError
from appa_core.io.cube import Cube
from appa_core.io.store import Artifact
from appa_core.io.tensors import load_tensors, save_tensors
from appa_core.steps.coder import TrainedCoder
from appa_core.steps.latents import LATENT_STATISTICS, training_period
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

    def check(self, preset: Preset, encoded: Cube) -> None:
        """Raise InputError if one was made from something else than the others.

        Args:
            preset: What they were trained with.
            encoded: The latents that the denoiser learned.
        """
        coder = TrainedCoder(preset, self.statistics, self.autoencoder)
        digest = encoded.digest(*training_period(preset))
        for what, made_from, expected in (
            ("autoencoder", _parent(self.autoencoder, "statistics"), self.statistics.key),
            ("reconstruction", _parent(self.reconstruction, "coder"), coder.key),
            ("cube of latents", encoded.spec.parents.get("coder"), coder.key),
            ("statistics of latents", _parent(self.latents, "latents"), digest),
            ("denoiser", _parent(self.denoiser, "statistics"), self.latents.key),
        ):
            if made_from != expected:
                raise InputError(
                    f"the {what} was made from {made_from}, not from {expected}: these parts are "
                    "of different models; take all of one"
                )


def _parent(artifact: Artifact, role: str) -> str | None:
    parent: str | None = artifact.manifest["parents"].get(role)
    return parent


def register_model(
    folder: Path, preset: Preset, parts: TrainedParts, encoded: Cube, trained_on: str = "unknown"
) -> str:
    """Write a model's folder from the artifacts of its training, weights in half precision.

    Args:
        folder: Where.
        preset: What the parts were trained with.
        parts: From one training.
        encoded: The latents that the denoiser learned.
        trained_on: Source of the states.

    Returns:
        The model's key.

    Raises:
        InputError: The parts are not of one training.
    """
    parts.check(preset, encoded)

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
