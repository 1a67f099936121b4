"""Reading the pickled tensors of others, without running what a pickle may hold."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from appa_core.errors import DataError, InputError

#: Keys below which programs keep a state dictionary, and prefixes that wrappers give names.
_NESTED = ("model", "state_dict", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.", "backbone.", "ae.", "autoencoder.")


def read_pickle(path: Path) -> Any:
    """Tensors and plain containers of a file that torch wrote.

    Raises:
        InputError: There is no such file.
        DataError: It is no such file, or it holds code.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise DataError(
            f"{path} is refused: expected a file of tensors alone, which torch can read without "
            f"running code ({first})"
        ) from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dictionary, without the names that wrappers put before its own.

    Raises:
        InputError: There is no such file.
        DataError: It holds no state dictionary.
    """
    content = read_pickle(path)
    for key in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(v, Tensor) for v in content.values()
    ):
        raise DataError(f"{path} holds no weights: expected tensors by name, got {type(content)}")
    weights = {str(name): tensor for name, tensor in content.items()}
    while prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in weights)), None):
        weights = {n.removeprefix(prefix): t for n, t in weights.items()}
        if not weights:
            break
    return weights
