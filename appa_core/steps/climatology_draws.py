"""The climatology as an ensemble: draws of the prior, for methods that need its covariance.

Draws of a blanket by the model itself, given nothing but the date, are a sample of the climatology
that any model comes with, whatever states are at hand; docs/adr/0013 says why these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from appa_core.config.methods import InterpolationConfig, MethodConfig, VariationalConfig
from appa_core.diffusion.samplers import DpmSolver
from appa_core.diffusion.schedule import LogLogitSchedule
from appa_core.guidance.mmps import Mmps
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors, save_tensors
from appa_core.posterior.background import Background
from appa_core.posterior.diffusion import DiffusionPosterior, Fold
from appa_core.posterior.task import draw_posterior
from appa_core.steps.assimilate import DrawSettings, posterior_task
from appa_core.steps.models import cached_model, read_model_preset
from appa_core.steps.reported import nothing_observed
from appa_core.steps.step import run_step

_LATENTS = "latents.safetensors"
_AT_ONCE = 25
_STEPS = 16
_SEED = 715_517  # draws of the climatology are no members of any ensemble


@dataclass(frozen=True)
class ClimatologyOrder:
    """Which draws of the climatology are wanted.

    Args:
        model_folder: Registered model.
        model_key: Hash of the model's files.
        start: Valid time of the first state of the blankets.
        count: How many.
        device: Where networks run.
    """

    model_folder: str
    model_key: str
    start: pd.Timestamp
    count: int
    device: str = "cpu"

    @classmethod
    def of(
        cls,
        method: MethodConfig,
        model: tuple[str, str],
        time: pd.Timestamp,
        device: str,
    ) -> ClimatologyOrder | None:
        """What a method needs around a time; None if it needs none.

        Args:
            method: How posteriors are drawn.
            model: Folder and key.
            time: First of the states to estimate; its month and hour choose the climatology, so
                that analyses of a month share their draws.
            device: Where networks run.
        """
        if not isinstance(method, VariationalConfig | InterpolationConfig):
            return None
        start = time.normalize().replace(day=15) + pd.Timedelta(hours=time.hour)
        return cls(*model, start, method.ensemble, device)

    @property
    def batches(self) -> list[range]:
        """Draws that are made and kept together."""
        return [
            range(low, min(low + _AT_ONCE, self.count)) for low in range(0, self.count, _AT_ONCE)
        ]


def draw_climatology(
    store: ArtifactStore,
    order: ClimatologyOrder,
    draws: range,
    on_evaluation: Callable[[], object] = lambda: None,
    *,
    recompute: bool = False,
) -> Artifact:
    """Draw some blankets of the prior, latents (draws, K, c, h, w) in half precision."""
    preset = read_model_preset(Path(order.model_folder))
    states = preset.denoiser.states
    recipe = Recipe(
        "climatology-draws",
        1,
        {
            "start": str(order.start),
            "states": states,
            "draws": [draws.start, draws.stop],
            "steps": _STEPS,
        },
        {"model": order.model_key},
        seed=_SEED,
    )

    def build(folder: Path) -> Mapping[str, Any]:
        model = cached_model(order.model_folder, order.model_key, order.device)
        times = pd.date_range(order.start, periods=states, freq=f"{preset.state.step_hours}h")
        task = posterior_task(
            model,
            [times],
            DrawSettings(draws, _SEED),
            nothing_observed(model.latent_mean.device),
            on_evaluation=on_evaluation,
        )
        sampler = DiffusionPosterior(
            LogLogitSchedule(), DpmSolver(2), _STEPS, Mmps(), Fold(states)
        )
        save_tensors(folder / _LATENTS, {"latents": draw_posterior(task, sampler).half()})
        return {"draws": len(draws)}

    return run_step(store, recipe, build, recompute=recompute)


def load_climatology(draws: Sequence[Artifact]) -> Tensor:
    """All draws, latents (N, K, c, h, w) float32."""
    parts = []
    for artifact in draws:
        with artifact.verify().local() as folder:
            parts.append(load_tensors(folder / _LATENTS)["latents"].float())
    return torch.cat(parts)


@lru_cache(maxsize=2)
def climatological_background(draws: tuple[Artifact, ...], patterns: int) -> Background:
    """The background covariance of the draws; a process computes it once."""
    sample = load_climatology(draws)
    return Background.estimate(sample, min(patterns, len(sample) - 1))


@lru_cache(maxsize=1)
def climatological_states(
    draws: tuple[Artifact, ...], model_folder: str, model_key: str, device: str
) -> Tensor:
    """The draws as standardised states, (N, K, C, H, W); a process decodes them once."""
    model = cached_model(model_folder, model_key, device)
    return torch.stack([model.decode(z.to(device)).cpu() for z in load_climatology(draws)])
