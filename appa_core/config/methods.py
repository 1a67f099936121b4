"""How posteriors are drawn: one validated, immutable configuration of any method.

A method is one YAML file or the name of one that comes with the project (`method_names()`). It is
scientific: it is hashed into artifact keys.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from appa_core.config.base import Positive, Share, Strict
from appa_core.config.named import load_named, shipped_names

Level = Annotated[float, Field(gt=0)]


class ScheduleConfig(Strict):
    """Noise levels; see `appa_core.diffusion.schedule`."""

    kind: Literal["rectified", "log-linear", "log-logit", "cosine"] = "log-logit"
    sigma_min: Level = 1e-3
    sigma_max: Level = 1e3


class DdimConfig(Strict):
    """DDIM; eta 1 is DDPM."""

    kind: Literal["ddim"]
    eta: Share = 0.0


class DdpmConfig(Strict):
    """Ancestral sampling."""

    kind: Literal["ddpm"]


class HeunConfig(Strict):
    """Heun's method."""

    kind: Literal["heun"]


class AdamsBashforthConfig(Strict):
    """Linear multistep."""

    kind: Literal["adams-bashforth"]
    order: Literal[1, 2, 3, 4] = 3


class DpmSolverConfig(Strict):
    """DPM-Solver++."""

    kind: Literal["dpm-solver++"]
    order: Literal[1, 2] = 2


class PredictorCorrectorConfig(Strict):
    """DDIM with Langevin corrections."""

    kind: Literal["predictor-corrector"]
    corrections: int = Field(default=2, ge=0)
    delta: Share = 0.1


SamplerConfig = Annotated[
    DdimConfig
    | DdpmConfig
    | HeunConfig
    | AdamsBashforthConfig
    | DpmSolverConfig
    | PredictorCorrectorConfig,
    Field(discriminator="kind"),
]


class MmpsConfig(Strict):
    """Moment matching; see `appa_core.guidance.mmps.Mmps`. Infinite limits are null."""

    kind: Literal["mmps"]
    solver: Literal["cg", "minres", "gmres"] = "cg"
    iterations: Positive = 3
    tolerance: float = Field(default=1e-4, ge=0)
    covariance: Literal["tweedie", "scalar"] = "scalar"
    tweedie_below: Level | None = None
    guided_below: Level | None = None
    reuse: bool = True
    whiten: bool = True
    safeguard: bool = True
    clamp: Level = 6.0


class PigdmConfig(Strict):
    """Pseudo-inverse guidance: a scalar covariance, solved to a tolerance."""

    kind: Literal["pigdm"]
    iterations: Positive = 20
    tolerance: float = Field(default=1e-3, ge=0)


class SdaConfig(Strict):
    """Score-based data assimilation."""

    kind: Literal["sda"]
    gamma: Level = 1.0


class DpsConfig(Strict):
    """Diffusion posterior sampling."""

    kind: Literal["dps"]
    zeta: Level = 1.0


class RepaintConfig(Strict):
    """Repainting of observed values."""

    kind: Literal["repaint"]
    radius: float = Field(default=1.0, ge=0)


GuidanceConfig = Annotated[
    MmpsConfig | PigdmConfig | SdaConfig | DpsConfig | RepaintConfig, Field(discriminator="kind")
]


class FoldConfig(Strict):
    """Blankets side by side; a stride of null is half a blanket."""

    kind: Literal["fold"]
    stride: Positive | None = None
    fold: Literal["symmetrical", "causal", "average"] = "symmetrical"


class ChainConfig(Strict):
    """Blankets one after the other, given what was drawn."""

    kind: Literal["chain"]
    known: Positive
    order: Literal["forward", "backward"] = "forward"


LayoutConfig = Annotated[FoldConfig | ChainConfig, Field(discriminator="kind")]


class DiffusionConfig(Strict):
    """Guided diffusion.

    With `paired`, the members 2k and 2k + 1 of an ensemble are drawn from opposite noise; what is
    observed is drawn from noise `inflation` times as large as the theory has it.
    """

    kind: Literal["diffusion"]
    schedule: ScheduleConfig = ScheduleConfig()
    sampler: SamplerConfig
    steps: Positive
    guidance: GuidanceConfig
    layout: LayoutConfig
    sweeps: int = Field(default=0, ge=0)
    sweep_known: Positive = 1
    divergence_limit: Level = 100.0
    inflation: Annotated[float, Field(ge=1)] = 1.0
    paired: bool = False


class ParticlesConfig(Strict):
    """Twisted particle sampling of one blanket: exact as particles and steps grow."""

    kind: Literal["twisted-particles"]
    schedule: ScheduleConfig = ScheduleConfig()
    steps: Positive = 128
    particles: Positive = 64
    spread: Level = 1.0


class VariationalConfig(Strict):
    """Variational assimilation in latent space; `4dvar` has the dynamics as strong constraint.

    The background is that of `ensemble` draws of the prior, with `patterns` patterns.
    """

    kind: Literal["latent-3dvar", "latent-4dvar", "4dvar"]
    outer: Positive = 3
    inner: Positive = 50
    tolerance: float = Field(default=1e-3, gt=0)
    initial_states: Positive = 1
    ensemble: Annotated[int, Field(gt=1)] = 200
    patterns: Positive = 64

    @model_validator(mode="after")
    def _enough_draws(self) -> VariationalConfig:
        if self.patterns >= self.ensemble:
            raise ValueError("patterns must be below ensemble")
        return self


class InterpolationConfig(Strict):
    """Optimal interpolation from an ensemble of the climatology: `ensemble` draws of the prior.

    See `appa_core.posterior.interpolation`; lengths are half-widths of tapering.
    """

    kind: Literal["optimal-interpolation"]
    ensemble: Annotated[int, Field(gt=1)] = 200
    horizontal_km: Level = 3000.0
    vertical_ln_p: Level = 0.8
    hours: Level = 18.0
    reach_states: int = Field(default=1, ge=0)
    most: Positive = 2000


class SmootherConfig(Strict):
    """ES-MDA over the initial noise, for operators that are no torch functions."""

    kind: Literal["es-mda"]
    schedule: ScheduleConfig = ScheduleConfig()
    sampler: SamplerConfig
    steps: Positive = 8
    assimilations: Positive = 4
    stride: Positive | None = None


MethodConfig = Annotated[
    DiffusionConfig | ParticlesConfig | VariationalConfig | InterpolationConfig | SmootherConfig,
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[MethodConfig] = TypeAdapter(MethodConfig)


def method_names() -> list[str]:
    """Names of the methods that come with the project."""
    return shipped_names("methods")


def load_method(name_or_path: str) -> MethodConfig:
    """A method by its name, or from a YAML file; see `load_named`."""
    return load_named("method", name_or_path, _ADAPTER)
