"""Gaussian priors of trajectories, as square roots that act on unit noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from appa_core.errors import DataError


@dataclass(frozen=True)
class Background:
    """x = mean + std * (time factor) (space factor) w with w ~ N(0, I).

    The covariance of standardised departures is the product of a correlation in time, by channel,
    and one within a state: a few patterns plus what they leave.

    Args:
        mean: (1 or B, L, *S).
        std: Standard deviations, broadcast to (L, *S).
        time_factor: Lower triangular F with F F^T the correlation in time, (C, L, L) or (1, L, L);
            C is the first axis of a state, or 1.
        patterns: V, (R, *S), so that V^T V + diag(rest^2) is the correlation within a state.
        rest: (*S).
    """

    mean: Tensor
    std: Tensor
    time_factor: Tensor
    patterns: Tensor
    rest: Tensor

    @property
    def control_shape(self) -> tuple[int, ...]:
        """(L, R + n) of the control of one trajectory, with n the values of a state."""
        length = self.mean.shape[1]
        return length, len(self.patterns) + self.rest.numel()

    def rows(self, index: Tensor) -> Self:
        """The background of some rows."""
        return self if len(self.mean) == 1 else replace(self, mean=self.mean[index])

    def initial(self, states: int) -> Self:
        """The background of the first states alone."""
        return replace(
            self,
            mean=self.mean[:, :states],
            std=self.std[:states] if self.std.ndim > self.rest.ndim else self.std,
            time_factor=self.time_factor[:, :states, :states],
        )

    def after(self, known: Tensor) -> Self:
        """The background of the states that follow known ones, given these.

        The time factor is lower triangular: known states fix the first of what it acts on, and
        leave the rest as it is.

        Args:
            known: First states, (B, n, *S).
        """
        count, std = known.shape[1], self._std_of_states()
        scaled = (known - self.mean[:, :count]) / std[:count]
        factor = self.time_factor
        first = replace(self, time_factor=torch.linalg.inv(factor[:, :count, :count]))
        tail = replace(self, time_factor=factor[:, count:, :count])
        moved = tail._in_time(first._in_time(scaled))  # noqa: SLF001
        return replace(
            self,
            mean=self.mean[:, count:] + std[count:] * moved,
            std=std[count:],
            time_factor=factor[:, count:, count:],
        )

    def _std_of_states(self) -> Tensor:
        """(L, *S)."""
        return self.std.expand(self.mean.shape[1], *self.rest.shape)

    def at_each_time(self) -> Self:
        """The same covariance of each state, independent from one state to the next."""
        eye = torch.eye(self.mean.shape[1]).to(self.time_factor)
        return replace(self, time_factor=eye[None])

    def trajectory(self, control: Tensor) -> Tensor:
        """Trajectories (B, L, *S) from controls (B, L, R + n)."""
        rank, shape = len(self.patterns), self.rest.shape
        weights, own = control[..., :rank], control[..., rank:].reshape(*control.shape[:2], *shape)
        state = torch.tensordot(weights, self.patterns, dims=1) + self.rest * own
        return self.mean + self.std * self._in_time(state)

    def _in_time(self, state: Tensor) -> Tensor:
        """F applied along the states of (B, L, *S)."""
        if len(self.time_factor) == 1:
            return torch.einsum("lk,bk...->bl...", self.time_factor[0], state)
        return torch.einsum("clk,bkc...->blc...", self.time_factor, state)

    @classmethod
    def estimate(cls, trajectories: Tensor, rank: int) -> Background:
        """Fit to a sample of trajectories, such as latents or differences of forecasts.

        Args:
            trajectories: (N, L, *S), N of 2 or more.
            rank: Patterns to keep, R < N.

        Returns:
            A background whose mean is that of the sample over trajectories and states.

        Raises:
            DataError: The sample is too small.
        """
        count, length = trajectories.shape[:2]
        if count < 2 or not 0 <= rank < count:
            raise DataError(
                f"a background with {rank} patterns needs more than {max(rank, 1)} trajectories; "
                f"there are {count}"
            )
        mean = trajectories.mean(dim=(0, 1))
        departures = trajectories - mean
        std = departures.square().mean(dim=(0, 1)).sqrt().clamp(min=1e-6)
        scaled = departures / std
        factor = _time_factor(scaled, length)
        flat = scaled.reshape(count * length, -1)
        _, s, vh = torch.linalg.svd(flat / len(flat) ** 0.5, full_matrices=False)
        patterns = s[:rank, None] * vh[:rank]
        rest = (1 - patterns.square().sum(0)).clamp(min=1e-4).sqrt()
        shape = trajectories.shape[2:]
        return cls(
            mean.expand(1, length, *shape),
            std,
            factor,
            patterns.reshape(rank, *shape),
            rest.reshape(shape),
        )


def _time_factor(scaled: Tensor, length: int) -> Tensor:
    channels = scaled.shape[2] if scaled.ndim > 3 else 1
    by_channel = scaled.reshape(len(scaled), length, channels, -1)
    moment = torch.einsum("nlcs,nkcs->clk", by_channel, by_channel)
    scale = moment.diagonal(dim1=1, dim2=2).sqrt()
    correlation = moment / (scale[:, :, None] * scale[:, None, :])
    eye = torch.eye(length).to(correlation)
    factor: Tensor = torch.linalg.cholesky(correlation + 1e-5 * eye)
    return factor
