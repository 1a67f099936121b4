"""Errors that are correlated within small groups of observations, and independent otherwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from appa_core.errors import DataError
from appa_core.guidance.covariance import Covariance, pick_rows


@dataclass(frozen=True)
class BlockGroup:
    """Blocks of one size, which are factorised and applied together.

    Args:
        index: Which observations each block covers, (n, m) int64.
        matrix: (n, m, m) or (B, n, m, m).
    """

    index: Tensor
    matrix: Tensor

    @cached_property
    def factor(self) -> Tensor:
        """L, lower triangular."""
        factor: Tensor = torch.linalg.cholesky(self.matrix)
        return factor

    @cached_property
    def inverse(self) -> Tensor:
        """L^-1; blocks are small, so that products with it beat solving again and again."""
        eye = torch.eye(self.matrix.shape[-1]).to(self.matrix).expand_as(self.matrix)
        inverse: Tensor = torch.linalg.solve_triangular(self.factor, eye, upper=False)
        return inverse


@dataclass(frozen=True)
class BlockCovariance(Covariance):
    """Dense blocks, such as soundings with correlated levels, and independent errors elsewhere.

    Make one with `of`, which checks.

    Args:
        variances: Of all observations, (M,); blocks that differ from row to row have their own.
        groups: Blocks by size; no observation is in two.
    """

    variances: Tensor
    groups: tuple[BlockGroup, ...]

    @classmethod
    def of(
        cls,
        blocks: Sequence[Tensor],
        places: Sequence[Tensor] | None = None,
        variances: Tensor | None = None,
    ) -> BlockCovariance:
        """A covariance from its blocks.

        Args:
            blocks: (m, m) or (B, m, m) each.
            places: Which observations each covers, (m,) int64; one after the other if None.
            variances: Of all observations, (M,); may be left out where blocks cover all.

        Raises:
            DataError: A block is not symmetric or not positive definite.
        """
        for i, block in enumerate(blocks):
            if block.shape[-1] != block.shape[-2] or not torch.allclose(block, block.mT):
                raise DataError(f"block {i} of a covariance is not symmetric: {block.shape}")
            if torch.linalg.cholesky_ex(block)[1].any():
                raise DataError(f"block {i} of a covariance is not positive definite")
        sizes = [block.shape[-1] for block in blocks]
        if places is None:
            places = torch.split(torch.arange(sum(sizes)), sizes)
        if variances is None:
            variances = blocks[0].new_ones(sum(sizes)) if blocks else torch.ones(0)
        variances = variances.clone()
        alike: dict[torch.Size, list[int]] = defaultdict(list)
        for i, block in enumerate(blocks):
            alike[block.shape].append(i)
            if block.ndim == 2:
                variances[places[i]] = block.diagonal()
        groups = [
            BlockGroup(
                torch.stack([places[i] for i in members]).to(variances.device),
                torch.stack([blocks[i] for i in members], dim=-3),
            )
            for members in alike.values()
        ]
        return cls(variances, tuple(groups))

    def _each(
        self, v: Tensor, power: float, product: Callable[[BlockGroup, Tensor], Tensor]
    ) -> Tensor:
        """Products with a power of independent variances, and of blocks with parts (..., n, m)."""
        if v.shape[-1] != len(self.variances):
            raise DataError(f"blocks cover {len(self.variances)} observations of {v.shape[-1]}")
        out = self.variances**power * v
        for group in self.groups:
            part = product(group, v[..., group.index]).flatten(-2)
            out = out.index_copy(-1, group.index.flatten(), part)
        return out

    def apply(self, v: Tensor) -> Tensor:
        """Sigma v."""
        return self._each(v, 1.0, lambda g, x: _times(g.matrix, x))

    def colour(self, v: Tensor) -> Tensor:
        """L v."""
        return self._each(v, 0.5, lambda g, x: _times(g.factor, x))

    def whiten(self, v: Tensor) -> Tensor:
        """L^-1 v."""
        return self._each(v, -0.5, lambda g, x: _times(g.inverse, x))

    def whiten_transposed(self, v: Tensor) -> Tensor:
        """L^-T v."""
        return self._each(v, -0.5, lambda g, x: _times(g.inverse.mT, x))

    def variance(self, like: Tensor) -> Tensor:
        """Diagonal."""
        diagonal: Callable[[BlockGroup, Tensor], Tensor] = lambda g, x: g.matrix.diagonal(
            dim1=-2, dim2=-1
        ).expand_as(x)
        return self._each(torch.ones_like(like), 1.0, diagonal)

    def dense(self, index: Tensor) -> Tensor:
        """Some observations as a matrix."""
        out = torch.diag(self.variances[index])
        place = index.new_full((len(self.variances),), -1)
        place[index] = torch.arange(len(index), device=index.device)
        for group in self.groups:
            here = place[group.index]
            both = (here[:, :, None] >= 0) & (here[:, None] >= 0)
            one, other = (h.expand_as(both)[both] for h in (here[:, :, None], here[:, None]))
            out[one, other] = group.matrix.reshape(both.shape)[both]
        return out

    def rows(self, index: Tensor) -> BlockCovariance:
        """Some rows."""
        groups = [replace(g, matrix=pick_rows(g.matrix, index, 3)) for g in self.groups]
        return BlockCovariance(self.variances, tuple(groups))

    def marginal(self, used: Tensor) -> BlockCovariance:
        """Blocks of what is used alone: rows and columns of all else lose their correlations."""
        groups = [_marginal(group, used > 0) for group in self.groups]
        return replace(self, groups=tuple(g for g in groups if len(g.index)))

    def coupled(self, chosen: Tensor) -> Tensor:
        """A block goes together."""
        out = chosen.clone()
        for group in self.groups:
            touched = chosen[..., group.index].any(dim=-1, keepdim=True)
            part = touched.expand(*touched.shape[:-1], group.index.shape[-1]).flatten(-2)
            out = out.index_copy(-1, group.index.flatten(), part)
        return out


def _marginal(group: BlockGroup, used: Tensor) -> BlockGroup:
    """Blocks without the correlations of what is not used, and without blocks of nothing else."""
    here = used[..., group.index.to(used.device)]
    kept = here.flatten(0, -3).any(dim=0).sum(dim=-1) > 1
    if group.matrix.ndim == 4:  # their variances are here alone
        kept = torch.ones_like(kept)
    here = here[:, kept]
    itself = torch.eye(here.shape[-1], dtype=torch.bool, device=here.device)
    pairs = (here[..., :, None] & here[..., None, :]) | itself
    pairs = pairs[0] if len(pairs) == 1 else pairs
    return BlockGroup(group.index[kept], group.matrix[..., kept, :, :] * pairs)


def _times(matrix: Tensor, v: Tensor) -> Tensor:
    return torch.einsum("...nij,...nj->...ni", matrix, v)
