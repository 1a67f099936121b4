"""Drawing one stretch of a trajectory by any method, from the rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from appa_core.config.build_method import build_method
from appa_core.config.methods import (
    DiffusionConfig,
    InterpolationConfig,
    MethodConfig,
    VariationalConfig,
)
from appa_core.config.presets import Preset
from appa_core.diffusion.trajectory import NetworkCost
from appa_core.io.store import Artifact
from appa_core.observations.table import ObservationTable
from appa_core.observe.interpolation import unit_vectors
from appa_core.observe.terms import ObservedRows
from appa_core.posterior.localisation import Places
from appa_core.posterior.relay import given_first
from appa_core.posterior.task import Climatology, Method, PosteriorTask, draw_posterior
from appa_core.schema import StateSchema
from appa_core.steps.assimilate import DrawSettings, posterior_task
from appa_core.steps.climatology_draws import climatological_background, climatological_states
from appa_core.steps.models import Model, cached_model, read_model_preset
from appa_core.steps.own_operator import OwnReference
from appa_core.steps.reported import (
    BUILT_IN,
    Reading,
    nothing_observed,
    observed_rows,
    report_observation,
)

_SURFACE_HPA, _COLUMN_HPA = 1000.0, 700.0


@dataclass(frozen=True)
class Drawing:
    """How trajectories are drawn: all that every stretch has in common.

    Args:
        method: How the posterior is drawn.
        model_folder: Registered model.
        model_key: Hash of the model's files.
        seed: Seed of the ensemble.
        dtype: Precision of the denoiser.
        operator: A user's own operator.
        device: Where networks run.
    """

    method: MethodConfig
    model_folder: str
    model_key: str
    seed: int = 0
    dtype: str = "float32"
    operator: OwnReference | None = None
    device: str = "cpu"

    @cached_property
    def preset(self) -> Preset:
        """Configuration of the model."""
        return read_model_preset(Path(self.model_folder))

    @property
    def model(self) -> Model:
        """The networks; a process loads them once."""
        return cached_model(self.model_folder, self.model_key, self.device)

    @cached_property
    def sampler(self) -> Method:
        """What draws."""
        return build_method(
            self.method, self.preset.denoiser.states, float(self.preset.state.step_hours)
        )

    @property
    def paired(self) -> bool:
        """Whether members are pairs of opposite noise."""
        return isinstance(self.method, DiffusionConfig) and self.method.paired

    @property
    def draws_states(self) -> bool:
        """Whether standardised states are drawn, and not latents."""
        return isinstance(self.method, InterpolationConfig)

    @property
    def reading(self) -> Reading:
        """How tables are read."""
        if self.operator is not None:
            return self.operator.reading(of_states=self.draws_states)
        return replace(BUILT_IN, of_states=self.draws_states)

    def hashed(self) -> dict[str, Any]:
        """JSON-compatible content, as it enters artifact keys."""
        own = {} if self.operator is None else {"operator": self.operator.hashed()}
        return {"method": self.method.hashed(), "dtype": self.dtype, **own}


@dataclass(frozen=True)
class StretchTask:
    """One stretch to draw.

    Args:
        times: Valid times of its states.
        table: Observations that it hears; none draws the prior.
        members: Members drawn together.
        known: Its first states, (members, n, ...) with n of 0 or more; None: none.
        doubt: Standard deviation of what is wrong with them, in units of that of latents.
        stream: Stream of noise.
    """

    times: pd.DatetimeIndex
    table: ObservationTable
    members: range
    known: Tensor | None = None
    doubt: float = 0.0
    stream: int = 0


def draw_stretch(
    drawing: Drawing,
    stretch: StretchTask,
    climatology: Sequence[Artifact] = (),
    on_evaluation: Callable[[], object] = lambda: None,
) -> tuple[Tensor, NetworkCost]:
    """Draw a stretch.

    Args:
        drawing: How.
        stretch: What.
        climatology: Draws of the prior, for methods that need them.
        on_evaluation: Called after each guided evaluation.

    Returns:
        Latents (members, L, c, h, w), or standardised states (members, L, C, H, W); what it took.
    """
    model = drawing.model
    observation = nothing_observed(model.latent_mean.device)
    if len(stretch.table):
        observation = report_observation(model, stretch.table, stretch.times, drawing.reading)
    dtype = torch.bfloat16 if drawing.dtype == "bfloat16" else torch.float32
    task = posterior_task(
        model,
        [stretch.times],
        DrawSettings(stretch.members, drawing.seed, dtype, paired=drawing.paired),
        observation,
        on_evaluation=on_evaluation,
    )
    task = _with_prior(drawing, task, stretch, tuple(climatology))
    task = replace(task, noise=task.noise.window(range(task.length), stretch.stream))
    if stretch.known is not None and not drawing.draws_states:
        known = stretch.known.to(model.latent_mean.device)
        task = given_first(task, known, stretch.doubt)
    return draw_posterior(task, drawing.sampler).cpu(), task.cost


def _with_prior(
    drawing: Drawing, task: PosteriorTask, stretch: StretchTask, draws: tuple[Artifact, ...]
) -> PosteriorTask:
    """The task with what the method must know of the prior, besides the denoiser."""
    method = drawing.method
    if isinstance(method, VariationalConfig):
        background = climatological_background(draws, method.patterns)
        return replace(task, background=background)
    if isinstance(method, InterpolationConfig):
        states = climatological_states(
            draws, drawing.model_folder, drawing.model_key, drawing.device
        )
        rows = observed_rows(stretch.table.used, stretch.times)
        places = places_of(drawing.preset.state.build(), rows)
        return replace(task, climatology=Climatology(states, places))
    return task


def places_of(schema: StateSchema, rows: ObservedRows) -> Places:
    """Where values of states and rows lie.

    What is measured at the surface lies at 1000 hPa, through a column at 700 hPa, between two
    levels half-way in ln(p).
    """
    count, columns = schema.grid.shape
    cells = unit_vectors(
        np.repeat(schema.grid.latitudes, columns),
        np.tile(np.asarray(schema.grid.longitudes), count),
    )
    pressure = np.array([c.level or _SURFACE_HPA for c in schema.channels], float)
    level = np.where(np.isnan(rows.level), _SURFACE_HPA, rows.level)
    layer = ~np.isnan(rows.top_level)
    level = np.where(layer, np.sqrt(level * np.where(layer, rows.top_level, 1.0)), level)
    level = np.where(rows.quantity == "total_column_water_vapour", _COLUMN_HPA, level)
    parts = (
        cells,
        -np.log(pressure),
        unit_vectors(rows.latitude, rows.longitude),
        -np.log(level),
        rows.state,
    )
    return Places(*(torch.from_numpy(np.asarray(p, np.float32)) for p in parts))


class HeardRows:
    """The used rows of a table by time, so that a stretch costs what it hears and no more."""

    def __init__(self, table: ObservationTable) -> None:
        self._table = table
        used = np.flatnonzero(table.is_used)
        times = table.frame["valid_time"].to_numpy()[used]
        order = np.argsort(times, kind="stable")
        self._rows, self._times = used[order], times[order]

    def of(
        self, times: pd.DatetimeIndex, given: int, *, all_rows: bool = False
    ) -> ObservationTable:
        """The rows that a stretch hears, in the table's order: after its given states.

        Args:
            times: Valid times of the stretch's states; it hears up to the last.
            given: Its leading states that are given: rows up to these have been heard before.
            all_rows: Hear these too.
        """
        skips = bool(given) and not all_rows
        first = times[given - 1] if skips else times[0]
        low = self._times.searchsorted(first.to_datetime64(), "right" if skips else "left")
        high = self._times.searchsorted(times[-1].to_datetime64(), "right")
        return self._table.rows(np.sort(self._rows[low:high]))
