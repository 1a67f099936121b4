"""A trained denoiser that is small enough to commit, for what exact ones cannot show.

`python -m tests.golden.small_denoiser` trains it again (a minute): a perceptron that learns to
denoise Gaussian AR(1) sequences of 16 values. Its Jacobian is neither symmetric nor positive.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

SIZE = 16
CORRELATION = 0.9
WEIGHTS = Path(__file__).parent / "small_denoiser.safetensors"


def covariance() -> torch.Tensor:
    """Covariance of the sequences, (16, 16) float64."""
    i = torch.arange(SIZE, dtype=torch.float64)
    return CORRELATION ** (i[:, None] - i[None]).abs()


class SmallDenoiser(nn.Module):
    """E[x | x_t] of sequences (N, 16), preconditioned as the real one."""

    def __init__(self, hidden: int = 128) -> None:
        super().__init__()
        self.embed = nn.Linear(SIZE + 8, hidden)
        self.mix = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, SIZE)

    def forward(self, x_t: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        s = sigma.reshape(-1, 1)
        scale = torch.rsqrt(1 + s**2)
        angle = s.log() * torch.tensor([0.1, 0.25, 0.5, 1.0]).to(x_t)
        features = torch.cat([x_t * scale, angle.sin(), angle.cos()], dim=1)
        hidden = F.silu(self.embed(features))
        hidden = hidden + F.silu(self.mix(hidden))
        return x_t * scale**2 + s * scale * self.out(hidden)


def load() -> SmallDenoiser:
    """The committed network, frozen."""
    network = SmallDenoiser()
    network.load_state_dict({k: v.float() for k, v in load_file(WEIGHTS).items()})
    return network.requires_grad_(requires_grad=False)


def train(iterations: int = 6000) -> SmallDenoiser:
    """Denoising score matching."""
    torch.manual_seed(0)  # noqa: TID251 - what nn.Linear draws from
    generator = torch.Generator().manual_seed(0)
    factor = torch.linalg.cholesky(covariance()).float()
    network = SmallDenoiser()
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations)
    for _ in range(iterations):
        x = torch.randn(1024, SIZE, generator=generator) @ factor.T
        share = torch.rand(1024, generator=generator).clamp(1e-3, 1 - 1e-3)
        sigma = (1.5 * torch.logit(share)).exp()
        x_t = x + sigma[:, None] * torch.randn(1024, SIZE, generator=generator)
        weight = 1 / sigma**2 + 1
        loss = ((network(x_t, sigma) - x).square() * weight[:, None]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
    return network


if __name__ == "__main__":
    trained = train().state_dict()
    save_file({k: v.half().contiguous() for k, v in trained.items()}, WEIGHTS)
