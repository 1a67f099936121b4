"""Which networks a preset has, and how they are trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from appa_core.config.base import Positive, Share, Strict


class TrainingConfig(Strict):
    """How weights move: what determines the result of a training, whatever it runs on.

    Args:
        iterations: Iterations in all.
        batch: Samples of an iteration, over all processes.
        optimiser: `muon` moves matrices of hidden layers by Muon and all else by AdamW; `adamw`
            moves everything by AdamW.
        learning_rate: Peak rate.
        adam_share: Rate of AdamW over that of Muon, where both are used.
        weight_decay: Decay of matrices.
        warm_up: Iterations until the peak.
        decay_share: Share of the iterations, at the end, over which the rate falls to nothing.
        clip_norm: Largest norm of the gradient.
        ema_decay: Weight of the past in the averaged weights.
        checkpoint_every: Iterations from one checkpoint, and validation, to the next.
        precision: Of the networks' arithmetic; weights are float32.
        patience: Validations without a better score until training ends; then the best averaged
            weights are kept. None: never.
    """

    iterations: Positive
    batch: Positive
    optimiser: Literal["muon", "adamw"] = "muon"
    learning_rate: float = Field(gt=0)
    adam_share: float = Field(default=0.3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warm_up: Positive = 50
    decay_share: Share = 0.5
    clip_norm: float = Field(default=1.0, gt=0)
    ema_decay: Share = 0.995
    checkpoint_every: Positive = 100
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    patience: Positive | None = None


class _AutoencoderConfig(Strict):
    """What all autoencoders share.

    Args:
        latent_channels: Channels of a latent.
        channel_weights: Weight of channels in the loss, by name; others have 1.
        level_weighting: `pressure` weighs upper-air channels in proportion to their pressure.
        latent_noise: Standard deviation of the noise that training adds to latents.
        training: How weights move.
    """

    latent_channels: Positive
    channel_weights: dict[str, float] = Field(default_factory=dict)
    level_weighting: Literal["equal", "pressure"] = "equal"
    latent_noise: float = Field(default=0.0, ge=0)
    training: TrainingConfig


class PatchAutoencoderConfig(_AutoencoderConfig):
    """A linear map of patches by latitude row, and a small convolutional network."""

    kind: Literal["patch"]
    patch: Positive
    hidden_channels: Positive
    blocks: Positive
    initial_states: Positive = 2000


class ConvolutionalAutoencoderConfig(_AutoencoderConfig):
    """A pyramid of residual convolutions, as published (v3); see `nn.published_autoencoder`.

    Args:
        hidden_channels: Channels at each level, finest first; every level halves the grid.
        hidden_blocks: Residual blocks at each level.
        expansion: Channels within a residual block over those that enter it.
        saturation_bound: Latents stay within plus or minus this.
        dropout: Rate in the residual blocks.
    """

    kind: Literal["convolutional"]
    hidden_channels: tuple[Positive, ...]
    hidden_blocks: tuple[Positive, ...]
    expansion: Positive = 1
    saturation_bound: float = Field(default=5.0, gt=0)
    dropout: Share = 0.0

    @model_validator(mode="after")
    def _levels(self) -> ConvolutionalAutoencoderConfig:
        if len(self.hidden_channels) != len(self.hidden_blocks):
            raise ValueError("hidden_channels and hidden_blocks must name the same levels")
        return self


AutoencoderConfig = Annotated[
    PatchAutoencoderConfig | ConvolutionalAutoencoderConfig, Field(discriminator="kind")
]


class MaskConfig(Strict):
    """How often which states of a training blanket are given; what remains has none.

    Args:
        leading: Share of blankets whose first n states are given, by n.
        scattered: Share of blankets with states given here and there.
        scattered_share: Share of states given in these.
        noise: Largest standard deviation of noise that given states carry, in units of that of
            latents; the network is told. Half of the blankets carry none.
    """

    leading: dict[int, Share]
    scattered: Share
    scattered_share: Share = 0.3
    noise: Share = 0.0

    @model_validator(mode="after")
    def _at_most_one(self) -> MaskConfig:
        if sum(self.leading.values()) + self.scattered > 1 + 1e-9:
            raise ValueError("shares of leading and scattered masks exceed 1")
        return self


class _DenoiserConfig(Strict):
    """What all denoisers share.

    Args:
        states: States K of a blanket.
        time_patch: Consecutive states that share a token.
        width: Features of a token.
        depth: Blocks.
        heads: Attention heads.
        expansion: Width of the feed-forward network over that of the token.
        noise_features: Features of the noise-level embedding.
        noise_mean: Mean of ln sigma in training.
        noise_scale: Scale of ln sigma, which is logistic.
        variance_weighting: Latent channels count by their variance to this power.
        masks: Which states are given how often.
        training: How weights move.
    """

    states: Positive
    time_patch: Positive
    width: Positive
    depth: Positive
    heads: Positive
    expansion: Positive = 4
    noise_features: Positive = 64
    noise_mean: float = 0.6
    noise_scale: float = Field(default=1.0, gt=0)
    variance_weighting: Share = 1.0
    masks: MaskConfig
    training: TrainingConfig


class LinearPathDenoiserConfig(_DenoiserConfig):
    """A transformer with local mixing and a linear path from input to output."""

    kind: Literal["linear-path"]
    skip_kernel: Literal[1, 3] = 1


class DiffusionTransformerConfig(_DenoiserConfig):
    """The space-time diffusion transformer, as published (v3); see `nn.published_transformer`.

    Args:
        tells_known: A channel tells which states are given. The published network has none: its
            masks must be empty, and known states reach it as observations.
        dropout: Rate in the feed-forward networks.
    """

    kind: Literal["diffusion-transformer"]
    tells_known: bool = True
    dropout: Share = 0.0

    @model_validator(mode="after")
    def _masks_are_told(self) -> DiffusionTransformerConfig:
        if not self.tells_known and (self.masks.leading or self.masks.scattered):
            raise ValueError("masks must be empty where tells_known is false")
        return self


DenoiserConfig = Annotated[
    LinearPathDenoiserConfig | DiffusionTransformerConfig, Field(discriminator="kind")
]
