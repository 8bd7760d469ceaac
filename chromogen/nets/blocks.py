"""Pieces that several networks share."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Norm = Literal["batch", "instance", "none"]


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Batch statistics (running ones in evaluation), statistics of each image, or nothing."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "instance":
        return nn.InstanceNorm2d(channels)
    return nn.Identity()


def needs_bias(norm: Norm) -> bool:
    """A batch norm has its own shift; the others leave a convolution's bias in use."""
    return norm != "batch"


class Tanh(nn.Module):
    """Hyperbolic tangent in float32: in bfloat16 its slope is exactly 0 beyond 0.996, and what saturates once never learns."""

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return torch.tanh(x.float())


class ResidualBlock(nn.Module):
    """x + conv-norm-ReLU-(dropout)-conv-norm(x), 3x3 with reflection padding (Johnson et al., ECCV 2016)."""

    def __init__(self, channels: int, norm: Norm, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=needs_bias(norm)),
            norm_layer(norm, channels),
            nn.ReLU(),
            *([nn.Dropout(dropout)] if dropout else []),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=needs_bias(norm)),
            norm_layer(norm, channels),
        )

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return x + self.body(x)


def started(network: nn.Module, norm: Norm) -> nn.Module:
    """Draw the first weights and return `network`: as pix2pix does, or so that the signal keeps its size without norms.

    With norms: weights from N(0, 0.02), batch-norm gains from N(1, 0.02), biases 0. Without: He et al. (ICCV 2015) weights;
    residual branches and the last convolution begin at a tenth of that, because nothing else holds their sum, and a tanh that
    begins saturated may never learn.
    """
    if norm != "none":
        return _start_small(network, 0.02)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    with torch.no_grad():
        bodies = [module.body for module in network.modules() if isinstance(module, ResidualBlock)]
        for part in [*bodies, network]:
            convolutions = [m for m in part.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
            convolutions[-1].weight.mul_(0.1)
    return network


def _start_small(network: nn.Module, spread: float) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, spread)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, spread)
            nn.init.zeros_(module.bias)
    return network
