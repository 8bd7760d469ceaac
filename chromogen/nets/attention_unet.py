"""A U-Net that looks at the whole image: attention on its skip connections, or in the middle of its encoder and decoder.

Stages are 3x3 convolutions, each followed by ReLU and then norm; the encoder halves by pooling, so that its first skip stands
at half the size. Channels double from `width` at each halving.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.nets.blocks import Norm, Tanh, norm_layer
from chromogen.nets.performer import FavorAttention, feature_map, tokens
from chromogen.tensors import SignedImages

KEY_DIVISORS = (64, 8, 16, 64)  # of the deployed network: last two stages down, first two up


class AttentionUNet(nn.Module):
    """Signed RGB in and out; sizes are multiples of 2 ** (number of encoder stages).

    `bridges` stand between an encoder stage and its skip, the last one between encoder and decoder.
    """

    def __init__(
        self, encoder: Sequence[nn.Module], bridges: Sequence[nn.Module], decoder: Sequence[nn.Module], out: nn.Module
    ) -> None:
        super().__init__()
        self.encoder, self.bridges, self.decoder = nn.ModuleList(encoder), nn.ModuleList(bridges), nn.ModuleList(decoder)
        self.out = out

    def forward(self, x: SignedImages) -> SignedImages:
        skips: list[Tensor] = []
        for stage, bridge in zip(self.encoder, self.bridges, strict=True):
            x = stage(x)
            skips.append(bridge(x))
        x = skips.pop()
        for stage in self.decoder:
            x = torch.cat([stage(x), skips.pop()], dim=1)
        return self.out(x)


def performer_unet(
    width: int = 64,
    depth: int = 4,
    heads: int = 2,
    features: int = 256,
    redraw: int = 1000,
    gated: bool = False,
    norm: Norm = "batch",
) -> AttentionUNet:
    """The generator of the report: a residual attention block by FAVOR+ on every skip and at the bottom; tanh at the end."""
    channels = [width * 2**scale for scale in range(depth)]
    blocks = [Residual(FavorAttention(c, heads, features, redraw), gated) for c in channels]
    out = nn.Sequential(*_end(channels), Tanh())
    return AttentionUNet(_contracting(channels, norm), blocks, _expanding(channels, norm), out)


def deployed_unet(width: int = 64, depth: int = 5, heads: int = 2, norm: Norm = "batch") -> AttentionUNet:
    """The network of the authors' web page: softmax attention in the last two stages down and the first two up.

    It sees and makes images in [0, 1] with nothing to hold its output there: a signed one may leave [-1, 1]. With the default
    arguments it has 36,601,607 parameters, as the published weights do. `depth` is at least 3.
    """
    channels = [width * 2**scale for scale in range(depth)]
    encoder, decoder = _contracting(channels, norm), _expanding(channels, norm)
    sites = ((encoder, depth - 2), (encoder, depth - 1), (decoder, 0), (decoder, 1))
    made = (channels[-2], channels[-1], channels[-2], channels[-3])
    for (stages, place), c, divisor in zip(sites, made, KEY_DIVISORS, strict=True):
        stages[place] = nn.Sequential(stages[place], Residual(SoftmaxAttention(c, heads, divisor), gated=True))
    encoder[0] = nn.Sequential(UnitFromSigned(), encoder[0])
    out = nn.Sequential(*_end(channels), SignedFromUnit())
    return AttentionUNet(encoder, [nn.Identity() for _ in channels], decoder, out)


class Residual(nn.Module):
    """x + body(x), or x + g body(x) with a learned number g that begins at 0."""

    def __init__(self, body: nn.Module, gated: bool = False) -> None:
        super().__init__()
        self.body = body
        self.gate = nn.Parameter(torch.zeros(1)) if gated else None

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return x + (self.body(x) if self.gate is None else self.gate * self.body(x))


class SoftmaxAttention(nn.Module):
    """Multi-head self-attention over all places, with fewer channels in queries and keys than in values.

    Logits are divided by the root of a head's share of the input channels, as in the deployed network, not of the key's.
    """

    def __init__(self, channels: int, heads: int, key_divisor: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (channels / heads) ** -0.5
        inner, narrow = (heads * max(1, channels // divisor // heads) for divisor in (1, key_divisor))
        self.query, self.key = (nn.Conv2d(channels, narrow, 1, bias=False) for _ in range(2))
        self.value, self.out = nn.Conv2d(channels, inner, 1, bias=False), nn.Conv2d(inner, channels, 1)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        query, key, value = (tokens(part(x), self.heads) for part in (self.query, self.key, self.value))
        missing = value.shape[-1] - key.shape[-1]
        query, key = F.pad(query, (0, missing)), F.pad(key, (0, missing))  # fast kernels, and flat memory, ask for equal widths
        attended = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        return self.out(feature_map(attended, *x.shape[-2:]))


class UnitFromSigned(nn.Module):
    """[-1, 1] to [0, 1]."""

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return (x + 1) / 2


class SignedFromUnit(nn.Module):
    """[0, 1] to [-1, 1], float32."""

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return x.float() * 2 - 1


def _contracting(channels: Sequence[int], norm: Norm) -> list[nn.Module]:
    pairs = pairwise([3, *channels])
    return [nn.Sequential(*_convolved(a, b, norm), *_convolved(b, b, norm), nn.MaxPool2d(2)) for a, b in pairs]


def _expanding(channels: Sequence[int], norm: Norm) -> list[nn.Module]:
    """All but the last step up; each but the first reads its predecessor beside a skip."""
    stages: list[nn.Module] = []
    for number, (below, here) in enumerate(pairwise(reversed(channels))):
        up = nn.ConvTranspose2d(below * (2 if number else 1), here, 3, stride=2, padding=1, output_padding=1)
        block = [up, nn.ReLU(), norm_layer(norm, here), *_convolved(here, here, norm), *_convolved(here, here, norm)]
        stages.append(nn.Sequential(*block))
    return stages


def _end(channels: Sequence[int]) -> list[nn.Module]:
    width = channels[0]
    inputs = width * (2 if len(channels) > 1 else 1)
    up = nn.ConvTranspose2d(inputs, width, 3, stride=2, padding=1, output_padding=1)
    return [up, nn.Conv2d(width, 3, 3, padding=1)]


def _convolved(inputs: int, outputs: int, norm: Norm) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), norm_layer(norm, outputs)]
