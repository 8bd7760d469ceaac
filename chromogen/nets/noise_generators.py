"""Networks from noise to images, and their critics: strided convolutions (Radford et al., ICLR 2016, arXiv:1511.06434)."""

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.nets.blocks import Norm, norm_layer, started

FIRST_PX = 4
CriticNorm = Literal["batch", "layer", "none"]
Latents = Float[Tensor, "batch latents"]


def doublings(size_px: int) -> int:
    """How often 4 px must double to become `size_px`: a power of two from 16 to 1024, or a ValueError."""
    if not 16 <= size_px <= 1024 or size_px & (size_px - 1):
        raise ValueError(f"images from noise have a side of 16, 32, 64, 128, 256, 512 or 1024 px, got {size_px}")
    return (size_px // FIRST_PX).bit_length() - 1


class NoiseGenerator(nn.Sequential):
    """A vector becomes 4x4 px and doubles its side until `size_px`, by transposed 4x4 convolutions; planes in [0, 1].

    Channels halve towards the image, down to `width`; no more than 8 times that at 4 px. Behind every convolution but the last
    stand batch norm and ReLU. At 64 px and width 128 it is the generator of the paper's figure 1, which ends in tanh: the
    same function, stretched to [0, 1].
    """

    def __init__(self, latents: int, planes: int, size_px: int, width: int = 128) -> None:
        steps = doublings(size_px)
        channels = [width * min(2**scale, 8) for scale in reversed(range(steps))]
        layers: list[nn.Module] = [
            nn.Unflatten(1, (latents, 1, 1)),
            nn.ConvTranspose2d(latents, channels[0], FIRST_PX, bias=False),
        ]
        for c_in, c_out in pairwise(channels):
            layers += [nn.BatchNorm2d(c_in), nn.ReLU(), nn.ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, planes, 4, stride=2, padding=1)]
        super().__init__(*layers, UnitSigmoid())
        started(self, "batch")

    def forward(self, latents: Latents) -> Float[Tensor, "batch planes size size"]:
        return super().forward(latents)


class NoiseCritic(nn.Module):
    """An image's logit (or score, which has no range) and, with `classes`, the logits of its class.

    Strided 4x4 convolutions from `width` to at most 8 times as many channels until 4x4 px, leaky ReLU of slope 0.2, a norm
    behind all but the first; then one number for each answer. "layer" norms each image by itself, as a gradient penalty needs.
    Unit images are stretched to [-1, 1] first. `offset=False` is for scores of which only differences count: an offset would
    never learn.
    """

    def __init__(
        self,
        planes: int,
        size_px: int,
        width: int = 64,
        norm: CriticNorm = "batch",
        classes: int = 0,
        dropout: float = 0.0,
        offset: bool = True,
    ) -> None:
        super().__init__()
        channels = [planes, *(width * min(2**scale, 8) for scale in range(doublings(size_px)))]
        layers: list[nn.Module] = []
        for number, (c_in, c_out) in enumerate(pairwise(channels)):
            normed = norm != "none" and number > 0
            layers.append(nn.Conv2d(c_in, c_out, 4, stride=2, padding=1, bias=not (normed and norm == "batch")))
            layers += [_norm(norm, c_out)] if normed else []
            layers += [nn.LeakyReLU(0.2), *([nn.Dropout(dropout)] if dropout else [])]
        self.look = nn.Sequential(*layers)
        self.score = nn.Conv2d(channels[-1], 1, FIRST_PX, bias=offset)
        self.tell = nn.Conv2d(channels[-1], classes, FIRST_PX) if classes else None
        start: Norm = "none" if norm == "none" else "batch"
        started(self, start)

    def forward(self, images: Float[Tensor, "batch planes size size"]) -> tuple[Float[Tensor, " batch"], Tensor | None]:
        """One number an image, and (batch, classes) or None."""
        seen = self.look(2 * images - 1)
        told = None if self.tell is None else self.tell(seen).flatten(1).float()
        return self.score(seen).flatten().float(), told


class UnitSigmoid(nn.Module):
    """The logistic function in float32: in bfloat16 its slope is 0 where it says almost 1."""

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return torch.sigmoid(x.float())


def normal_latents(count: int, latents: int, generator: torch.Generator) -> Latents:
    """Standard normal vectors, drawn on the generator's own device: a CPU generator gives the same ones everywhere."""
    return torch.randn(count, latents, generator=generator, device=generator.device)


def _norm(norm: CriticNorm, channels: int) -> nn.Module:
    return nn.GroupNorm(1, channels) if norm == "layer" else norm_layer("batch", channels)
