"""Named tensors in safetensors files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from appa_core.errors import IntegrityError


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to a new file, names in sorted order."""
    save_file({k: tensors[k].detach().cpu().contiguous() for k in sorted(tensors)}, path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a file.

    Raises:
        IntegrityError: The file is missing or is no whole safetensors file.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise IntegrityError(f"{path} cannot be read as safetensors: {error}") from error


def load_into(module: torch.nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Set all parameters of a module, whatever the file's precision.

    Raises:
        IntegrityError: Names or shapes do not fit; the message lists the differences.
    """
    own = dict(module.named_parameters())
    problems = [f"missing {n}" for n in own if n not in tensors]
    problems += [f"unexpected {n}" for n in tensors if n not in own]
    problems += [
        f"{n} has shape {tuple(tensors[n].shape)}, expected {tuple(p.shape)}"
        for n, p in own.items()
        if n in tensors and tensors[n].shape != p.shape
    ]
    if problems:
        raise IntegrityError(f"weights of {source} do not fit: " + "; ".join(problems[:8]))
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(tensors[name])
