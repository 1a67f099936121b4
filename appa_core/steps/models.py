"""Registered models: a folder with everything that a forecast needs, and proof that it is whole.

`preset.yaml`, the normalisation, the networks' weights and latent statistics, a model card, and
a `manifest.json` with their checksums and where they came from.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from appa_core.climatology import Normalisation
from appa_core.config.build import build_autoencoder, build_backbone
from appa_core.config.presets import Preset, parse_preset
from appa_core.errors import InputError, IntegrityError
from appa_core.io.hashing import content_key, file_sha256
from appa_core.io.places import require_replaceable
from appa_core.io.store import MANIFEST, write_atomically
from appa_core.io.tensors import load_into, load_tensors
from appa_core.nn.bases import Autoencoder, BlanketBackbone
from appa_core.steps.latents import LATENT_STATISTICS
from appa_core.steps.statistics import (
    NORMALISATION,
    load_normalisation,
)

_PRESET = "preset.yaml"
AUTOENCODER = "autoencoder.safetensors"
DENOISER = "denoiser.safetensors"
_CARD = "MODEL_CARD.md"
RECONSTRUCTION = "reconstruction.safetensors"
_MARKS = frozenset({"files", "parameters", "parts"})
_FILES = (_PRESET, NORMALISATION, AUTOENCODER, DENOISER, LATENT_STATISTICS, RECONSTRUCTION)
_OPTIONAL = (NORMALISATION, RECONSTRUCTION)  # imported models may lack them


@dataclass(frozen=True)
class Model:
    """Networks and what they were trained with, ready to forecast.

    Args:
        key: Hash of all its files.
        preset: Configuration.
        stored_normalisation: Between physical and standardised states; None if it is unknown.
        autoencoder: Between standardised states and latents.
        backbone: The denoiser's network.
        latent_mean: (c, 1, 1).
        latent_std: (c, 1, 1).
        stored_reconstruction: RMSE of decoded states by channel, (C,), in standard deviations;
            None if it is unknown.
        manifest: Where it came from.
    """

    key: str
    preset: Preset
    stored_normalisation: Normalisation | None
    autoencoder: Autoencoder
    backbone: BlanketBackbone
    latent_mean: Tensor
    latent_std: Tensor
    stored_reconstruction: Tensor | None
    manifest: Mapping[str, Any]

    @property
    def normalisation(self) -> Normalisation:
        """Between physical and standardised states.

        Raises:
            InputError: The model came without one.
        """
        if self.stored_normalisation is None:
            raise InputError(
                f"model {self.key} came without the normalisation of physical states: import it "
                "again with --normalisation (what python -m flows.normalize made, or a file with "
                "the mean and std of every channel)"
            )
        return self.stored_normalisation

    @property
    def reconstruction_rmse(self) -> Tensor:
        """RMSE of decoded states by channel, (C,), in standard deviations.

        Raises:
            InputError: The model came without it.
        """
        if self.stored_reconstruction is None:
            raise InputError(
                f"model {self.key} came without the errors of its autoencoder, which observations "
                f"are weighed with: register it again with them ({RECONSTRUCTION})"
            )
        return self.stored_reconstruction

    @torch.no_grad()
    def encode(self, states: Tensor) -> Tensor:
        """Standardised states (..., C, H, W) to standardised latents (..., c, h, w)."""
        return (self.autoencoder.encode(states) - self.latent_mean) / self.latent_std

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Standardised latents (..., c, h, w) to standardised states (..., C, H, W)."""
        return self.autoencoder.decode(latents * self.latent_std + self.latent_mean)


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """The manifest of a model's folder, whose files are not looked at.

    Raises:
        InputError: There is no such model.
        IntegrityError: It is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} holds no model (no {MANIFEST}); train or register one first")
    try:
        manifest: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        model_key(manifest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"{path} is damaged ({error}); restore it from the distribution"
        ) from error
    return manifest


def verify_model(folder: Path) -> Mapping[str, Any]:
    """The manifest of a model's folder, after comparing every file with its checksum.

    Raises:
        InputError: There is no such model.
        IntegrityError: A file is missing or damaged.
    """
    manifest = read_manifest(folder)
    for name in _files(manifest):
        path = folder / name
        if not path.is_file():
            raise IntegrityError(f"{path} is missing; restore it from the distribution")
        if file_sha256(path) != manifest["files"].get(name):
            raise IntegrityError(
                f"{path} is damaged: its checksum is not the one in {MANIFEST}; restore it from "
                "the distribution or register the model again"
            )
    return manifest


def _files(manifest: Mapping[str, Any]) -> list[str]:
    """Files of a model."""
    known = manifest["files"]
    return [name for name in _FILES if name in known or name not in _OPTIONAL]


def model_key(manifest: Mapping[str, Any]) -> str:
    """Hash of a model's files."""
    return content_key({name: manifest["files"][name] for name in _files(manifest)})


def read_model_preset(folder: Path) -> Preset:
    """The configuration that a model was trained with."""
    path = folder / _PRESET
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise IntegrityError(
            f"{path} cannot be read ({error}); restore it from the distribution"
        ) from error
    return parse_preset(text, source=str(path))


@lru_cache(maxsize=8)
def cached_model_preset(folder: str, key: str) -> Preset:  # noqa: ARG001
    """The configuration of a model, read once; the key tells versions apart."""
    return read_model_preset(Path(folder))


def load_model(folder: Path, device: torch.device | None = None) -> Model:
    """Load a model after checking that it is whole.

    Raises:
        InputError: There is no such model.
        IntegrityError: A file is missing or damaged, or does not fit the preset.
    """
    manifest = verify_model(folder)
    preset = read_model_preset(folder)
    device = device or torch.device("cpu")
    autoencoder = build_autoencoder(preset)
    backbone = build_backbone(preset)
    load_into(autoencoder, load_tensors(folder / AUTOENCODER), str(folder / AUTOENCODER))
    load_into(backbone, load_tensors(folder / DENOISER), str(folder / DENOISER))
    latent = load_tensors(folder / LATENT_STATISTICS)
    return Model(
        key=model_key(manifest),
        preset=preset,
        stored_normalisation=(
            load_normalisation(folder / NORMALISATION)
            if NORMALISATION in manifest["files"]
            else None
        ),
        autoencoder=autoencoder.to(device).eval().requires_grad_(requires_grad=False),
        backbone=backbone.to(device).eval().requires_grad_(requires_grad=False),
        latent_mean=latent["mean"].to(device)[:, None, None],
        latent_std=latent["std"].to(device)[:, None, None],
        stored_reconstruction=(
            load_tensors(folder / RECONSTRUCTION)["rmse"]
            if RECONSTRUCTION in manifest["files"]
            else None
        ),
        manifest=manifest,
    )


@lru_cache(maxsize=2)
def cached_model(folder: str, key: str, device: str) -> Model:
    """A model that stays loaded for the steps that follow; the key tells versions apart.

    Raises:
        IntegrityError: The folder no longer holds the model of this key.
    """
    model = load_model(Path(folder), torch.device(device))
    if model.key != key:
        raise IntegrityError(f"{folder} holds model {model.key}, no longer {key}; start again")
    return model


def write_model(
    folder: Path,
    preset: Preset,
    fill: Callable[[Path], Mapping[str, Any]],
    trained_on: str = "unknown",
) -> str:
    """Write a model's folder, whole or not at all.

    Args:
        folder: Where; a model that is there is replaced, its model card stays.
        preset: Configuration.
        fill: Writes weights and statistics into the folder that it is given, and returns where
            they came from.
        trained_on: Source of the states.

    Returns:
        The model's key.
    """
    check_model_folder(folder)
    scratch = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    text = yaml.safe_dump(preset.model_dump(mode="json"), sort_keys=False)
    (scratch / _PRESET).write_text(text, "utf-8")
    parts = fill(scratch)
    manifest = {
        "name": folder.name,
        "files": {n: file_sha256(scratch / n) for n in _FILES if (scratch / n).is_file()},
        "parameters": {n: _count(scratch / n) for n in (AUTOENCODER, DENOISER)},
        "trained_on": trained_on,
        "parts": parts,
    }
    write_atomically(
        scratch / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True, default=str) + "\n"
    )
    if (folder / _CARD).is_file():
        shutil.copy2(folder / _CARD, scratch / _CARD)
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)
    return model_key(manifest)


def check_model_folder(folder: Path) -> None:
    """Make sure that a model may be written to a folder: what else is there stays.

    Raises:
        InputError: Something that is no model of ours is there.
    """
    require_replaceable(folder, "--register", "model", _MARKS)


def _count(path: Path) -> int:
    return sum(tensor.numel() for tensor in load_tensors(path).values())
