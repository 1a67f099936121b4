"""From configuration to objects: the only place that does so."""

from __future__ import annotations

from appa_core.autoencoder import AutoencoderShape
from appa_core.climatology import ClimatologyFit, PooledFit, SeasonalFit
from appa_core.config.presets import OptimiserConfig, Preset
from appa_core.diffusion.schedule import RectifiedSchedule
from appa_core.nn.transformer import TransformerShape
from appa_core.objectives import MaskShares
from appa_core.training import OptimiserSettings

#: Fields that go with every latent: date (4) and which states are given (1).
CONTEXT_CHANNELS = 5


def autoencoder_shape(preset: Preset) -> AutoencoderShape:
    """Sizes of the autoencoder."""
    c = preset.autoencoder
    return AutoencoderShape(
        channels=len(preset.state.build().channels),
        rows=preset.state.latitudes,
        columns=preset.state.longitudes,
        patch=c.patch,
        latent_channels=c.latent_channels,
        hidden_channels=c.hidden_channels,
        blocks=c.blocks,
    )


def transformer_shape(preset: Preset) -> TransformerShape:
    """Sizes of the denoiser's backbone."""
    c = preset.denoiser
    return TransformerShape(
        latent_shape=autoencoder_shape(preset).latent_shape,
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


def optimiser_settings(config: OptimiserConfig) -> OptimiserSettings:
    """How weights move."""
    return OptimiserSettings(
        iterations=config.iterations,
        learning_rate=config.learning_rate,
        adam_share=config.adam_share,
        weight_decay=config.weight_decay,
        warm_up=config.warm_up,
        decay_share=config.decay_share,
        clip_norm=config.clip_norm,
        ema_decay=config.ema_decay,
    )


def mask_shares(preset: Preset) -> MaskShares:
    """Which states are given how often in training."""
    c = preset.denoiser.masks
    return MaskShares(c.leading, c.scattered, c.scattered_share)


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
