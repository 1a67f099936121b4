"""First-order conservative regridding between latitude-longitude grids."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from appa_core.schema import Grid


def _overlaps(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Length of overlap of each target interval with each source interval, (M, N)."""
    low = np.maximum(target[:-1, None], source[None, :-1])
    high = np.minimum(target[1:, None], source[None, 1:])
    return np.asarray(np.clip(high - low, 0.0, None))


def _longitude_edges(longitudes: np.ndarray) -> np.ndarray:
    gaps = np.diff(np.append(longitudes, longitudes[0] + 360.0))
    return np.concatenate([[longitudes[0] - gaps[-1] / 2], longitudes + gaps / 2])


@dataclass(frozen=True)
class ConservativeRegridder:
    """Area-weighted mean over each target cell: integrals over the sphere are kept.

    The weights separate into latitude (in its sine) and longitude (on the circle).
    """

    latitude_weights: np.ndarray  # (H_target, H_source)
    longitude_weights: np.ndarray  # (W_target, W_source)

    @classmethod
    def between(cls, source: Grid, target: Grid) -> ConservativeRegridder:
        """Weights from one grid to another; both cover the whole sphere."""
        sine = [np.sin(np.deg2rad(g.latitude_edges)) for g in (source, target)]
        lat = _overlaps(sine[0], sine[1])
        src = _longitude_edges(np.asarray(source.longitudes))
        tgt = _longitude_edges(np.asarray(target.longitudes))
        lon = sum(_overlaps(src + shift, tgt) for shift in (-360.0, 0.0, 360.0))
        return cls(lat / lat.sum(axis=1, keepdims=True), lon / np.sum(lon, axis=1, keepdims=True))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Regrid (..., H_source, W_source) to (..., H_target, W_target), in float64 inside."""
        rows, columns = self._sparse
        shape = (self.latitude_weights.shape[0], self.longitude_weights.shape[0])
        out = np.empty((*values.shape[:-2], *shape), values.dtype)
        flat = values.reshape(-1, *values.shape[-2:])
        for target, field in zip(out.reshape(-1, *shape), flat, strict=True):
            target[:] = (rows @ field.astype(np.float64)) @ columns
        return out

    @cached_property
    def _sparse(self) -> tuple[sparse.csr_array, sparse.csr_array]:
        """Both weights as they multiply a field from the left and from the right."""
        return sparse.csr_array(self.latitude_weights), sparse.csr_array(self.longitude_weights.T)
