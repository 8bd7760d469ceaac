"""Pieces that several networks share."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from chromogen.tensors import full_precision

Norm = Literal["batch", "instance", "none"]
Statistics = Literal["running", "image"]  # of batch norms in evaluation: those of the training, or of each image by itself
Padding = Literal["reflect", "zeros"]


def norm_layer(norm: Norm, channels: int, statistics: Statistics = "running") -> nn.Module:
    """Batch statistics (in evaluation those that `statistics` names), statistics of each image, or nothing."""
    if norm == "batch":
        return nn.BatchNorm2d(channels) if statistics == "running" else ImageStatisticsNorm(channels)
    if norm == "instance":
        return nn.InstanceNorm2d(channels)
    return nn.Identity()


def needs_bias(norm: Norm) -> bool:
    """A batch norm has its own shift; the others leave a convolution's bias in use."""
    return norm != "batch"


class ImageStatisticsNorm(nn.BatchNorm2d):
    """A batch norm that takes, in evaluation, mean and variance of each image: what a batch norm in training form does to one.

    Networks of pix2pix's code are scored in that form unless its test is told otherwise.
    """

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return super().forward(x) if self.training else F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


class ActiveDropout(nn.Dropout):
    """Dropout in evaluation too: noise as an input of the network (Isola et al., CVPR 2017, section 2.1)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, training=True)


def dropout_layers(share: float, active: bool = False) -> list[nn.Module]:
    """A dropout of that share, or nothing; an `active` one works in evaluation too."""
    return [ActiveDropout(share) if active else nn.Dropout(share)] if share else []


@contextmanager
def repeated_noise(device: torch.device) -> Iterator[None]:
    """A context in which PyTorch draws the same numbers every time; behind it, it goes on as if nothing had been drawn."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(0)
        if device.type == "cuda":
            torch.cuda.manual_seed(0)
        yield


class Tanh(nn.Module):
    """Hyperbolic tangent in float32: in bfloat16 its slope is exactly 0 beyond 0.996, and what saturates once never learns."""

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return torch.tanh(x.float())


class ResidualBlock(nn.Module):
    """x + conv-norm-ReLU-(dropout)-conv-norm(x), 3x3 with reflection padding (Johnson et al., ECCV 2016)."""

    def __init__(
        self,
        channels: int,
        norm: Norm,
        dropout: float = 0.0,
        statistics: Statistics = "running",
        active_dropout: bool = False,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=needs_bias(norm)),
            norm_layer(norm, channels, statistics),
            nn.ReLU(),
            *dropout_layers(dropout, active_dropout),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=needs_bias(norm)),
            norm_layer(norm, channels, statistics),
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


def without_idle_biases(network: nn.Module) -> nn.Module:
    """Take away each bias that an instance norm right behind subtracts again, and return `network`.

    Its gradient is 0 but for rounding, which Adam blows up to full steps: it would wander, and no two machines alike.
    """
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            for before, norm in pairwise(module):
                if isinstance(before, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.InstanceNorm2d):
                    before.bias = None
    return network


def xavier_started(network: nn.Module, gain: float = 0.02) -> nn.Module:
    """Draw the first weights as CUT does and return `network`: N(0, gain^2 2 / (fan in + fan out)), biases 0.

    Only for layers whose size is divided out behind them, by instance norms or unit vectors: the signal all but vanishes.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_normal_(module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def spectral_started(network: nn.Module) -> nn.Module:
    """Give every convolution spectral norm, from PyTorch's own first weights and biases of 0, and return `network`.

    Of a stored weight only the direction is used, but its size says how fast Adam turns it: hence no small start here.
    """
    for module in [*network.modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            if module.bias is not None:
                nn.init.zeros_(module.bias)
            outputs = 1 if isinstance(module, nn.ConvTranspose2d) else 0
            register_parametrization(module, "weight", SpectralNorm(module.weight, outputs))
    return network


class SpectralNorm(nn.Module):
    """A weight divided by its largest singular value, as a matrix of outputs by everything else (Miyato et al., ICLR 2018).

    The value is followed by one step of power iteration at every use in training; evaluation uses it as it stands. `outputs`
    is the dimension that counts output channels. The arithmetic is float32, also in autocast.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, outputs: int = 0) -> None:
        super().__init__()
        self.outputs = outputs
        matrix = self._matrix(weight.detach())
        self.register_buffer("u", F.normalize(torch.randn_like(matrix[:, 0]), dim=0))
        self.register_buffer("v", F.normalize(matrix.mT @ self.u, dim=0))
        for _ in range(0 if weight.is_meta else 15):  # where there are no values, only shapes are wanted: it would take seconds
            self._follow(matrix)

    def forward(self, weight: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        with full_precision(weight):
            matrix = self._matrix(weight.float())
            if self.training:
                self._follow(matrix.detach())
            # u'Wv as a plain sum: the last bits of a matrix product depend on where in memory its factors lie
            sigma = (matrix * torch.outer(self.u.float(), self.v.float())).sum()
            return (weight / sigma).to(weight.dtype)

    @torch.no_grad()
    def _follow(self, matrix: Float[Tensor, "outputs rest"]) -> None:
        self.u = F.normalize(matrix @ self.v, dim=0)
        self.v = F.normalize(matrix.mT @ self.u, dim=0)

    def _matrix(self, weight: Float[Tensor, "..."]) -> Float[Tensor, "outputs rest"]:
        return weight.transpose(0, self.outputs).flatten(1)


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
