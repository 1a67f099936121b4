"""From configuration to objects: the only place that does so."""

from __future__ import annotations

import numpy as np

from appa_core.climatology import ClimatologyFit, PooledFit, SeasonalFit
from appa_core.config.networks import (
    ConvolutionalAutoencoderConfig,
    LinearPathDenoiserConfig,
    PatchAutoencoderConfig,
    TrainingConfig,
)
from appa_core.config.presets import Preset
from appa_core.diffusion.schedule import RectifiedSchedule
from appa_core.errors import InputError
from appa_core.nn.bases import Autoencoder, BlanketBackbone
from appa_core.nn.linear_path import LinearPathShape, LinearPathTransformer
from appa_core.nn.patch_autoencoder import PatchAutoencoder, PatchShape
from appa_core.nn.published_autoencoder import ConvolutionalAutoencoder, ConvolutionalShape
from appa_core.nn.published_transformer import DiffusionTransformer, DiffusionTransformerShape
from appa_core.objectives import MaskShares, NoiseLevels
from appa_core.training.settings import OptimiserSettings

#: Fields that go with every latent: date (4) and which states are given (1).
CONTEXT_CHANNELS = 5


def patch_shape(preset: Preset, config: PatchAutoencoderConfig) -> PatchShape:
    """Sizes of a patch autoencoder."""
    return PatchShape(
        channels=len(preset.state.build().channels),
        rows=preset.state.latitudes,
        columns=preset.state.longitudes,
        patch=config.patch,
        latent_channels=config.latent_channels,
        hidden_channels=config.hidden_channels,
        blocks=config.blocks,
    )


def convolutional_shape(
    preset: Preset, config: ConvolutionalAutoencoderConfig
) -> ConvolutionalShape:
    """Sizes of a convolutional autoencoder."""
    return ConvolutionalShape(
        in_channels=len(preset.state.build().channels),
        lat_channels=config.latent_channels,
        shape=(preset.state.latitudes, preset.state.longitudes),
        resize=2 ** (len(config.hidden_channels) - 1),
        hid_channels=config.hidden_channels,
        hid_blocks=config.hidden_blocks,
        ffn_factor=config.expansion,
        saturation_bound=config.saturation_bound,
        dropout=config.dropout,
    )


def build_autoencoder(preset: Preset) -> Autoencoder:
    """The autoencoder of a preset, with weights as its class draws them.

    Raises:
        InputError: Its sizes do not fit the grid.
    """
    config = preset.autoencoder
    try:
        if isinstance(config, PatchAutoencoderConfig):
            return PatchAutoencoder(patch_shape(preset, config))
        return ConvolutionalAutoencoder(convolutional_shape(preset, config))
    except ValueError as error:
        raise InputError(f"preset {preset.name}: the autoencoder does not fit: {error}") from error


def latent_shape(preset: Preset) -> tuple[int, int, int]:
    """(channels, rows, columns) of a latent."""
    config = preset.autoencoder
    if isinstance(config, PatchAutoencoderConfig):
        return patch_shape(preset, config).latent_shape
    return convolutional_shape(preset, config).latent_shape


def compression(preset: Preset) -> float:
    """Values of a state per value of its latent."""
    c, h, w = latent_shape(preset)
    state = preset.state
    return len(state.build().channels) * state.latitudes * state.longitudes / (c * h * w)


def latent_row_weights(preset: Preset) -> np.ndarray:
    """Area weights of latent rows (h,): the mean of the rows of cells that each stands for."""
    area = preset.state.build().grid.area_weights
    _, rows, _ = latent_shape(preset)
    cells = -(-len(area) // rows)
    missing = rows * cells - len(area)
    padded = np.pad(area, (missing // 2, missing - missing // 2))
    return np.asarray(padded.reshape(rows, cells).mean(axis=1))


def latent_longitudes(preset: Preset) -> np.ndarray:
    """Longitudes (w,) of the local hours that the denoiser is told.

    The diffusion transformer is told the hour at Greenwich everywhere.
    """
    _, _, columns = latent_shape(preset)
    if not isinstance(preset.denoiser, LinearPathDenoiserConfig):
        return np.zeros(columns)
    return (np.arange(columns) + 0.5) * 360.0 / columns - 180.0 / preset.state.longitudes


def build_backbone(preset: Preset) -> BlanketBackbone:
    """The denoiser's network of a preset, with weights as its class draws them.

    Raises:
        InputError: Its sizes do not fit each other.
    """
    c = preset.denoiser
    try:
        if isinstance(c, LinearPathDenoiserConfig):
            return LinearPathTransformer(
                LinearPathShape(
                    latent_shape=latent_shape(preset),
                    states=c.states,
                    context_channels=CONTEXT_CHANNELS,
                    time_patch=c.time_patch,
                    width=c.width,
                    depth=c.depth,
                    heads=c.heads,
                    expansion=c.expansion,
                    noise_features=c.noise_features,
                    skip_kernel=c.skip_kernel,
                )
            )
        return DiffusionTransformer(
            DiffusionTransformerShape(
                latent_shape=latent_shape(preset),
                blanket_size=c.states,
                mod_features=c.noise_features,
                hid_channels=c.width,
                hid_blocks=c.depth,
                ffn_factor=c.expansion,
                attention_heads=c.heads,
                patch_size=(c.time_patch, 1, 1),
                dropout=c.dropout,
                tells_known=c.tells_known,
            )
        )
    except ValueError as error:
        raise InputError(f"preset {preset.name}: the denoiser does not fit: {error}") from error


def tells_known(preset: Preset) -> bool:
    """Whether the denoiser's network is told which states are given."""
    return isinstance(preset.denoiser, LinearPathDenoiserConfig) or preset.denoiser.tells_known


def optimiser_settings(config: TrainingConfig) -> OptimiserSettings:
    """How weights move."""
    return OptimiserSettings(
        iterations=config.iterations,
        kind=config.optimiser,
        learning_rate=config.learning_rate,
        adam_share=config.adam_share,
        weight_decay=config.weight_decay,
        warm_up=config.warm_up,
        decay_share=config.decay_share,
        clip_norm=config.clip_norm,
        ema_decay=config.ema_decay,
        precision=config.precision,
    )


def mask_shares(preset: Preset) -> MaskShares:
    """Which states are given how often in training."""
    c = preset.denoiser.masks
    return MaskShares(c.leading, c.scattered, c.scattered_share, c.noise)


def noise_levels(preset: Preset) -> NoiseLevels:
    """Noise levels of training."""
    return NoiseLevels(preset.denoiser.noise_mean, preset.denoiser.noise_scale)


def climatology_fit(preset: Preset) -> ClimatologyFit:
    """An empty fit of what the normalisation subtracts."""
    schema, config = preset.state.build(), preset.normalisation
    shape, weights = (len(schema.channels), *schema.grid.shape), schema.grid.area_weights
    if config.kind == "global":
        return PooledFit(shape, weights)
    return SeasonalFit(24 // schema.step_hours, config.harmonics, shape, weights)


def schedule(preset: Preset) -> RectifiedSchedule:
    """Noise schedule of sampling."""
    return RectifiedSchedule(preset.sampling.sigma_min, preset.sampling.sigma_max)
