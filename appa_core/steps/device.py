"""Devices that networks run on, tried before any work."""

from __future__ import annotations

import torch

from appa_core.errors import InputError

_KINDS = ("cpu", "cuda", "mps", "xpu")


def require_device(name: str) -> None:
    """Make sure that a device is there and calculates.

    Raises:
        InputError: It is none, or not of this machine.
    """
    try:
        device = torch.device(name)
        if device.type not in _KINDS:
            raise InputError(f"cannot use device {name!r}: expected one of {', '.join(_KINDS)}")
        float(torch.ones(1, device=device).sum())
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"cannot use device {name!r}: {str(error).splitlines()[0]}") from error
