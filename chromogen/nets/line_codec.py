"""Line maps to vectors and back: encoder and decoder of an adversarial autoencoder, and the critic of its vectors."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.nets.blocks import started
from chromogen.tensors import full_precision

Latents = Float[Tensor, "batch latents"]
MOST_HALVINGS = 6
LEAST_SIDE, MOST_SIDE = 4, 16


def halvings(size_px: int) -> int:
    """How often maps of `size_px` are halved: down to a side of 4-7 where its factors of two allow, at most six times.

    512 ends at 8, 256 at 4, 240 at 15. ValueError where more than 16 would remain: its linear layers would be enormous.
    """
    side, count = size_px, 0
    while count < MOST_HALVINGS and side % 2 == 0 and side // 2 >= LEAST_SIDE:
        side, count = side // 2, count + 1
    if not LEAST_SIDE <= side <= MOST_SIDE:
        near = 2 ** max(4, min(10, round(math.log2(max(size_px, 1)))))
        raise ValueError(f"line maps of {size_px} px cannot be halved down to 4-16 px; use a size such as {near} px")
    return count


class LineEncoder(nn.Module):
    """A line map (N, 1, S, S) to mean and log variance of its latent vector, both (N, latents).

    Convolutions with instance norm and ReLU, halving by strides (at 512 px the eleven of the public constants), then one linear
    layer each. The log variance starts near 0 and is kept in [-10, 10], where its exponential is harmless.
    """

    def __init__(self, size_px: int, latents: int, width: int = 64) -> None:
        super().__init__()
        count = halvings(size_px)
        self.size_px, self.latents = size_px, latents
        wide = [width, width, 4 * width, 4 * width, 8 * width, 8 * width]
        before = [0, 0, 2 * width, 4 * width, 4 * width, 8 * width]  # a convolution at full size in front of the halving
        layers, seen = [], 1
        for number, (channels, extra) in enumerate(zip(wide[:count], before[:count], strict=True)):
            if extra:
                layers += _layer(seen, extra)
                seen = extra
            layers += _layer(seen, channels, kernel=5 if number < 2 else 3, stride=2)
            seen = channels
        self.look = nn.Sequential(*layers, *_layer(seen, 2 * width))
        started(self, "instance")
        read = 2 * width * (size_px // 2**count) ** 2
        self.mean, self.logvar = _linear(read, latents), _linear(read, latents, 0.1)

    def forward(self, lines: Float[Tensor, "n 1 s s"]) -> tuple[Latents, Latents]:
        if tuple(lines.shape[-2:]) != (self.size_px, self.size_px):
            raise ValueError(f"expected line maps of {self.size_px} px, got {lines.shape[-2]}x{lines.shape[-1]}; use `resized`")
        seen = self.look(lines).flatten(1)
        return self.mean(seen).float(), self.logvar(seen).float().clamp(-10, 10)


class LineDecoder(nn.Module):
    """A latent vector to a line map (N, 1, S, S) of probabilities: two linear layers, then doublings; no copies across.

    Nothing stands between the two linear layers in the source either. Its `latents` says how long a vector is. One that is
    `fitted` also knows where vectors lie: mean and covariance of those that `observe` was told of, at first normal ones.
    """

    mean: Float[Tensor, " latents"]
    covariance: Float[Tensor, "latents latents"]

    def __init__(self, size_px: int, latents: int, width: int = 64, fitted: bool = False) -> None:
        super().__init__()
        count = halvings(size_px)
        self.size_px, self.latents = size_px, latents
        self.side, first = size_px // 2**count, 64
        layers, seen = _layer(first, 8 * width), 8 * width
        for channels in [4 * width, 4 * width, 2 * width, 2 * width, width, width][MOST_HALVINGS - count :]:
            layers += [nn.Upsample(scale_factor=2), *_layer(seen, channels), *_layer(channels, channels)]
            seen = channels
        self.draw = nn.Sequential(*layers, nn.Conv2d(seen, 1, 3, padding=1))
        started(self, "instance")
        self.spread = nn.Sequential(_linear(latents, latents), _linear(latents, first * self.side**2))
        self.fitted = fitted
        if fitted:
            self.register_buffer("mean", torch.zeros(latents))
            self.register_buffer("covariance", torch.eye(latents))

    def forward(self, latent: Latents) -> Float[Tensor, "n 1 s s"]:
        return torch.sigmoid(self.draw(self.spread(latent).unflatten(1, (-1, self.side, self.side))).float())

    @torch.no_grad()
    def observe(self, encoded: Latents, share: float = 0.02) -> None:
        """Move mean and covariance by `share` towards those of a batch of encoded vectors."""
        with full_precision(encoded):
            off = encoded.float() - self.mean
            self.mean.lerp_(encoded.float().mean(dim=0), share)
            self.covariance.lerp_(off.T @ off / len(off), share)

    def of_normal(self, normal: Latents) -> Float[Tensor, "n 1 s s"]:
        """What it draws of normally distributed vectors; if fitted, moved to the mean and covariance of those observed."""
        return self(self.where_vectors_lie(normal) if self.fitted else normal)

    def where_vectors_lie(self, normal: Latents) -> Latents:
        """Normally distributed vectors as vectors with the mean and covariance of those observed."""
        with full_precision(normal):
            return self.mean + normal.float() @ torch.linalg.cholesky(self.covariance).T


class LatentCritic(nn.Module):
    """Whether a vector was drawn from a normal distribution (1) or encoded (0); no sigmoid.

    kind "mlp": two hidden layers of `width`, LeakyReLU. "conv": the vector as a square picture under six convolutions, as in
    the source; `latents` must then be the square of an even number. A vector has no neighbourhoods, so "mlp" is the sounder.
    """

    def __init__(self, latents: int, width: int = 512, kind: Literal["mlp", "conv"] = "mlp") -> None:
        super().__init__()
        self.side = 0
        if kind == "mlp":
            hidden = [nn.Linear(latents, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2)]
            self.look = nn.Sequential(*hidden, nn.Linear(width, 1))
            return
        self.side = math.isqrt(latents)
        if self.side**2 != latents or self.side % 2 or self.side < LEAST_SIDE:
            raise ValueError(f"{latents} latents are not the square of an even number, as critic kind 'conv' needs; use 1024")
        self.look = nn.Sequential(
            *_layer(1, 2 * width, kernel=7),
            *_layer(2 * width, 2 * width, kernel=7),
            *_layer(2 * width, 2 * width, kernel=5),
            *_layer(2 * width, 4 * width, kernel=5, stride=2),
            *_layer(4 * width, 4 * width),
            nn.Conv2d(4 * width, 1, 3, padding=1),
        )
        started(self, "instance")

    def forward(self, latent: Latents) -> Float[Tensor, "n ..."]:
        return self.look(latent.unflatten(1, (1, self.side, self.side)) if self.side else latent).float()


def resized(lines: Float[Tensor, "n 1 h w"], height: int, width: int) -> Float[Tensor, "n 1 height width"]:
    """Line maps at another size, each pixel the nearest one's."""
    return lines if lines.shape[-2:] == (height, width) else F.interpolate(lines, (height, width), mode="nearest-exact")


def _layer(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    return [convolution, nn.InstanceNorm2d(c_out, affine=True), nn.ReLU()]


def _linear(c_in: int, c_out: int, scale: float = 1.0) -> nn.Linear:
    """A linear layer that keeps the size of what it sees, times `scale`; biases 0."""
    layer = nn.Linear(c_in, c_out)
    nn.init.normal_(layer.weight, 0.0, scale / math.sqrt(c_in))
    nn.init.zeros_(layer.bias)
    return layer
