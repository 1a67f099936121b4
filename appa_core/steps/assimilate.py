"""From a model and observations to a task for the posterior sampler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from appa_core.diffusion.denoiser import Condition, Denoiser
from appa_core.diffusion.noise import KeyedNoise
from appa_core.diffusion.trajectory import BlanketDenoiser
from appa_core.errors import DataError, InputError
from appa_core.guidance.covariance import DiagonalCovariance
from appa_core.guidance.observation import Observation
from appa_core.observe.networks import NetworkPoints
from appa_core.observe.points import PointOperator
from appa_core.posterior.background import Background
from appa_core.posterior.task import PosteriorTask
from appa_core.steps.latents import latent_context
from appa_core.steps.models import Model

#: Noise of a state is keyed by its number of steps since this time.
_EPOCH = pd.Timestamp("1900-01-01")


@dataclass(frozen=True)
class ObservedTrajectory:
    """One trajectory to draw and what is known of it.

    Args:
        times: Valid times of its L states, a step apart.
        points: Where it is observed.
        values: Observed standardised values, (M,).
    """

    times: pd.DatetimeIndex
    points: NetworkPoints
    values: np.ndarray

    def __post_init__(self) -> None:
        if len(self.values) != len(self.points.state):
            raise DataError(f"{len(self.values)} values for {len(self.points.state)} observations")
        outside = (self.points.state < 0) | (self.points.state >= len(self.times))
        if outside.any():
            raise DataError(
                f"{int(outside.sum())} observations are of states outside the trajectory's "
                f"{len(self.times)}, the first of state {self.points.state[outside][0]}"
            )


def observe_states(states: Tensor, points: NetworkPoints, rng: np.random.Generator) -> np.ndarray:
    """What a network reads of standardised states (L, C, H, W), with the errors it declares."""
    values: np.ndarray = states.flatten(1)[points.state, points.cell].numpy()
    noise = rng.standard_normal(len(values)).astype(np.float32)
    observed: np.ndarray = values + points.error_std * noise
    return observed


def reconstruction_variance(model: Model, states: Tensor) -> np.ndarray:
    """Mean squared error of the autoencoder by channel, (C,), of standardised states (N, C, H, W).

    What a latent cannot represent is an error of every observation.
    """
    error = model.decode(model.encode(states)) - states
    variance: np.ndarray = error.square().mean(dim=(0, 2, 3)).cpu().numpy()
    return variance


def model_denoiser(model: Model, dtype: torch.dtype = torch.float32) -> BlanketDenoiser:
    """The model's denoiser, in reduced precision inside if so asked."""
    exact = Denoiser(model.backbone)

    def mean(x_t: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        with torch.autocast(x_t.device.type, dtype, enabled=dtype != torch.float32):
            return exact(x_t, sigma, condition).to(x_t.dtype)

    return mean


@dataclass(frozen=True)
class DrawSettings:
    """Which members to draw, and in which pieces.

    Args:
        members: Members of each trajectory.
        seed: Seed of the run.
        dtype: Precision inside the denoiser.
        blankets_at_once: Most blankets in one call of the network.
        paired: Members are pairs of opposite noise.
    """

    members: range
    seed: int = 0
    dtype: torch.dtype = torch.float32
    blankets_at_once: int = 1 << 30
    paired: bool = False


def model_task(
    model: Model,
    trajectories: Sequence[ObservedTrajectory],
    settings: DrawSettings,
    extra_variance: np.ndarray,
    *,
    background: Background | None = None,
    on_evaluation: Callable[[], object] = lambda: None,
) -> PosteriorTask:
    """Members of several trajectories of one length as one batch, ensemble after ensemble.

    Args:
        model: Networks.
        trajectories: What to draw; numbers of observations may differ.
        settings: Members, seed, precision and memory.
        extra_variance: Added to the errors' variance by channel, (C,): representativeness.
        background: For variational methods.
        on_evaluation: Called after each guided evaluation.
    """
    rows = torch.arange(len(trajectories)).repeat_interleave(len(settings.members))
    periods = [t.times for t in trajectories]
    return posterior_task(
        model,
        periods,
        settings,
        _observation(model, trajectories, extra_variance, rows, range(len(periods[0]))),
        background=background,
        on_evaluation=on_evaluation,
    )


def posterior_task(
    model: Model,
    periods: Sequence[pd.DatetimeIndex],
    settings: DrawSettings,
    observation: Observation,
    *,
    background: Background | None = None,
    on_evaluation: Callable[[], object] = lambda: None,
) -> PosteriorTask:
    """Members of trajectories over some periods as one batch, ensemble after ensemble.

    Args:
        model: Networks.
        periods: Valid times of each trajectory's states, a step apart; all of one length.
        settings: Members, seed, precision and memory.
        observation: What was observed, of every row or of all alike.
        background: For variational methods.
        on_evaluation: Called after each guided evaluation.

    Raises:
        InputError: The periods have different lengths.
    """
    lengths = sorted({len(times) for times in periods})
    if len(lengths) != 1:
        raise InputError(f"trajectories of one task need one length; these have {lengths} states")
    device = model.latent_mean.device
    length, members = lengths[0], settings.members
    rows = torch.arange(len(periods)).repeat_interleave(len(members))
    shape = (model.latent_mean.shape[0], *model.autoencoder.latent_shape[1:])
    step = pd.Timedelta(hours=model.preset.state.step_hours)
    context = torch.stack([latent_context(model.preset, times.values) for times in periods])
    empty = torch.zeros(len(rows), length, *shape, device=device)
    return PosteriorTask(
        denoiser=model_denoiser(model, settings.dtype),
        blanket_states=model.preset.denoiser.states,
        condition=Condition(
            empty,
            torch.zeros(len(rows), length, 1, 1, 1, device=device),
            context[rows].to(device),
        ),
        observation=observation,
        noise=KeyedNoise(
            settings.seed,
            list(members) * len(periods),
            [int((times[0] - _EPOCH) / step) for times in periods for _ in members],
            length,
            shape,
            device,
            paired=settings.paired,
        ),
        group=rows,
        labels=[f"{times[0]:%Y-%m-%dT%H} member {m}" for times in periods for m in members],
        blankets_at_once=settings.blankets_at_once,
        background=background,
        on_evaluation=on_evaluation,
    )


def _observation(
    model: Model,
    trajectories: Sequence[ObservedTrajectory],
    extra_variance: np.ndarray,
    rows: Tensor,
    states: range,
) -> Observation:
    """Observations of every row; rows with fewer than others are filled up and marked."""
    device = model.latent_mean.device
    cells = model.preset.state.latitudes * model.preset.state.longitudes
    most = max(len(t.values) for t in trajectories)

    def padded(columns: list[np.ndarray], fill: float) -> Tensor:
        filled = [np.pad(c, (0, most - len(c)), constant_values=fill) for c in columns]
        return torch.from_numpy(np.stack(filled))[rows].to(device)

    points = [t.points for t in trajectories]
    variances = [
        (p.error_std**2 + extra_variance[p.cell // cells]).astype(np.float32) for p in points
    ]
    return Observation(
        y=padded([t.values.astype(np.float32) for t in trajectories], 0.0),
        A=PointOperator(
            lambda z: model.autoencoder.decode(z * model.latent_std + model.latent_mean),
            padded([p.state for p in points], -1),  # no state at all
            padded([p.cell for p in points], 0),
            states,
            model.encode,
        ),
        cov_y=DiagonalCovariance(padded(variances, 1.0)),
        used=padded([np.ones(len(t.values), np.float32) for t in trajectories], 0.0),
    )
