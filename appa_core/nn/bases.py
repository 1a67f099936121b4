"""What every autoencoder and every denoiser's network offers, whatever its architecture."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Network(nn.Module, ABC):
    """A network whose repeated parts are known."""

    @property
    @abstractmethod
    def units(self) -> list[nn.Module]:
        """The repeated blocks: what is sharded over processes, or recomputed, one by one."""


class Autoencoder(Network):
    """Between standardised states and latents."""

    @property
    @abstractmethod
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns) of a latent."""

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Standardised states (..., C, H, W) to latents (..., c, h, w)."""

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """Latents (..., c, h, w) to standardised states (..., C, H, W)."""

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Reconstruct standardised states (..., C, H, W), with noise on their latents if given."""
        z = self.encode(x)
        return self.decode(z if noise is None else z + noise)


class BlanketBackbone(Network):
    """The raw network of a denoiser; see `appa_core.diffusion.denoiser.Denoiser`."""

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor, c_noise: Tensor) -> Tensor:
        """Raw network output.

        Args:
            x: Scaled latents, noisy or known (B, K, c, h, w).
            context: Date (4 channels), then 1 for known states: (B, K, 5, h, w).
            c_noise: Noise level as the network sees it, (B,).

        Returns:
            (B, K, c, h, w).
        """
