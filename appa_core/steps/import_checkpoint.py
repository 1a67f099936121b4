"""Published checkpoints as models of ours: configuration, weights, latent statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from appa_core.config.build import build_autoencoder, build_backbone, latent_shape
from appa_core.config.named import parse_yaml
from appa_core.config.presets import Preset
from appa_core.errors import DataError, InputError
from appa_core.io.hashing import file_sha256
from appa_core.io.pickles import read_weights
from appa_core.io.tensors import save_tensors
from appa_core.nn.published_autoencoder import ConvolutionalShape
from appa_core.nn.published_transformer import DiffusionTransformerShape
from appa_core.steps.latents import LATENT_STATISTICS
from appa_core.steps.models import AUTOENCODER, DENOISER, write_model
from appa_core.steps.published_statistics import read_latent_statistics, read_normalisation
from appa_core.steps.statistics import NORMALISATION, write_normalisation

_TRAINING = {"iterations": 1, "batch": 1, "learning_rate": 1.0}
_DENOISER_WEIGHTS = ("model_best.pth", "model_last.pth")


@dataclass(frozen=True)
class PublishedCheckpoint:
    """Where the parts of a published system are.

    Args:
        autoencoder: Folder with `config.yaml` (`ae:`) and `model*.pth`.
        denoiser: Folder with `config.yaml` (`backbone:`, `train:`) and `model_best.pth` or
            `model_last.pth`.
        stats: File with `mean` and `std` of latents.
        normalisation: What `flows.normalize` made, or a file with `mean` and `std` of states.
    """

    autoencoder: Path
    denoiser: Path
    stats: Path
    normalisation: Path | None = None

    @property
    def autoencoder_weights(self) -> Path:
        """File of the autoencoder's weights."""
        found = sorted(self.autoencoder.glob("model*.pth"))
        if not found:
            raise InputError(f"{self.autoencoder} holds no weights; expected model*.pth")
        return next((p for p in found if p.name == "model_best.pth"), found[-1])

    @property
    def denoiser_weights(self) -> Path:
        """File of the denoiser's weights."""
        for name in _DENOISER_WEIGHTS:
            if (self.denoiser / name).is_file():
                return self.denoiser / name
        expected = " or ".join(_DENOISER_WEIGHTS)
        raise InputError(f"{self.denoiser} holds no weights; expected {expected}")


def import_checkpoint(folder: Path, base: Preset, source: PublishedCheckpoint) -> str:
    """Write a model's folder from a published checkpoint, weights in full precision.

    Args:
        folder: Where the model is written.
        base: Fields, grid, periods and sampling; sizes come from the checkpoint.
        source: The checkpoint.

    Returns:
        The model's key.

    Raises:
        InputError: A file is missing.
        DataError: Names, shapes or settings do not fit; the message lists all differences.
    """
    autoencoder = _section(source.autoencoder, "ae")
    denoiser = _section(source.denoiser, "backbone")
    denoiser |= {
        k: v
        for k, v in _section(source.denoiser, "train").items()
        if k == "blanket_size" and k not in denoiser
    }
    preset, problems = _preset(base, autoencoder, denoiser)
    if problems or preset is None:
        raise _misfit(source, problems)
    with torch.device("meta"):
        networks = build_autoencoder(preset), build_backbone(preset)
    weights = read_weights(source.autoencoder_weights), read_weights(source.denoiser_weights)
    problems = [
        f"{label}: {problem}"
        for label, network, tensors in zip(
            ("autoencoder", "denoiser"), networks, weights, strict=True
        )
        for problem in _differences(network, tensors)
    ]
    if problems:
        raise _misfit(source, problems)
    latent = read_latent_statistics(source.stats, latent_shape(preset)[0])
    normalisation = source.normalisation and read_normalisation(source.normalisation, preset)

    def fill(scratch: Path) -> Mapping[str, Any]:
        for name, network, tensors in zip((AUTOENCODER, DENOISER), networks, weights, strict=True):
            own = [n for n, _ in network.named_parameters()]
            save_tensors(scratch / name, {n: tensors[n].float() for n in own})
        save_tensors(scratch / LATENT_STATISTICS, latent)
        if normalisation:
            write_normalisation(scratch / NORMALISATION, normalisation)
        return _provenance(source)

    return write_model(folder, preset, fill)


def _section(folder: Path, name: str) -> dict[str, Any]:
    """A section of a folder's `config.yaml`."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise InputError(f"{path} is not there; expected the folder of a published checkpoint")
    content = parse_yaml(path.read_bytes(), str(path))
    section = content.get(name) if isinstance(content, Mapping) else None
    if not isinstance(section, Mapping) and name != "train":
        raise DataError(f"{path} has no section {name!r}")
    return dict(section or {})


def _preset(
    base: Preset, ae: Mapping[str, Any], backbone: Mapping[str, Any]
) -> tuple[Preset | None, list[str]]:
    """A preset with the checkpoint's sizes, and what does not fit."""
    problems = [
        *_unknown("ae", ae, ConvolutionalShape),
        *_unknown("backbone", backbone, DiffusionTransformerShape, {"latent_shape"}),
    ]
    state = base.state.build()
    expected = {"in_channels": len(state.channels), "shape": list(state.grid.shape)}
    problems += [
        f"ae.{key}: the checkpoint has {_plain(ae.get(key))}, preset {base.name} {value}"
        for key, value in expected.items()
        if _plain(ae.get(key)) != value
    ]
    try:
        content = base.hashed() | {
            "name": f"{base.name}-imported",
            "autoencoder": _autoencoder_content(ae),
            "denoiser": _denoiser_content(backbone),
        }
        preset = Preset.model_validate(content)
        shapes = _shapes(preset, ae, backbone)
    except KeyError as error:
        return None, [*problems, f"config.yaml lacks {error}"]
    except (ValidationError, ValueError, TypeError) as error:
        return None, [*problems, *str(error).splitlines()]
    built = latent_shape(preset)
    if shapes != built:
        problems.append(f"latents would be {built}, those of the checkpoint are {shapes}")
    return preset, problems


def _shapes(
    preset: Preset, ae: Mapping[str, Any], backbone: Mapping[str, Any]
) -> tuple[int, int, int]:
    """The latent's shape by the published configuration, whose limits it checks on the way."""
    shape = ConvolutionalShape(**ae)
    latent = shape.latent_shape
    rest = {k: v for k, v in backbone.items() if k != "latent_shape"}
    DiffusionTransformerShape(latent_shape=latent, **rest)
    if not backbone.get("qk_norm", True):
        raise ValueError("backbone.qk_norm: known only with normalised queries and keys")
    patch = _plain(backbone.get("patch_size", (2, 1, 1)))
    if patch[1:] != [1, 1]:
        raise ValueError(f"backbone.patch_size {patch}: known only with one cell in space")
    if preset.denoiser.time_patch != patch[0]:
        raise ValueError(f"backbone.patch_size {patch}: does not divide the blanket")
    return latent


def _autoencoder_content(ae: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": "convolutional",
        "latent_channels": ae["lat_channels"],
        "hidden_channels": _plain(ae["hid_channels"]),
        "hidden_blocks": _plain(ae["hid_blocks"]),
        "expansion": ae.get("ffn_factor", 1),
        "saturation_bound": ae.get("saturation_bound", 5.0),
        "dropout": ae.get("dropout") or 0.0,
        "latent_noise": ae.get("noise_level", 0.0),
        "training": _TRAINING,
    }


def _denoiser_content(backbone: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": "diffusion-transformer",
        "states": backbone["blanket_size"],
        "time_patch": _plain(backbone.get("patch_size", (2, 1, 1)))[0],
        "width": backbone["hid_channels"],
        "depth": backbone["hid_blocks"],
        "heads": backbone["attention_heads"],
        "expansion": backbone["ffn_factor"],
        "noise_features": backbone["mod_features"],
        "dropout": backbone.get("dropout") or 0.0,
        "tells_known": False,
        "masks": {"leading": {}, "scattered": 0.0},
        "training": _TRAINING,
    }


def _unknown(
    section: str,
    content: Iterable[str],
    shape: type,
    more: frozenset[str] | set[str] = frozenset(),
) -> list[str]:
    known = {f.name for f in fields(shape)} | set(more)
    return [f"{section}.{key}: unknown setting" for key in sorted(set(content) - known)]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def _differences(network: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """Names and shapes of a file's tensors that are not the network's."""
    own = {n: tuple(p.shape) for n, p in network.named_parameters()}
    buffers = {n for n, _ in network.named_buffers()}
    problems = [f"missing {n} {shape}" for n, shape in own.items() if n not in tensors]
    problems += [
        f"unexpected {n} {tuple(t.shape)}"
        for n, t in tensors.items()
        if n not in own and n not in buffers
    ]
    return problems + [
        f"{n} has shape {tuple(tensors[n].shape)}, expected {shape}"
        for n, shape in own.items()
        if n in tensors and tuple(tensors[n].shape) != shape
    ]


def _misfit(source: PublishedCheckpoint, problems: list[str]) -> DataError:
    listed = "\n  ".join(problems)
    return DataError(
        f"the checkpoint in {source.autoencoder} and {source.denoiser} does not fit; nothing was "
        f"written. Differences:\n  {listed}\nChoose the preset with its fields and grid by "
        "--preset, or give the folders of one system"
    )


def _provenance(source: PublishedCheckpoint) -> Mapping[str, Any]:
    files = {
        "autoencoder": [source.autoencoder / "config.yaml", source.autoencoder_weights],
        "denoiser": [source.denoiser / "config.yaml", source.denoiser_weights],
        "latents": [source.stats],
    }
    return {
        role: {"imported": {path.name: file_sha256(path) for path in paths}}
        for role, paths in files.items()
    }
