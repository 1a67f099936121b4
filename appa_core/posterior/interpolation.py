"""Optimal interpolation: the best linear estimate from a climatological ensemble.

Each state of a trajectory is estimated by itself, from the observations at and around its time,

    x = b + P H^T (H P H^T + R)^-1 (y - H b),

with P the covariance of trajectories of the climatology, tapered with distance in space and time.
What an observation reads of the ensemble stands for H, so that operators need no derivative.
Observations are many and tapering is local: boxes of cells are analysed one by one, from the
observations within their reach (the method of volumes).

Members are analysed from perturbed observations and from backgrounds of their own, draws of the
climatology, and then moved together so that their mean is the estimate itself.

References:
    Lorenc 1981, A global three-dimensional multivariate statistical interpolation scheme.
    Burgers et al. 1998, Analysis scheme in the ensemble Kalman filter.
    Oke et al. 2002, Assimilation of surface velocity data (an ensemble of anomalies for P).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from appa_core.errors import InputError, NumericalError
from appa_core.posterior.localisation import Localisation, Places
from appa_core.posterior.perturbations import unit_errors
from appa_core.posterior.task import Climatology, PosteriorTask

_ERRORS = 9_003


@dataclass(frozen=True)
class OptimalInterpolation:
    """Optimal interpolation of standardised states.

    Args:
        localisation: Tapering of covariances.
        reach: States before and after a state whose observations count for it.
        most: Most observations that a box is analysed from: those nearest to it.
        box: Rows and columns of cells that are analysed together.
    """

    localisation: Localisation
    reach: int = 1
    most: int = 2000
    box: tuple[int, int] = (4, 8)

    @property
    def couples_members(self) -> bool:
        """Members are moved together."""
        return True

    def draw(self, task: PosteriorTask) -> Tensor:
        """Trajectories of states, (B, L, C, H, W)."""
        climate = task.climatology
        if climate is None:
            raise InputError("optimal interpolation needs an ensemble of the climatology")
        if bool((task.group != task.group[0]).any()):
            raise InputError("optimal interpolation draws the members of one ensemble at a time")
        errors = task.observation.y.new_zeros(len(task), task.observation.y.shape[1])
        errors = task.observation.cov_y.colour(unit_errors(task, errors, purpose=_ERRORS))
        states = []
        for t in range(task.length):
            states.append(self._state(task, climate, t, errors))
            task.on_evaluation()
        return torch.stack(states, dim=1)

    def _state(self, task: PosteriorTask, climate: Climatology, t: int, errors: Tensor) -> Tensor:
        """All members of one state, (B, C, H, W)."""
        states = range(max(0, t - self.reach), min(task.length, t + self.reach + 1))
        around, middle = climate.around(states, t)
        operator, inside = task.observation.A.window(states.start, states.stop)  # type: ignore[attr-defined]
        rows = inside[0].nonzero()[:, 0]
        read = operator(around)[:, rows] if len(rows) else around.new_zeros(len(around), 0)
        if not torch.isfinite(read).all():
            raise NumericalError("what observations read of the climatology is not finite")
        own = torch.arange(len(task)) % len(around)
        mean, observed = middle.mean(dim=0), read.mean(dim=0)
        # the estimate itself, then the members
        backgrounds = torch.cat([mean[None], middle[own]])
        departures = task.observation.y[:, rows] - torch.cat([observed[None], read[own]])
        departures[1:] += errors[:, rows]
        analysis = _Analysis(self, climate.places, task, rows, middle - mean, read - observed, t)
        x = backgrounds + analysis.increments(departures)
        return _recentred(x[0], x[1:])


def _recentred(estimate: Tensor, members: Tensor) -> Tensor:
    """Members (B, ...) whose mean is the estimate, of a spread that B draws have."""
    count = len(members)
    if count == 1:
        return estimate[None]
    inflation = float((count / (count - 1)) ** 0.5)
    return estimate + (members - members.mean(dim=0)) * inflation


class _Analysis:
    """Increments of one state, box by box.

    Args:
        method: How.
        places: Where values and observations lie.
        task: The errors of observations.
        rows: Observations that count, (m,).
        anomalies: Of the ensemble, (N, C, H, W).
        read: What observations read of them, (N, m).
        state: Which state of the trajectory.
    """

    def __init__(
        self,
        method: OptimalInterpolation,
        places: Places,
        task: PosteriorTask,
        rows: Tensor,
        anomalies: Tensor,
        read: Tensor,
        state: int,
    ) -> None:
        self._method, self._places, self._task, self._rows = method, places, task, rows
        self._anomalies, self._read = anomalies, read
        self._vectors, self._heights = places.rows[rows], places.row_height[rows]
        self._times = places.row_state[rows]
        now = self._times.new_full((1,), float(state))
        self._now = method.localisation.temporal(now, self._times)[0]

    def increments(self, departures: Tensor) -> Tensor:
        """(D, m) departures to (D, C, H, W)."""
        shape = self._anomalies.shape[1:]
        out = self._anomalies.new_zeros(len(departures), *shape)
        if not len(self._rows):
            return out
        cells = torch.arange(shape[1] * shape[2]).reshape(shape[1:])
        height, width = self._method.box
        for low in range(0, shape[1], height):
            for left in range(0, shape[2], width):
                box = cells[low : low + height, left : left + width]
                part = self._of_box(box.flatten(), departures)
                out[:, :, low : low + height, left : left + width] = part.reshape(
                    len(departures), shape[0], *box.shape
                )
        return out

    def _of_box(self, cells: Tensor, departures: Tensor) -> Tensor:
        """(D, C, cells)."""
        near, taper = self._selected(cells)
        anomalies = self._anomalies.flatten(2)[:, :, cells]
        if not len(near):
            return anomalies.new_zeros(len(departures), *anomalies.shape[1:])
        local, read = self._method.localisation, self._read[:, near]
        scale = len(read) - 1
        weights = torch.linalg.solve(self._innovation(near), departures[:, near].mT)
        covariance = torch.einsum("ncs,nm->csm", anomalies, read) / scale
        heights = local.vertical(self._places.channel_height, self._heights[near])
        covariance *= heights[:, None] * taper[None] * self._now[near]
        return torch.einsum("csm,md->dcs", covariance, weights)

    def _selected(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Observations in reach of a box, (k,), and their horizontal factors, (cells, k)."""
        taper = self._method.localisation.horizontal(self._places.cells[cells], self._vectors)
        weight = taper.amax(dim=0) * self._now
        near = (weight > 0).nonzero()[:, 0]
        if len(near) > self._method.most:
            best = weight[near].argsort(descending=True, stable=True)[: self._method.most]
            near = near[best.sort().values]
        return near, taper[:, near]

    def _innovation(self, near: Tensor) -> Tensor:
        """H P H^T, tapered, plus R, (k, k)."""
        local, read = self._method.localisation, self._read[:, near]
        vectors, heights, times = (v[near] for v in (self._vectors, self._heights, self._times))
        taper = local.horizontal(vectors, vectors) * local.vertical(heights, heights)
        taper *= local.temporal(times, times)
        return taper * (read.mT @ read) / (len(read) - 1) + self._task.observation.cov_y.dense(
            self._rows[near]
        )
