"""How far draws are from a posterior that is known."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from appa_core.diffusion.noise import generator_for
from benchmarks.mixture import MixtureProblem, Problem


class Moments(NamedTuple):
    """How far the moments of draws are from the posterior's; see `moments`."""

    mean: float
    sd: float
    correlation: float
    deviation: float


def moments(x: Tensor, problem: Problem) -> Moments:
    """Errors of the moments of draws (B, L).

    Returns:
        Of the mean in posterior sds, root mean square over states; the largest relative error of
        an sd; the largest error of a correlation; the largest |x - mean| in posterior sds.
    """
    x, sd = x.double(), problem.posterior.sd
    z = (x - problem.posterior.mean) / sd
    correlations = torch.corrcoef(x.mT) - problem.posterior.covariance / (sd[:, None] * sd)
    errors = (z.mean(0).square().mean().sqrt(), (z.std(0) - 1).abs(), correlations.abs(), z.abs())
    return Moments(*(e.max().item() for e in errors))


def sliced_wasserstein(x: Tensor, reference: Tensor, directions: int = 64) -> float:
    """Mean 1-Wasserstein distance of projections, in root mean square sds of the reference.

    Args:
        x: Draws, (B, L).
        reference: Exact draws, (r B, L) with r whole; between two exact samples it is the floor.
        directions: Random directions, the same in every call.
    """
    normal = torch.randn(x.shape[1], directions, generator=generator_for(0), dtype=torch.float64)
    unit = normal / normal.norm(dim=0)
    ours = (x.double() @ unit).sort(dim=0).values
    theirs = (reference.double() @ unit).sort(dim=0).values
    distance = (ours.repeat_interleave(len(theirs) // len(ours), dim=0) - theirs).abs().mean()
    return float(distance / reference.double().var(0).mean().sqrt())


def crps(x: Tensor, truths: Tensor) -> float:
    """E |X - truth| - E |X - X'| / 2, fair: draws (B, L), truths (T, L), mean over T and L."""
    x, count = x.double(), len(x)
    rank = 2 * torch.arange(1, count + 1, dtype=torch.float64)[:, None] - count - 1
    spread = (rank * x.sort(dim=0).values).sum(0) / (count * (count - 1))
    columns = zip(x.mT, truths.mT, strict=True)
    error = torch.stack([(draws[:, None] - truth).abs().mean() for draws, truth in columns])
    return float((error - spread).mean())


def mass_error(x: Tensor, problem: MixtureProblem) -> float:
    """Largest error of a component's probability, of draws (B, 2)."""
    return float((problem.component_masses(x) - problem.posterior_masses).abs().max())
