"""What trained networks make of held-out states: fields and spectra to look at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from appa_core.config.presets import Preset
from appa_core.config.requests import ForecastRequest
from appa_core.io.cube import Cube
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.metrics.spectra import power_spectrum
from appa_core.schema import Channel
from appa_core.steps.coder import Coder
from appa_core.steps.forecast import FORECAST, Forecaster, StateSource, prepare_forecast
from appa_core.steps.score import ensemble_fields
from appa_core.steps.training import CURVE

_PREFERRED = ("geopotential_500", "temperature_850", "u_component_of_wind_850", "2m_temperature")
_STATES, _STARTS, _MEMBERS = 32, 4, 2


@dataclass(frozen=True)
class Diagnosis:
    """Fields that networks made, beside the truth.

    Args:
        title: What made them.
        channels: Which fields, (F,).
        made: (N, F, H, W) in SI units; cells without a value are NaN.
        truth: (N, F, H, W).
        made_power: Mean power by total wavenumber, (F, L).
        truth_power: (F, L).
    """

    title: str
    channels: tuple[Channel, ...]
    made: np.ndarray
    truth: np.ndarray
    made_power: np.ndarray
    truth_power: np.ndarray


def headline_channels(preset: Preset) -> tuple[Channel, ...]:
    """At most four channels to look at: the usual ones, if a preset has them."""
    channels = preset.state.build().channels
    chosen = [c for c in channels if c.name in _PREFERRED]
    return tuple(chosen or channels[:4])


def diagnose(preset: Preset, title: str, made: np.ndarray, truth: np.ndarray) -> Diagnosis:
    """Spectra of fields (N, F, H, W) of the headline channels, with cells without a value as 0."""
    grid = preset.state.build().grid
    powers = [power_spectrum(np.nan_to_num(x), grid).mean(axis=0) for x in (made, truth)]
    return Diagnosis(title, headline_channels(preset), made, truth, *powers)


def held_out_times(preset: Preset, count: int = _STATES) -> pd.DatetimeIndex:
    """Times of the validation period, evenly spread."""
    split = preset.split
    times = pd.date_range(
        split.validation_start,
        split.test_start,
        freq=f"{preset.state.step_hours}h",
        inclusive="left",
    )
    return times[np.linspace(0, len(times) - 1, min(count, len(times))).astype(int)]


def diagnose_autoencoder(preset: Preset, coder: Coder, states: Cube) -> Diagnosis:
    """Held-out states encoded and decoded."""
    times = held_out_times(preset)
    standard = coder.standardised(states, times)
    decoded = coder.decode(coder.encode(standard)).numpy()
    made = coder.normalisation.restore(decoded, times.values)
    truth = preset.state.build().stack(states.read(times))
    picks = _positions(preset)
    return diagnose(preset, "Reconstructions", made[:, picks], truth[:, picks])


def diagnose_denoiser(
    store: ArtifactStore, folder: Path, preset: Preset, states: Cube
) -> Diagnosis:
    """The last states of one blanket drawn from each of a few held-out dates."""
    step, known = preset.state.step_hours, preset.sampling.known_states
    lead = step * (preset.denoiser.states - known)
    source = StateSource("training", states.url, states.key)
    made, truth = [], []
    for start in _starts(preset, pd.Timedelta(hours=step * known), pd.Timedelta(hours=lead)):
        request = ForecastRequest(
            start=f"{start:%Y-%m-%dT%H}",
            lead_hours=lead,
            members=_MEMBERS,
            model=str(folder),
            source="training",
        )
        job = prepare_forecast(request, source, folder, "cpu")
        forecaster = Forecaster(store, job)
        known_states = forecaster.encode_known()
        drawn = forecaster.sample_blanket(range(_MEMBERS), 0, known_states, lambda: None)
        with forecaster.decode([[drawn]]).local() as data:
            made.append(ensemble_fields(job, data / FORECAST)[:, -1, _positions(preset)])
        there = pd.DatetimeIndex([start + pd.Timedelta(hours=lead)])
        fields = preset.state.build().stack(states.read(there))[:, _positions(preset)]
        truth.append(np.repeat(fields, _MEMBERS, axis=0))
    return diagnose(preset, f"Samples at {lead} h", np.concatenate(made), np.concatenate(truth))


def _starts(preset: Preset, before: pd.Timedelta, after: pd.Timedelta) -> pd.DatetimeIndex:
    """A few held-out dates with whole blankets around them."""
    times = held_out_times(preset, 10**9)
    inside = times[(times >= times[0] + before) & (times <= times[-1] - after)]
    return inside[np.linspace(0, len(inside) - 1, min(_STARTS, len(inside))).astype(int)]


def losses(trained: Artifact) -> np.ndarray:
    """Loss of every iteration of a training."""
    with trained.local() as folder:
        return np.asarray(json.loads((folder / CURVE).read_text("utf-8"))["losses"])


def _positions(preset: Preset) -> list[int]:
    names = preset.state.build().names
    return [names.index(c.name) for c in headline_channels(preset)]
