"""Networks that grow while they learn (Karras et al., ICLR 2018, arXiv:1710.10196).

A level is a resolution: 0 is 4 px, each one more doubles the side. A level of 2.3 is 16 px fading into 32 px: 70 % of the
coarser image, enlarged, and 30 % of the finer one (figure 2 of the paper).
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.nets.noise_generators import FIRST_PX, doublings

FULL_LEVELS = 4  # of 4, 8, 16 and 32 px, which have all channels; from then on they halve
STEPS = 1000  # a level is stored in thousandths, as a whole number: an average of networks must not lag behind it


class ProgressiveGenerator(nn.Module):
    """From a vector to planes in [0, 1], of the side that the level has reached (its fading one included).

    Two 3x3 convolutions a level, nearest-neighbour enlargement, leaky ReLU and pixel norm behind each; a 1x1 convolution and a
    sigmoid make planes of each level's features. The vector is brought to unit length per element first.
    """

    grown: Tensor

    def __init__(self, latents: int, planes: int, size_px: int, width: int = 512) -> None:
        super().__init__()
        channels = level_channels(size_px, width)
        self.first = EqualLinear(latents, channels[0] * FIRST_PX**2)
        self.levels = nn.ModuleList([nn.Sequential(EqualConv(channels[0], channels[0], 3))])
        for c_in, c_out in pairwise(channels):
            self.levels.append(nn.Sequential(EqualConv(c_in, c_out, 3), EqualConv(c_out, c_out, 3)))
        self.planes = nn.ModuleList([EqualConv(c, planes, 1, gain=1.0) for c in channels])
        self.register_buffer("grown", torch.zeros((), dtype=torch.int64))

    @property
    def level(self) -> float:
        """How far it has grown: what `forward` uses when it is told nothing."""
        return int(self.grown) / STEPS

    def forward(self, latents: Float[Tensor, "n latents"], level: float | None = None) -> Float[Tensor, "n planes side side"]:
        level = _checked(self.level if level is None else level, len(self.levels))
        x = self.first(pixel_norm(latents)).unflatten(1, (-1, FIRST_PX, FIRST_PX))
        x = pixel_norm(F.leaky_relu(x, 0.2))
        top = math.ceil(level)
        before = x
        for number in range(top + 1):
            before = x
            x = _enlarged(x) if number else x
            for convolution in self.levels[number].children():
                x = pixel_norm(F.leaky_relu(convolution(x), 0.2))
        made = self.planes[top](x).float()
        if level < top:
            made = torch.lerp(_enlarged(self.planes[top - 1](before).float()), made, level - (top - 1))
        return torch.sigmoid(made)


class ProgressiveCritic(nn.Module):
    """One score an image of the side that belongs to `level`; the generator's mirror image, halving by means of 2x2.

    At 4 px one plane more tells how much images of the batch differ (`minibatch_deviation`), so that a generator that makes one
    image again and again is seen. Scores therefore depend on the whole batch.
    """

    def __init__(self, planes: int, size_px: int, width: int = 512) -> None:
        super().__init__()
        channels = level_channels(size_px, width)
        self.planes = nn.ModuleList([EqualConv(planes, c, 1) for c in channels])
        self.levels = nn.ModuleList()
        for c_out, c_in in pairwise(channels):
            self.levels.append(nn.Sequential(EqualConv(c_in, c_in, 3), EqualConv(c_in, c_out, 3)))
        self.last = EqualConv(channels[0] + 1, channels[0], 3)
        self.whole = EqualLinear(channels[0] * FIRST_PX**2, channels[0])
        self.score = EqualLinear(channels[0], 1, gain=1.0)

    def forward(self, images: Float[Tensor, "n planes side side"], level: float) -> Float[Tensor, " n"]:
        level = _checked(level, len(self.planes))
        top = math.ceil(level)
        images = 2 * images - 1
        x = F.leaky_relu(self.planes[top](images), 0.2)
        for number in range(top, 0, -1):
            for convolution in self.levels[number - 1].children():
                x = F.leaky_relu(convolution(x), 0.2)
            x = F.avg_pool2d(x, 2)
            if number == top and level < top:
                coarse = F.leaky_relu(self.planes[top - 1](F.avg_pool2d(images, 2)), 0.2)
                x = torch.lerp(coarse, x, level - (top - 1))
        x = F.leaky_relu(self.last(minibatch_deviation(x)), 0.2)
        return self.score(F.leaky_relu(self.whole(x.flatten(1)), 0.2)).flatten().float()


class EqualConv(nn.Module):
    """A convolution whose standard normal weights are scaled at each use, by gain / sqrt(fan-in) (section 4.1).

    Adam, which knows no sizes of gradients, then moves all layers at one speed. Padded so that sides stay.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.scale = gain / math.sqrt(c_in * kernel**2)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h w"]:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.weight.shape[-1] // 2)


class EqualLinear(nn.Module):
    """As `EqualConv`, of a vector."""

    def __init__(self, inputs: int, outputs: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(inputs)

    def forward(self, x: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        return F.linear(x, self.weight * self.scale, self.bias)


def pixel_norm(x: Float[Tensor, "n c ..."]) -> Float[Tensor, "n c ..."]:
    """x / sqrt(mean over channels of x^2 + 1e-8) at every pixel (section 4.2)."""
    x = x.float()
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def minibatch_deviation(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c+1 h w"]:
    """One plane more: the standard deviation over the batch (over n), averaged over channels and pixels (section 3)."""
    x = x.float()
    deviation = (x.var(dim=0, correction=0) + 1e-8).sqrt().mean()
    return torch.cat([x, deviation.expand(len(x), 1, *x.shape[2:])], dim=1)


def level_channels(size_px: int, width: int) -> list[int]:
    """Channels of each level: `width` up to 32 px, then half as many a level (appendix A)."""
    return [max(1, width >> max(0, level - FULL_LEVELS + 1)) for level in range(doublings(size_px) + 1)]


def level_at(progress: float, levels: int, growth: float) -> float:
    """The level after a share of the run: every level fades in, then stays for as long; all are there at progress `growth`."""
    if progress >= growth:
        return float(levels - 1)
    phase = 1 + (2 * levels - 1) * progress / growth  # phase 2k to 2k + 1: level k fades in; then it stays for another one
    level = int(phase / 2)
    within = phase - 2 * level
    return level if within >= 1 else level - 1 + within


def grow_to(generator: nn.Module, level: float) -> None:
    """Store the level of a `ProgressiveGenerator` among its weights, to a thousandth."""
    grown = generator.grown
    assert isinstance(grown, Tensor)
    grown.fill_(round(level * STEPS))


def at_level(images: Float[Tensor, "n planes size size"], level: float) -> Float[Tensor, "n planes side side"]:
    """Real images as the critic sees them at a level: area means, faded between two resolutions where the level is."""
    top = math.ceil(level)
    side = FIRST_PX * 2**top
    images = F.adaptive_avg_pool2d(images, side) if images.shape[-1] > side else images
    if level == top:
        return images
    return torch.lerp(_enlarged(F.avg_pool2d(images, 2)), images, level - (top - 1))


def _enlarged(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c 2h 2w"]:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _checked(level: float, levels: int) -> float:
    if not 0 <= level <= levels - 1:
        raise ValueError(f"this network has levels from 0 to {levels - 1}, got {level}")
    return level
