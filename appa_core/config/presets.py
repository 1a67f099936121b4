"""Presets: validated, immutable configurations of data, networks and training.

A preset is one YAML file. Its settings are scientific: they are hashed into artifact keys.
Runtime settings (device, workers, where the store is) are never part of a preset.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, TypeAdapter, model_validator

from appa_core.config.base import Positive, Share, Strict
from appa_core.config.named import load_named, parse_named, shipped_names
from appa_core.config.networks import AutoencoderConfig, DenoiserConfig
from appa_core.errors import InputError
from appa_core.schema import Grid, StateSchema


class NatureConfig(Strict):
    """The simulated atmosphere: when it starts and in which pieces it is stored."""

    start: date
    end: date
    spin_up_days: Positive
    chunk_days: Positive
    jcm_version: str = "3.0"


class StateConfig(Strict):
    """Which fields make a state, on which grid, how often.

    The grid is equiangular; with `poles`, its first and last rows lie on the poles, as in ERA5's
    721 x 1440.
    """

    surface: tuple[str, ...]
    upper_air: tuple[str, ...]
    levels_hpa: tuple[Positive, ...]
    latitudes: Positive
    longitudes: Positive
    step_hours: Positive
    poles: bool = False

    def build(self) -> StateSchema:
        """The schema of these states on an equiangular grid."""
        make = Grid.with_poles if self.poles else Grid.equiangular
        return StateSchema.build(
            self.surface,
            self.upper_air,
            self.levels_hpa,
            make(self.latitudes, self.longitudes),
            self.step_hours,
        )


class DataConfig(Strict):
    """How ingested states are stored.

    Args:
        block_states: States of a block: what one task reads and writes, and a shard. A task holds
            a few blocks' size in memory.
    """

    block_states: Positive = 24


class SplitConfig(Strict):
    """Half-open periods: training ends where validation starts, validation where test starts."""

    train_start: date
    validation_start: date
    test_start: date

    @model_validator(mode="after")
    def _ordered(self) -> SplitConfig:
        if not self.train_start < self.validation_start < self.test_start:
            raise ValueError("periods must follow each other: train, validation, test")
        return self


class NormalisationConfig(Strict):
    """What is subtracted before dividing by the channel's standard deviation.

    `seasonal` subtracts a climatology by cell and hour of day with harmonics of the year;
    `global` subtracts the channel's mean.
    """

    kind: Literal["seasonal", "global"]
    harmonics: int = Field(default=2, ge=0)


class SamplingConfig(Strict):
    """How forecasts are drawn.

    `chained_noise_scale` widens the noise of blankets that start from drawn states: the denoiser
    has learned the uncertainty that remains when known states are exact, and drawn ones are not.
    `chained_doubt` is the standard deviation of noise that is put on drawn states before a blanket
    starts from them, and told: for denoisers trained with `masks.noise`.
    """

    known_states: Positive
    steps: Positive
    order: Literal[1, 2] = 2
    sigma_min: float = Field(default=1e-3, gt=0)
    sigma_max: float = Field(default=1e3, gt=0)
    chained_noise_scale: float = Field(default=1.0, ge=1)
    chained_doubt: Share = 0.0


class Preset(Strict):
    """Everything that determines data, networks and forecasts."""

    name: str
    nature: NatureConfig | None = None
    state: StateConfig
    data: DataConfig = DataConfig()
    split: SplitConfig
    normalisation: NormalisationConfig
    autoencoder: AutoencoderConfig
    denoiser: DenoiserConfig
    sampling: SamplingConfig

    def simulated(self) -> NatureConfig:
        """The simulated atmosphere of this preset.

        Raises:
            InputError: It is for observed data alone.
        """
        if self.nature is None:
            raise InputError(
                f"preset {self.name} has no simulated atmosphere: name a source of its states "
                "with --source (python -m flows.catalog lists them), and --start and --end"
            )
        return self.nature

    @model_validator(mode="after")
    def _consistent(self) -> Preset:
        if self.sampling.known_states >= self.denoiser.states:
            raise ValueError("sampling.known_states must be below denoiser.states")
        if self.denoiser.states % self.denoiser.time_patch:
            raise ValueError("denoiser.time_patch must divide denoiser.states")
        if self.sampling.chained_doubt > self.denoiser.masks.noise:
            raise ValueError("sampling.chained_doubt must not exceed denoiser.masks.noise")
        unknown = set(self.autoencoder.channel_weights) - set(self.state.build().names)
        if unknown:
            raise ValueError(f"channel_weights name no channel: {sorted(unknown)}")
        return self


_ADAPTER = TypeAdapter(Preset)


def preset_names() -> list[str]:
    """Names of the presets that come with the project."""
    return shipped_names("presets")


def load_preset(name_or_path: str) -> Preset:
    """A preset by its name, or from a YAML file; see `load_named`."""
    return load_named("preset", name_or_path, _ADAPTER)


def parse_preset(text: str, *, source: str) -> Preset:
    """A preset from YAML text; see `parse_named`."""
    return parse_named("preset", text, _ADAPTER, source=source)
