"""Krylov solvers for many small independent systems S_b x_b = b_b at once.

Each row of the batch is a system of its own: inner products are taken by row, a row that has
converged is frozen, and no row's result depends on another's. A row that cannot go on (no
descent, a value that is not finite) stops where it was and is reported by its residual.

Solutions are sums of the vectors that S was applied to. Where applying S computes something else
that is linear in the vector, an *image*, that of the solution comes along without another product:
`image()` returns the image of the vector of the last product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

#: Applies S to every row, (B, M) to (B, M).
MatVec = Callable[[Tensor], Tensor]
#: The image of the vector of the last product, (B, ...).
LastImage = Callable[[], Tensor]


@dataclass(frozen=True)
class Solution:
    """What a solver found.

    Args:
        x: (B, M).
        residual: |b - S x| / |b| as the recurrence has it, (B,).
        iterations: Products with S, over all rows.
        curved: Rows along whose directions S was seen to be positive, (B,).
        image: The image of x, if asked for.
    """

    x: Tensor
    residual: Tensor
    iterations: int
    curved: Tensor
    image: Tensor | None = None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=-1, keepdim=True)


def _safe(value: Tensor) -> Tensor:
    """The value, or 1 where it is zero: for quotients that a mask discards."""
    return torch.where(value == 0, torch.ones_like(value), value)


class _Sum:
    """The image of the solution, as it grows; nothing where images are not asked for."""

    def __init__(self, start: LastImage | None, image: LastImage | None) -> None:
        self._image = image
        self.total: Tensor | None = start() if start else None

    def last(self) -> Tensor | None:
        """Image of the vector of the last product."""
        return self._image() if self._image else None

    def add(self, weight: Tensor, part: Tensor | None) -> None:
        """Add a part with a weight by row, (B, 1)."""
        if part is not None:
            scaled = torch.nan_to_num(weight.reshape(-1, *[1] * (part.ndim - 1)) * part)
            self.total = scaled if self.total is None else self.total + scaled


def _combined(
    new: Tensor | None,
    one: tuple[Tensor | None, Tensor],
    two: tuple[Tensor | None, Tensor],
    gamma: Tensor,
) -> Tensor | None:
    """(new - a one - b two) / gamma of images, where there are any."""
    if new is None:
        return None
    shape = (-1, *[1] * (new.ndim - 1))
    for part, weight in (one, two):
        if part is not None:
            new = new - weight.reshape(shape) * part
    return new / _safe(gamma).reshape(shape)


def conjugate_gradient(
    matvec: MatVec,
    b: Tensor,
    *,
    iterations: int,
    tolerance: float,
    x0: Tensor | None = None,
    image: LastImage | None = None,
) -> Solution:
    """Hestenes & Stiefel 1952, for symmetric positive definite S."""
    x = torch.zeros_like(b) if x0 is None else x0.clone()
    r = b - matvec(x0) if x0 is not None else b.clone()
    norm, rr = _safe(_dot(b, b)), _dot(r, r)
    images = _Sum(image if x0 is not None else None, image)
    p = r.clone()
    active = rr > tolerance**2 * norm
    curved = torch.ones_like(active)
    count = int(x0 is not None)
    for _ in range(iterations):
        if not active.any():
            break
        sp = matvec(torch.where(active, p, torch.zeros_like(p)))
        count += 1
        moved = images.last()
        curvature = _dot(p, sp)
        positive = torch.isfinite(curvature) & (curvature > 0)
        curved &= positive | ~active
        active = active & positive
        alpha = torch.where(active, rr / _safe(curvature), torch.zeros_like(rr))
        x = torch.where(active, x + alpha * p, x)
        images.add(alpha, moved)
        r = torch.where(active, r - alpha * sp, r)
        following = _dot(r, r)
        p = torch.where(active, r + (following / _safe(rr)) * p, p)
        rr = following
        active = active & (rr > tolerance**2 * norm)
    return Solution(x, (rr / norm).sqrt()[:, 0], count, curved[:, 0], images.total)


def minres(
    matvec: MatVec,
    b: Tensor,
    *,
    iterations: int,
    tolerance: float,
    x0: Tensor | None = None,
    image: LastImage | None = None,
) -> Solution:
    """Paige & Saunders 1975, for symmetric S, which may be indefinite."""
    x = torch.zeros_like(b) if x0 is None else x0.clone()
    r = b - matvec(x0) if x0 is not None else b.clone()
    norm = _safe(_dot(b, b)).sqrt()
    beta = _dot(r, r).sqrt()
    v, v_old = r / _safe(beta), torch.zeros_like(b)
    images = _Sum(image if x0 is not None else None, image)
    d, d_old = torch.zeros_like(b), torch.zeros_like(b)
    f: Tensor | None = None
    f_old: Tensor | None = None
    eta = beta.clone()
    c, c_old, s, s_old = torch.ones_like(eta), torch.ones_like(eta), 0 * eta, 0 * eta
    active = eta.abs() > tolerance * norm
    beta = 0 * eta
    count = int(x0 is not None)
    for _ in range(iterations):
        if not active.any():
            break
        w = matvec(v) - beta * v_old
        moved = images.last()
        count += 1
        alpha = _dot(v, w)
        w = w - alpha * v
        beta_new = _dot(w, w).sqrt()
        delta = c * alpha - c_old * s * beta
        upper = s * alpha + c_old * c * beta
        upper_old = s_old * beta
        gamma = torch.sqrt(delta**2 + beta_new**2)
        active = active & torch.isfinite(gamma) & (gamma > 0)
        c_new, s_new = delta / _safe(gamma), beta_new / _safe(gamma)
        d_new = (v - upper * d - upper_old * d_old) / _safe(gamma)
        x = torch.where(active, x + c_new * eta * d_new, x)
        f_new = _combined(moved, (f, upper), (f_old, upper_old), gamma)
        images.add(torch.where(active, c_new * eta, torch.zeros_like(eta)), f_new)
        f, f_old = f_new, f
        eta = torch.where(active, -s_new * eta, eta)
        d, d_old, v, v_old = d_new, d, w / _safe(beta_new), v
        c, c_old, s, s_old, beta = c_new, c, s_new, s, beta_new
        active = active & (eta.abs() > tolerance * norm)
        v = torch.where(active, v, torch.zeros_like(v))
    curved = torch.ones_like(active[:, 0])
    return Solution(x, (eta.abs() / norm)[:, 0], count, curved, images.total)


def gmres(
    matvec: MatVec,
    b: Tensor,
    *,
    iterations: int,
    tolerance: float,
    x0: Tensor | None = None,
    image: LastImage | None = None,
) -> Solution:
    """Saad & Schultz 1986, for any S; Arnoldi with Givens rotations, without restart."""
    x = torch.zeros_like(b) if x0 is None else x0.clone()
    r = b - matvec(x0) if x0 is not None else b.clone()
    norm = _safe(_dot(b, b)).sqrt()
    beta = _dot(r, r).sqrt()
    images = _Sum(image if x0 is not None else None, image)
    moved: list[Tensor | None] = []
    basis = [r / _safe(beta)]
    g = [beta]
    columns: list[list[Tensor]] = []
    rotations: list[tuple[Tensor, Tensor]] = []
    active = beta > tolerance * norm
    basis[0] = torch.where(active, basis[0], torch.zeros_like(b))
    count = int(x0 is not None)
    for _ in range(iterations):
        if not active.any():
            break
        w = matvec(basis[-1])
        moved.append(images.last())
        count += 1
        w, column = _orthogonalised(w, basis)
        height = _dot(w, w).sqrt()
        for i, rotation in enumerate(rotations):
            column[i : i + 2] = _rotated(column[i], column[i + 1], rotation)
        radius = torch.sqrt(column[-1] ** 2 + height**2)
        active = active & torch.isfinite(radius) & (radius > 0)
        c = torch.where(active, column[-1] / _safe(radius), torch.ones_like(radius))
        s = torch.where(active, height / _safe(radius), torch.zeros_like(radius))
        column[-1] = radius
        # a row that stops here keeps what it has: its part of the triangle is the identity
        unit = [torch.zeros_like(radius)] * (len(column) - 1) + [torch.ones_like(radius)]
        column = [torch.where(active, h, one) for h, one in zip(column, unit, strict=True)]
        columns.append(column)
        rotations.append((c, s))
        g.append(torch.where(active, -s * g[-1], g[-1]))
        g[-2] = torch.where(active, c * g[-2], torch.zeros_like(c))
        active = active & (g[-1].abs() > tolerance * norm) & (height > 0)
        basis.append(torch.where(active, w / _safe(height), torch.zeros_like(w)))
    for weight, v, part in zip(_triangular_solve(columns, g), basis, moved, strict=False):
        finite = torch.where(weight.isfinite(), weight, torch.zeros_like(weight))
        x = x + finite * v
        images.add(finite, part)
    curved = torch.ones_like(active[:, 0])
    return Solution(x, (g[-1].abs() / norm)[:, 0], count, curved, images.total)


def _orthogonalised(w: Tensor, basis: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """What of w is orthogonal to a basis, and its coefficients in it, (B, 1) each."""
    coefficients = []
    for v in basis:
        h = _dot(v, w)
        w = w - h * v
        coefficients.append(h)
    return w, coefficients


def _rotated(a: Tensor, b: Tensor, rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    c, s = rotation
    return c * a + s * b, c * b - s * a


def _triangular_solve(columns: list[list[Tensor]], g: list[Tensor]) -> list[Tensor]:
    """Solve R y = g for upper triangular R, given by columns of (B, 1)."""
    y: list[Tensor] = []
    for j in reversed(range(len(columns))):
        total = g[j]
        for k, later in enumerate(reversed(y), start=j + 1):
            total = total - columns[k][j] * later
        y.append(total / columns[j][j])
    return y[::-1]


SOLVERS = {"cg": conjugate_gradient, "minres": minres, "gmres": gmres}
