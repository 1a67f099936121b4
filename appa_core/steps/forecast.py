"""Forecasting: encode what is known, draw blanket after blanket, decode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from appa_core.blankets import ForecastPlan
from appa_core.config.build import schedule, tells_known
from appa_core.config.presets import Preset
from appa_core.config.requests import ForecastRequest
from appa_core.diffusion.denoiser import Condition, Denoiser
from appa_core.diffusion.noise import blanket_noise
from appa_core.diffusion.samplers import DpmSolver
from appa_core.errors import InputError
from appa_core.io.archives import is_cube, open_archive
from appa_core.io.cube import Cube
from appa_core.io.datasets import Archive, write_zarr
from appa_core.io.forecasts import FieldSelection, forecast_dataset
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors, save_tensors
from appa_core.posterior.watch import Watch
from appa_core.steps.device import require_device
from appa_core.steps.latents import latent_context
from appa_core.steps.models import Model, cached_model, model_key, read_model_preset, verify_model
from appa_core.steps.step import run_step

LATENTS = "latents.safetensors"
FORECAST = "forecast.zarr"
MEMBERS_PER_BATCH = 8


@dataclass(frozen=True)
class StateSource:
    """Where known and verifying states are read.

    Args:
        name: Catalog entry.
        url: Zarr store, or a cube of ingested states.
        fingerprint: Hash that changes when its data change.
    """

    name: str
    url: str
    fingerprint: str

    def open(self) -> Archive:
        """Its states."""
        return open_archive(self.url)

    def identity(self, times: pd.DatetimeIndex) -> str:
        """Hash that changes when the states of some times do."""
        if not is_cube(self.url):
            return self.fingerprint
        return Cube.load(self.url).digest(times[0], times[-1] + pd.Timedelta(1, "ns"))


@dataclass(frozen=True)
class ForecastJob:
    """A checked request with all that it refers to.

    Args:
        request: What is asked.
        source: Where states are read.
        model_folder: Registered model.
        model_key: Hash of the model's files.
        device: Where networks run.
        starts_from_draws: Known states are draws given observations, which differ from member to
            member. Their spread is that of what is uncertain, so that the first blanket takes them
            as they are, without the noise that keeps the spread of later blankets up.
    """

    request: ForecastRequest
    source: StateSource
    model_folder: str
    model_key: str
    device: str = "cpu"
    starts_from_draws: bool = False

    @cached_property
    def preset(self) -> Preset:
        """Configuration of the model."""
        return read_model_preset(Path(self.model_folder))

    @cached_property
    def plan(self) -> ForecastPlan:
        """Layout of the forecast in blankets."""
        return ForecastPlan(
            self.request.leads(self.preset.state.step_hours),
            self.preset.denoiser.states,
            self.preset.sampling.known_states,
        )

    @property
    def batches(self) -> list[range]:
        """Members that are drawn together."""
        count = self.request.members
        return [
            range(low, min(low + MEMBERS_PER_BATCH, count))
            for low in range(0, count, MEMBERS_PER_BATCH)
        ]

    @cached_property
    def selection(self) -> FieldSelection:
        """Fields and cells to write."""
        return FieldSelection.of(self.preset.state.build(), self.request)

    def times(self, leads: range) -> pd.DatetimeIndex:
        """Valid times of leads in states."""
        step = pd.Timedelta(hours=self.preset.state.step_hours)
        return pd.DatetimeIndex([self.request.time + lead * step for lead in leads])


def prepare_forecast(
    request: ForecastRequest,
    source: StateSource,
    model_folder: Path,
    device: str,
    *,
    starts_from_draws: bool = False,
) -> ForecastJob:
    """Check everything that can be wrong with a request, before any work.

    Args:
        request: What is asked.
        source: Where known and verifying states are read.
        model_folder: Registered model.
        device: Where networks run.
        starts_from_draws: The forecast starts from what was drawn, from no state of the source.

    Raises:
        InputError: The start is not in the data, the lead does not fit the step, a variable,
            level or device does not exist.
        IntegrityError: The model is damaged.
    """
    require_device(device)
    preset = read_model_preset(model_folder)
    if not tells_known(preset):
        raise InputError(
            f"model {request.model} cannot start a forecast from known states: its network is not "
            "told which states are known; such a model is conditioned on observations alone"
        )
    key = model_key(verify_model(model_folder))
    job = ForecastJob(request, source, str(model_folder), key, device, starts_from_draws)
    _ = job.plan, job.selection
    if starts_from_draws:
        return job
    known = job.times(range(1 - job.plan.known_states, 1))
    try:
        source.open().require(known)
    except InputError as error:
        raise InputError(
            f"a forecast from {known[-1]:%Y-%m-%dT%H:%M} needs the {len(known)} states up to that "
            f"time: {error}"
        ) from error
    return job


class Forecaster:
    """Runs a job's steps with one loaded model."""

    def __init__(self, store: ArtifactStore, job: ForecastJob, *, recompute: bool = False) -> None:
        self._store, self._job, self._recompute = store, job, recompute

    @property
    def _model(self) -> Model:
        return cached_model(self._job.model_folder, self._job.model_key, self._job.device)

    def _run(self, recipe: Recipe, build: Callable[[Path], Mapping[str, Any]]) -> Artifact:
        return run_step(self._store, recipe, build, recompute=self._recompute)

    def encode_known(self) -> Artifact:
        """Latents of the known states, (1, known, c, h, w)."""
        job = self._job
        times = job.times(range(1 - job.plan.known_states, 1))
        recipe = Recipe(
            "encode-known",
            1,
            {"times": [str(t) for t in times]},
            {"states": job.source.identity(times), "model": job.model_key},
        )

        def build(folder: Path) -> Mapping[str, Any]:
            states = job.preset.state.build().stack(job.source.open().read(times))
            standard = self._model.normalisation.standardise(states, times.values)
            latents = self._model.encode(torch.from_numpy(standard).to(job.device))
            save_tensors(folder / LATENTS, {"latents": latents[None]})
            return {"states": len(times)}

        return self._run(recipe, build)

    def sample_blanket(
        self, members: range, blanket: int, previous: Artifact, on_step: Callable[[], object]
    ) -> Artifact:
        """Draw one blanket of some members, (members, drawn, c, h, w).

        Args:
            members: Members drawn together.
            blanket: Position of the blanket.
            previous: Latents that end with the states that this blanket takes as known.
            on_step: Called after each evaluation of the network.
        """
        job = self._job
        recipe = Recipe(
            "forecast-blanket",
            1,
            {
                "start": str(job.request.time),
                "members": [members.start, members.stop],
                "blanket": blanket,
                "sampling": job.preset.sampling.hashed(),
                "dtype": job.request.dtype,
            },
            {"known": previous.key, "model": job.model_key},
            seed=job.request.seed,
        )

        def build(folder: Path) -> Mapping[str, Any]:
            known = _read_latents(previous)[:, -job.plan.known_states :]
            drawn = self._draw(
                known.expand(len(members), -1, -1, -1, -1), members, blanket, on_step
            )
            save_tensors(folder / LATENTS, {"latents": drawn})
            return {"evaluations": job.preset.sampling.steps}

        return self._run(recipe, build)

    def _draw(
        self, known: Tensor, members: range, blanket: int, on_step: Callable[[], object]
    ) -> Tensor:
        job, model = self._job, self._model
        device, plan = torch.device(job.device), job.plan
        leads = plan.leads(blanket)
        first = plan.first_lead(blanket)
        drawn = range(first, first + plan.drawn_states)
        shape = tuple(known.shape[2:])
        noise = blanket_noise(job.request.seed, members, drawn, shape, device)
        doubt = job.preset.sampling.chained_doubt if blanket else 0.0
        if blanket:
            noise = noise * job.preset.sampling.chained_noise_scale
        if doubt:
            before = range(first - plan.known_states, first)
            seed, stream = job.request.seed, 1
            error = blanket_noise(seed, members, before, shape, known.device, stream)
            known = known + doubt * error
        empty = torch.zeros(len(members), plan.known_states, *shape, device=device)
        given = torch.cat([known.to(device), torch.zeros_like(noise)], dim=1)
        mask = torch.zeros(1, plan.blanket_states, 1, 1, 1, device=device)
        mask[:, : plan.known_states] = 1
        context = latent_context(job.preset, job.times(leads).values).to(device)
        condition = Condition(
            given,
            mask.expand(len(members), -1, -1, -1, -1),
            context.expand(len(members), -1, -1, -1, -1),
            torch.full_like(mask, doubt),
        )
        denoiser = Denoiser(model.backbone)
        reduced = job.request.dtype == "bfloat16"

        def mean(x_t: Tensor, sigma: Tensor) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=reduced):
                return denoiser(x_t, sigma, condition).float()

        labels = [f"member {m}, blanket {blanket + 1}" for m in members]
        start = torch.cat([empty, noise], dim=1)
        sampling = job.preset.sampling
        x = DpmSolver(sampling.order).sample(
            Watch(mean, labels, on_evaluation=on_step),
            lambda _: start,
            schedule(job.preset).steps(sampling.steps),
        )
        return x[:, plan.known_states :]

    def decode(self, batches: list[list[Artifact]]) -> Artifact:
        """Decode all members into `forecast.zarr`.

        Args:
            batches: For every batch of members, its blankets in order.
        """
        job, selection = self._job, self._job.selection
        recipe = Recipe(
            "forecast",
            2,
            {"lead_states": job.plan.lead_states, "selection": selection.hashed()},
            {
                f"members{i}-blanket{j}": a.key
                for i, row in enumerate(batches)
                for j, a in enumerate(row)
            },
        )

        def build(folder: Path) -> Mapping[str, Any]:
            leads = range(1, job.plan.lead_states + 1)
            members = []
            for row in batches:
                latents = torch.cat([_read_latents(a) for a in row], dim=1)[:, : len(leads)]
                members += [self._decode_member(z, leads) for z in latents]
            dataset = forecast_dataset(
                np.stack(members), selection, job.request.time, job.preset.state.step_hours
            )
            write_zarr(dataset.assign_attrs(self._attributes()), folder / FORECAST)
            return {"members": len(members), "leads": len(leads)}

        return self._run(recipe, build)

    def _decode_member(self, latents: Tensor, leads: range) -> np.ndarray:
        standard = self._model.decode(latents.to(self._job.device)).cpu().numpy()
        times = self._job.times(leads).values
        states = self._model.normalisation.restore(standard, times).astype(np.float32)
        return self._job.selection.of_states(self._job.selection.schema.bound(states))

    def _attributes(self) -> dict[str, str]:
        source = self._job.source.open()
        return {
            "title": "Appa ensemble forecast",
            "source": str(source.attributes.get("source", "unknown")),
            "model": f"{self._job.request.model} {self._job.model_key}",
            "Conventions": "CF-1.11",
        }


def _read_latents(artifact: Artifact) -> Tensor:
    with artifact.verify().local() as folder:
        return load_tensors(folder / LATENTS)["latents"]
