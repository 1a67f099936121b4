"""Standardised states of a cube, as networks see them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from appa_core.climatology import Normalisation
from appa_core.io.cube import Cube
from appa_core.schema import StateSchema


def standardised_states(
    states: Cube,
    times: pd.DatetimeIndex,
    schema: StateSchema,
    normalisation: Normalisation,
    *,
    out: np.ndarray | None = None,
    threads: int | None = None,
) -> Tensor:
    """Read states and standardise them, in one piece of memory where the cube allows it.

    Args:
        states: Ingested states.
        times: UTC (T,).
        schema: Which fields, in which order.
        normalisation: Between physical and standardised states.
        out: Memory for the result, (T, C, H, W) float32; new memory if None.
        threads: How many read; a few if None.

    Returns:
        (T, C, H, W) float32, in `out`.

    Raises:
        InputError: A state is absent.
        DataError: The cube holds other fields, or another grid.
    """
    if out is None:
        out = np.empty((len(times), len(schema.channels), *schema.grid.shape), np.float32)
    views = schema.views(out)
    if views is not None and states.spec.config.get("schema") == schema.fingerprint:
        states.read_into(times, views, threads=threads)
    else:
        out[:] = schema.stack(states.read(times))
    return torch.from_numpy(normalisation.standardise(out, times.values, out=out))
