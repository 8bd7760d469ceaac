"""The generator of team Just4Fun: a style read off the H&E, which also grades it, modulates every residual block.

Zhu et al., "Breast Cancer Immunohistochemical Image Generation", 2023, arXiv:2305.03546, section "Just4Fun" and figure 7.
"""

import math
from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.nets.blocks import Padding, Tanh, norm_layer
from chromogen.tensors import SignedImages

Modulation = Literal["weights", "adain"]
Features = Float[Tensor, "n c h w"]
Style = Float[Tensor, "n style"]
LEVELS = 4  # HER2 0, 1+, 2+, 3+
SLOPE = 0.2  # of the leaky ReLUs


class ModulatedConv(nn.Module):
    """3x3 convolution whose weights the style scales by input channel and then norms by output channel, image by image.

    w'_oik = w_oik s_i / sqrt(sum over i, k of (w_oik s_i)^2 + 1e-8), s = 1 + linear(style) (Karras et al., "StyleGAN2", CVPR
    2020, equations 1 and 3). Scaling the input by s and the output by the root does the same with one kernel for all images.
    The size of the weights cancels; only their ratios matter. There is no bias.
    """

    def __init__(self, style_channels: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.scale = nn.Linear(style_channels, inputs)
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect", bias=False)

    def forward(self, x: Features, style: Style) -> Features:
        scale = 1 + self.scale(style)
        power = self.conv.weight.float().square().sum(dim=(2, 3))
        gain = torch.rsqrt((scale.float().square()[:, None, :] * power).sum(dim=2) + 1e-8)  # a matmul would be bfloat16
        made = self.conv(x * scale[:, :, None, None].to(x.dtype))
        return made * gain[:, :, None, None].to(made.dtype)


class AdaptiveNorm(nn.Module):
    """AdaIN: (1 + scale) (x - mean) / std + shift over each map; scale and shift are linear in the style.

    Huang & Belongie, ICCV 2017, equation 8, where mean and std of a style image stand in their place.
    """

    def __init__(self, style_channels: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(style_channels, 2 * channels)

    def forward(self, x: Features, style: Style) -> Features:
        scale, shift = self.linear(style)[:, :, None, None].chunk(2, dim=1)
        return (1 + scale) * F.instance_norm(x) + shift


class SimAM(nn.Module):
    """x sigmoid(1 / energy) with 1 / energy = (x - mean)^2 / (4 (variance + slack)) + 1/2 over each map; no parameters.

    Yang et al., "SimAM", ICML 2021, the least energy of equation 5: what stands out from its map is kept, the rest is damped
    to 0.62. The variance divides by the number of pixels less one.
    """

    def __init__(self, slack: float = 1e-4) -> None:
        super().__init__()
        self.slack = slack

    def forward(self, x: Features) -> Features:
        square = (x.float() - x.float().mean(dim=(2, 3), keepdim=True)).square()
        variance = square.sum(dim=(2, 3), keepdim=True) / max(1, square.shape[2] * square.shape[3] - 1)
        gate = torch.sigmoid(square / (4 * (variance + self.slack)) + 0.5)
        return x * gate.to(x.dtype)


class StyledBlock(nn.Module):
    """(x + body(x, style)) / sqrt 2: two convolutions under the style, each with a leaky ReLU, and SimAM if `attention`.

    As in the authors' code, SimAM stands last with modulated weights and before the second norm with AdaIN; and convolutions
    mirror their borders with modulated weights, and pad with zeros with AdaIN.
    """

    def __init__(self, style_channels: int, channels: int, modulation: Modulation, attention: bool) -> None:
        super().__init__()
        self.modulation = modulation
        self.simam = SimAM() if attention else nn.Identity()
        if modulation == "weights":
            self.convs = nn.ModuleList([ModulatedConv(style_channels, channels, channels) for _ in range(2)])
        else:
            self.convs = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2)])
            self.norms = nn.ModuleList([AdaptiveNorm(style_channels, channels) for _ in range(2)])

    def forward(self, x: Features, style: Style) -> Features:
        if self.modulation == "weights":
            y = F.leaky_relu(self.convs[0](x, style), SLOPE)
            y = self.simam(F.leaky_relu(self.convs[1](y, style), SLOPE))
        else:
            y = F.leaky_relu(self.norms[0](self.convs[0](x), style), SLOPE)
            y = F.leaky_relu(self.norms[1](self.simam(self.convs[1](y)), style), SLOPE)
        return (x + y) / math.sqrt(2)


class StyledGenerator(nn.Module):
    """H&E to (stained image, the same at 1/8 of the size, logits of the HER2 level), by a style of 8 x `width` numbers.

    Encoder: 7x7, then three strided convolutions. Style encoder: `style_layers` more and the mean over the image; a linear
    head grades the style. Decoder: `blocks` blocks under the style, then three transposed convolutions and 7x7. Batch norm
    outside the blocks. As published (width 32, 9 blocks, 4 style layers: 1024 px become 8x8) it has 14.955 M parameters.
    Sizes are multiples of 8 px, from 16 px: the style encoder rounds up. `style_padding` is what lies around its images.
    """

    def __init__(
        self,
        width: int = 32,
        blocks: int = 9,
        style_layers: int = 4,
        modulation: Modulation = "weights",
        attention: bool = True,
        dropout: float = 0.2,
        style_padding: Padding = "zeros",
    ) -> None:
        super().__init__()
        c = 8 * width
        self.encoder = nn.Sequential(
            *_stepped(nn.Conv2d(3, width, 7, padding=3, padding_mode="reflect", bias=False)),
            *_chained(halving(inputs, 2 * inputs, padding="reflect") for inputs in (width, 2 * width, 4 * width)),
        )
        self.style_encoder = nn.Sequential(
            *_chained(halving(c, c, padding=style_padding) for _ in range(style_layers)), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.grade = nn.Sequential(nn.Dropout(dropout), nn.Linear(c, LEVELS))
        self.blocks = nn.ModuleList([StyledBlock(c, c, modulation, attention) for _ in range(blocks)])
        self.low = nn.Sequential(nn.Conv2d(c, 3, 3, padding=1, padding_mode="reflect"), Tanh())
        self.decoder = nn.Sequential(
            *_chained(
                _stepped(nn.ConvTranspose2d(2 * half, half, 3, stride=2, padding=1, output_padding=1, bias=False))
                for half in (4 * width, 2 * width, width)
            ),
            nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect"),
            Tanh(),
        )

    def forward(self, source: SignedImages) -> tuple[SignedImages, Float[Tensor, "n 3 h8 w8"], Float[Tensor, "n levels"]]:
        x = self.encoder(source)
        style = self.style_encoder(x)
        for block in self.blocks:
            x = block(x, style)
        return self.decoder(x), self.low(x), self.grade(style)

    @staticmethod
    def reach_px(blocks: int) -> int:
        """How far from an output pixel an input pixel can still matter, apart from the style and SimAM, which see all."""
        encoder = decoder = 3 + 1 + 2 + 4
        return encoder + 16 * blocks + decoder


class MirroredConv2d(nn.Conv2d):
    """A convolution that mirrors its borders as far as there is something to mirror: a line of one pixel is repeated."""

    def forward(self, x: Features) -> Features:
        rows, columns = self.padding if isinstance(self.padding, tuple) else (0, 0)
        for sides, length, at_most in (((columns, columns, 0, 0), x.shape[3], columns), ((0, 0, rows, rows), x.shape[2], rows)):
            x = F.pad(x, sides, mode="reflect" if length > at_most else "replicate")
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def halving(inputs: int, outputs: int, kernel_px: int = 3, padding: Padding = "zeros") -> list[nn.Module]:
    """A strided convolution, batch norm and a leaky ReLU."""
    kind = MirroredConv2d if padding == "reflect" else nn.Conv2d
    return _stepped(kind(inputs, outputs, kernel_px, stride=2, padding=kernel_px // 2, bias=False))


def _stepped(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [convolution, norm_layer("batch", convolution.out_channels), nn.LeakyReLU(SLOPE)]


def _chained(parts: Iterable[list[nn.Module]]) -> list[nn.Module]:
    return [layer for part in parts for layer in part]
