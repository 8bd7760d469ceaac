"""Image-to-image networks: signed RGB in, signed RGB out, the same size."""

from itertools import pairwise
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.nets.antialias import BlurUp, Downsampling, blurs
from chromogen.nets.blocks import Norm, Padding, ResidualBlock, Statistics, Tanh, dropout_layers, needs_bias, norm_layer
from chromogen.tensors import SignedImages

Upsampling = Literal["transposed", "bilinear"]
Taps = tuple[int, ...]  # how many layers have run


class ResnetGenerator(nn.Sequential):
    """Two strided convolutions down, residual blocks at a quarter of the size, two steps up (Johnson et al., ECCV 2016).

    Sizes must be multiples of 4. With 9 blocks and 64 filters it has 11.383 M parameters. `upsampling="transposed"` is the
    published form; "bilinear" (resize, then convolve) cannot leave a checkerboard (Odena et al., Distill 2016).
    `downsampling="blurred"` convolves at full size and then blurs away what half the size cannot hold. CUT has both.
    `upsampled_padding` is of the convolutions behind "bilinear" steps. `statistics` and `active_dropout` say what evaluation
    does: `blocks.norm_layer`, `blocks.ActiveDropout`.
    """

    def __init__(
        self,
        width: int = 64,
        blocks: int = 9,
        norm: Norm = "batch",
        dropout: float = 0.0,
        upsampling: Upsampling = "transposed",
        downsampling: Downsampling = "strided",
        upsampled_padding: Padding = "reflect",
        statistics: Statistics = "running",
        active_dropout: bool = False,
    ) -> None:
        bias = needs_bias(norm)
        stride = 2 if downsampling == "strided" else 1
        layers: list[nn.Module] = [*_edge(3, width, bias), norm_layer(norm, width, statistics), nn.ReLU()]
        for c in (width, 2 * width):
            convolution = nn.Conv2d(c, 2 * c, 3, stride=stride, padding=1, bias=bias)
            layers += [convolution, norm_layer(norm, 2 * c, statistics), nn.ReLU(), *blurs(downsampling)]
        layers += [ResidualBlock(4 * width, norm, dropout, statistics, active_dropout) for _ in range(blocks)]
        for c in (4 * width, 2 * width):
            layers += _upsampled(c, c // 2, bias, upsampling, upsampled_padding)
            layers += [norm_layer(norm, c // 2, statistics), nn.ReLU()]
        super().__init__(*layers, *_edge(width, 3, bias=True), Tanh())

    def forward(self, x: SignedImages, taps: Taps = (), whole: bool = True) -> Any:
        """The image; with `taps` (ascending) also the features behind that many layers, 0 being `x`: (image, features).

        With `whole=False` the features alone, as `features` gives them: layers behind the last tap do not run.
        """
        if not taps:
            return super().forward(x)
        features = [x] if taps[0] == 0 else []
        for number, layer in enumerate([*self] if whole else [*self][: taps[-1]], start=1):
            x = layer(x)
            if number in taps:
                features.append(x)
        return (x, features) if whole else features

    def features(self, x: SignedImages, taps: Taps) -> list[Float[Tensor, "n _c _h _w"]]:
        """What `x` has become behind each number of layers in `taps` (ascending, 0: `x` itself)."""
        found: list[Tensor] = self(x, taps, whole=False)
        return found

    @property
    def contrast_taps(self) -> Taps:
        """Where CUT compares patches: the image, both down-sampling convolutions, the first and the fifth (or last) block.

        With blurred down-sampling these are 0, 4, 8, 12 and 16, the numbers that CUT's option has.
        """
        convolutions = [number for number, layer in enumerate(self, start=1) if isinstance(layer, nn.Conv2d)]
        blocks = [number for number, layer in enumerate(self, start=1) if isinstance(layer, ResidualBlock)]
        return 0, *convolutions[1:3], *sorted({*blocks[:1], *blocks[:5][-1:]})

    def channels(self, taps: Taps) -> list[int]:
        """How many channels the features of `taps` have."""
        counts = [3]
        for layer in self:
            counts.append(layer.out_channels if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) else counts[-1])
        return [counts[tap] for tap in taps]

    @staticmethod
    def reach_px(blocks: int, downsampling: Downsampling = "strided") -> int:
        """How far from an output pixel an input pixel can still matter: half the receptive field, rounded up."""
        blurred = 1 + 2 if downsampling == "blurred" else 0
        return 3 + 1 + 2 + blurred + 4 * 2 * blocks + 9 + 3


def _edge(inputs: int, outputs: int, bias: bool) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 7, padding=3, padding_mode="reflect", bias=bias)]


def _upsampled(inputs: int, outputs: int, bias: bool, upsampling: Upsampling, padding: Padding) -> list[nn.Module]:
    if upsampling == "transposed":
        return [nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1, bias=bias)]
    return [
        BlurUp(),
        nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode=padding, bias=bias),
    ]


class UNetGenerator(nn.Module):
    """Encoder and decoder joined at every scale, 4x4 strided convolutions (Isola et al., CVPR 2017, appendix 6.1.1).

    Sizes must be multiples of 2 ** depth. With depth 8 and 64 filters it has 54.414 M parameters. Dropout stands in the
    decoder steps of full width between the innermost and the first narrower one: three of them at depth 8. `statistics` and
    `active_dropout` say what evaluation does: `blocks.norm_layer`, `blocks.ActiveDropout`.
    """

    def __init__(
        self,
        width: int = 64,
        depth: int = 8,
        norm: Norm = "batch",
        dropout: float = 0.5,
        statistics: Statistics = "running",
        active_dropout: bool = False,
    ) -> None:
        super().__init__()
        bias = needs_bias(norm)
        channels = [width * min(2**scale, 8) for scale in range(depth)]
        self.down = nn.ModuleList([nn.Conv2d(3, width, 4, stride=2, padding=1, bias=bias)])
        for scale, (c_in, c_out) in enumerate(pairwise(channels), start=1):
            conv = nn.Conv2d(c_in, c_out, 4, stride=2, padding=1, bias=bias)
            last = [norm_layer(norm, c_out, statistics)] if scale < depth - 1 else []
            self.down.append(nn.Sequential(nn.LeakyReLU(0.2), conv, *last))
        self.up = nn.ModuleList()
        for scale in range(depth - 1, 0, -1):
            c_in = channels[scale] * (1 if scale == depth - 1 else 2)
            c_out = channels[scale - 1]
            conv_up = nn.ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1, bias=bias)
            drop = dropout_layers(dropout, active_dropout) if 4 <= scale < depth - 1 else []
            self.up.append(nn.Sequential(nn.ReLU(), conv_up, norm_layer(norm, c_out, statistics), *drop))
        self.out = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * width, 3, 4, stride=2, padding=1), Tanh())

    def forward(self, x: SignedImages) -> SignedImages:
        skips: list[Tensor] = []
        for step in self.down:
            x = step(x)
            skips.append(x)
        skips.pop()
        for step in self.up:
            x = torch.cat([skips.pop(), step(x)], dim=1)
        return self.out(x)
