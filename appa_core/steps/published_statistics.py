"""Statistics of published systems: of latents, and of physical states."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from appa_core.climatology import Normalisation, SeasonalClimatology
from appa_core.config.presets import Preset
from appa_core.errors import DataError, InputError
from appa_core.io.pickles import read_pickle
from appa_core.io.tensors import load_tensors
from appa_core.schema import MASKED
from appa_core.steps.statistics import NORMALISATION, load_normalisation


def read_latent_statistics(path: Path, channels: int) -> dict[str, Tensor]:
    """`mean` and `std` by channel, (c,) float32, from a file of the same names.

    Raises:
        DataError: They are not there, or not of so many channels.
    """
    content = read_pickle(path)
    if not isinstance(content, Mapping) or not {"mean", "std"} <= set(content):
        raise DataError(f"{path}: expected tensors `mean` and `std`")
    return {k: _by_channel(content[k], channels, f"{path}: {k}") for k in ("mean", "std")}


def read_normalisation(path: Path, preset: Preset) -> Normalisation:
    """The normalisation of states from what `flows.normalize` made, or from `mean` and `std`.

    Raises:
        InputError: There is no such file.
        DataError: It holds neither, or does not fit the fields.
    """
    places = [path, path / NORMALISATION, path / "data" / NORMALISATION]
    found = next((p for p in places if p.is_file()), None)
    if found is None:
        raise InputError(f"{path} is not there, nor {NORMALISATION} in it")
    content = _named_arrays(found)
    channels = preset.state.build().channels
    if "std" in content and {"coefficients", "harmonics"} & set(content):
        normalisation = load_normalisation(found)
        if len(normalisation.std) != len(channels):
            raise DataError(
                f"{found} is of {len(normalisation.std)} channels, the preset has {len(channels)}"
            )
        return normalisation
    masked = sorted({c.variable for c in channels} & MASKED)
    if masked:
        raise DataError(
            f"{found}: mean and std alone do not tell in which cells {', '.join(masked)} has no "
            "value; give what python -m flows.normalize made"
        )
    mean, std = (
        _by_channel(content.get(k), len(channels), f"{found}: {k}").numpy()
        for k in ("mean", "std")
    )
    return Normalisation(SeasonalClimatology(mean[None, None, :, None, None]), std)


def _named_arrays(path: Path) -> Mapping[str, Any]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays}
    if path.suffix == ".safetensors":
        return load_tensors(path)
    content = read_pickle(path)
    return content if isinstance(content, Mapping) else {}


def _by_channel(value: Any, channels: int, what: str) -> Tensor:
    if not isinstance(value, Tensor) or value.numel() != channels:
        got = tuple(value.shape) if isinstance(value, Tensor) else value
        raise DataError(f"{what}: expected {channels} values, one a channel, got {got}")
    flat = value.detach().float().flatten().clone()
    if not torch.isfinite(flat).all():
        raise DataError(f"{what}: a value is not finite")
    return flat
