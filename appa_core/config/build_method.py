"""From a method's configuration to the object that draws: the only place that does so."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import assert_never

from appa_core.config.methods import (
    DiffusionConfig,
    FoldConfig,
    GuidanceConfig,
    InterpolationConfig,
    LayoutConfig,
    MethodConfig,
    MmpsConfig,
    ParticlesConfig,
    SamplerConfig,
    ScheduleConfig,
    SmootherConfig,
    VariationalConfig,
)
from appa_core.diffusion import samplers, schedule
from appa_core.guidance.gradients import Dps, Sda
from appa_core.guidance.guided import Guidance
from appa_core.guidance.mmps import Mmps
from appa_core.guidance.repaint import Repaint
from appa_core.posterior.diffusion import Chain, DiffusionPosterior, Fold
from appa_core.posterior.interpolation import OptimalInterpolation
from appa_core.posterior.localisation import Localisation
from appa_core.posterior.particles import TwistedParticles
from appa_core.posterior.smoother import EnsembleSmoother
from appa_core.posterior.task import Method
from appa_core.posterior.variational import Variational

_SCHEDULES: dict[str, Callable[[float, float], schedule.Schedule]] = {
    "rectified": schedule.RectifiedSchedule,
    "log-linear": schedule.LogLinearSchedule,
    "log-logit": schedule.LogLogitSchedule,
    "cosine": schedule.CosineSchedule,
}
_VARIATIONAL = {"latent-3dvar": "3dvar", "latent-4dvar": "4dvar", "4dvar": "strong-4dvar"}


def build_schedule(config: ScheduleConfig) -> schedule.Schedule:
    """Noise levels."""
    return _SCHEDULES[config.kind](config.sigma_min, config.sigma_max)


def build_sampler(config: SamplerConfig) -> samplers.Sampler:
    """Integrator."""
    match config.kind:
        case "ddim":
            return samplers.DdimSampler(config.eta)
        case "ddpm":
            return samplers.DdimSampler(1.0)
        case "heun":
            return samplers.HeunSampler()
        case "adams-bashforth":
            return samplers.AdamsBashforth(config.order)
        case "dpm-solver++":
            return samplers.DpmSolver(config.order)
        case "predictor-corrector":
            return samplers.PredictorCorrector(config.corrections, config.delta)
        case unreachable:
            assert_never(unreachable)


def build_guidance(config: GuidanceConfig) -> Guidance:
    """Conditioning on observations."""
    match config.kind:
        case "mmps":
            return _mmps(config)
        case "pigdm":
            return Mmps("cg", config.iterations, config.tolerance, "scalar")
        case "sda":
            return Sda(config.gamma)
        case "dps":
            return Dps(config.zeta)
        case "repaint":
            return Repaint(config.radius)
        case unreachable:
            assert_never(unreachable)


def _mmps(config: MmpsConfig) -> Mmps:
    return Mmps(
        solver=config.solver,
        iterations=config.iterations,
        tolerance=config.tolerance,
        covariance=config.covariance,
        tweedie_below=config.tweedie_below or math.inf,
        guided_below=config.guided_below or math.inf,
        reuse=config.reuse,
        whiten=config.whiten,
        safeguard=config.safeguard,
        clamp=config.clamp,
    )


def _layout(config: LayoutConfig, blanket_states: int) -> Fold | Chain:
    if isinstance(config, FoldConfig):
        return Fold(config.stride or max(1, blanket_states // 2), config.fold)
    return Chain(config.known, config.order)


def build_method(config: MethodConfig, blanket_states: int, step_hours: float = 6.0) -> Method:
    """The method for a denoiser of blankets of so many states, so many hours apart."""
    if isinstance(config, DiffusionConfig):
        return DiffusionPosterior(
            schedule=build_schedule(config.schedule),
            sampler=build_sampler(config.sampler),
            steps=config.steps,
            guidance=build_guidance(config.guidance),
            layout=_layout(config.layout, blanket_states),
            sweeps=config.sweeps,
            sweep_known=config.sweep_known,
            limit=config.divergence_limit,
            inflation=config.inflation,
        )
    if isinstance(config, ParticlesConfig):
        return TwistedParticles(
            build_schedule(config.schedule), config.steps, config.particles, config.spread
        )
    if isinstance(config, VariationalConfig):
        return Variational(
            kind=_VARIATIONAL[config.kind],  # type: ignore[arg-type]
            outer=config.outer,
            inner=config.inner,
            tolerance=config.tolerance,
            initial_states=config.initial_states,
        )
    if isinstance(config, InterpolationConfig):
        hours = config.hours / step_hours
        return OptimalInterpolation(
            Localisation(config.horizontal_km, config.vertical_ln_p, hours),
            config.reach_states,
            config.most,
        )
    if isinstance(config, SmootherConfig):
        return EnsembleSmoother(
            schedule=build_schedule(config.schedule),
            sampler=build_sampler(config.sampler),
            steps=config.steps,
            assimilations=config.assimilations,
            stride=config.stride or max(1, blanket_states // 2),
        )
    assert_never(config)
