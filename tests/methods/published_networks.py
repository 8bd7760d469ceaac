"""The published generators as plain modules, written anew from what is known of them: layers, their order and their names.

Nothing of ours is used here, so that an agreement of pictures says something. Weights are random and the statistics of batch
norms are made up, so that a layer at a wrong place, a missing bias or another border cannot hide.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm


def randomised(network: nn.Module, seed: int = 0, spread: float = 1.0) -> nn.Module:
    """Weights that keep a signal's size, biases and statistics away from 0 and 1."""
    draw = torch.Generator().manual_seed(seed)

    def uniform(tensor: Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=draw) * (high - low) + low)

    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                weight = getattr(module, "weight_orig", module.weight)
                fan_in = weight[0].numel() if not isinstance(module, nn.ConvTranspose2d) else weight[:, 0].numel() / 4
                weight.copy_(torch.randn(weight.shape, generator=draw) * spread / math.sqrt(fan_in))
                if module.bias is not None:
                    uniform(module.bias, -0.3, 0.3)
                if hasattr(module, "weight_orig"):
                    _follow(module)
            elif isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d) and module.affine:
                uniform(module.weight, 0.7, 1.3)
                uniform(module.bias, -0.3, 0.3)
                if not module.track_running_stats:
                    continue
                uniform(module.running_mean, -0.3, 0.3)
                uniform(module.running_var, 0.5, 1.5)
                module.num_batches_tracked.fill_(7)
        for name, parameter in network.named_parameters():
            if name.endswith("gamma"):
                parameter.fill_(0.7)
            elif name.endswith("weight.data"):
                parameter.copy_(torch.randn(parameter.shape, generator=draw))
    return network


def _follow(module: nn.Module) -> None:
    """Power iteration, as training does it: without, the largest singular value is a guess, and every picture saturates."""
    matrix = module.weight_orig.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else module.weight_orig
    matrix = matrix.flatten(1)
    for _ in range(10):
        module.weight_v.copy_(F.normalize(matrix.T @ module.weight_u, dim=0))
        module.weight_u.copy_(F.normalize(matrix @ module.weight_v, dim=0))


BIASED = ("instance", "affine", "batch with bias")  # norms with a bias in the convolution before


def norm_of(kind: str, channels: int) -> nn.Module:
    if kind.startswith("batch"):
        return nn.BatchNorm2d(channels)
    if kind == "untracked":
        return nn.BatchNorm2d(channels, track_running_stats=False)
    if kind == "affine":
        return nn.InstanceNorm2d(channels, affine=True)
    return nn.InstanceNorm2d(channels, affine=False) if kind == "instance" else nn.Identity()


class Blurred(nn.Module):
    """CUT's change of size: a fixed binomial filter over every channel, down with 3 taps or up with 4."""

    def __init__(self, channels: int, up: bool) -> None:
        super().__init__()
        row = np.array([1.0, 3.0, 3.0, 1.0] if up else [1.0, 2.0, 1.0])
        filt = torch.tensor(np.outer(row, row) / row.sum() ** 2 * (4 if up else 1), dtype=torch.float32)
        self.register_buffer("filt", filt.expand(channels, 1, -1, -1).clone())
        self.up = up

    def forward(self, x: Tensor) -> Tensor:
        if not self.up:
            return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=x.shape[1])
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        made = F.conv_transpose2d(padded, self.filt, stride=2, padding=2, groups=x.shape[1])
        return made[:, :, 1:-1, 1:-1]


class Block(nn.Module):
    def __init__(self, channels: int, norm: str, dropout: bool, wrap) -> None:
        super().__init__()
        bias = norm in BIASED
        layers = [nn.ReflectionPad2d(1), wrap(nn.Conv2d(channels, channels, 3, bias=bias)), norm_of(norm, channels), nn.ReLU()]
        layers += [nn.Dropout(0.5)] if dropout else []
        layers += [nn.ReflectionPad2d(1), wrap(nn.Conv2d(channels, channels, 3, bias=bias)), norm_of(norm, channels)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class Resnet(nn.Module):
    """The ResNet generator of pix2pix, CycleGAN and PyramidPix2pix; `antialias` makes it CUT's, `spectral` ASP's."""

    def __init__(
        self, width: int, blocks: int, norm: str, dropout: bool = False, antialias: str = "", spectral: bool = False
    ) -> None:
        super().__init__()
        bias = norm in BIASED
        wrap = spectral_norm if spectral else lambda layer: layer
        layers = [nn.ReflectionPad2d(3), wrap(nn.Conv2d(3, width, 7, bias=bias)), norm_of(norm, width), nn.ReLU()]
        for c in (width, 2 * width):
            down = "down" in antialias
            layers += [
                wrap(nn.Conv2d(c, 2 * c, 3, stride=1 if down else 2, padding=1, bias=bias)),
                norm_of(norm, 2 * c),
                nn.ReLU(),
            ]
            layers += [Blurred(2 * c, up=False)] if down else []
        layers += [Block(4 * width, norm, dropout, wrap) for _ in range(blocks)]
        for c in (4 * width, 2 * width):
            if "up" in antialias:
                layers += [Blurred(c, up=True), wrap(nn.Conv2d(c, c // 2, 3, padding=1, bias=bias))]
            else:
                layers += [wrap(nn.ConvTranspose2d(c, c // 2, 3, stride=2, padding=1, output_padding=1, bias=bias))]
            layers += [norm_of(norm, c // 2), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), wrap(nn.Conv2d(width, 3, 7)), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Nested(nn.Module):
    """One scale of pix2pix's U-Net, with the next one inside it."""

    def __init__(
        self, outer: int, inner: int, norm: str, inside: nn.Module | None, inputs: int = 0, dropout: bool = False
    ) -> None:
        super().__init__()
        bias = norm in BIASED
        self.outermost = inputs > 0
        down = nn.Conv2d(inputs or outer, inner, 4, stride=2, padding=1, bias=bias)
        up = nn.ConvTranspose2d(
            inner * (1 if inside is None else 2), outer, 4, stride=2, padding=1, bias=bias or self.outermost
        )
        if self.outermost:
            layers = [down, inside, nn.ReLU(), up, nn.Tanh()]
        elif inside is None:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, norm_of(norm, outer)]
        else:
            layers = [nn.LeakyReLU(0.2), down, norm_of(norm, inner), inside, nn.ReLU(), up, norm_of(norm, outer)]
            layers += [nn.Dropout(0.5)] if dropout else []
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class Unet(nn.Module):
    def __init__(self, width: int, depth: int, norm: str = "batch", dropout: bool = True) -> None:
        super().__init__()
        block = Nested(8 * width, 8 * width, norm, None)
        for _ in range(depth - 5):
            block = Nested(8 * width, 8 * width, norm, block, dropout=dropout)
        for factor in (4, 2, 1):
            block = Nested(factor * width, 2 * factor * width, norm, block)
        self.model = Nested(3, width, norm, block, inputs=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Equalised(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.data = nn.Parameter(torch.empty(shape))


class Modulated(nn.Module):
    """A 3x3 convolution whose weights a style scales and then norms (StyleGAN2), borders mirrored."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = Equalised(channels, channels, 3, 3)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        weight = self.weight.data / math.sqrt(9 * x.shape[1])
        made = []
        for image, scale in zip(F.pad(x, (1, 1, 1, 1), mode="reflect"), style, strict=True):
            own = weight * (1 + scale)[None, :, None, None]
            own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
            made.append(F.conv2d(image[None], own))
        return torch.cat(made)


class Adaptive(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gain, shift = self.linear(style)[:, :, None, None].chunk(2, 1)
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
        return (1 + gain) * (x - mean) / (variance + 1e-5).sqrt() + shift


class StyleBlock(nn.Module):
    def __init__(self, channels: int, adain: bool, simam: bool, linear: bool) -> None:
        super().__init__()
        self.adain, self.simam, self.linear = adain, simam, linear
        if adain:
            self.style1, self.style2 = Adaptive(channels), Adaptive(channels)
            self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
            return
        if linear:
            self.style1, self.style2 = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.conv1, self.conv2 = (nn.Sequential(Modulated(channels), nn.LeakyReLU(0.2)) for _ in range(2))

    def attended(self, x: Tensor) -> Tensor:
        if not self.simam:
            return x
        square = (x - x.mean((2, 3), keepdim=True)) ** 2
        variance = square.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3] - 1)
        return x * torch.sigmoid(square / (4 * (variance + 1e-4)) + 0.5)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        if self.adain:
            y = F.leaky_relu(self.style1(self.conv1(x), style), 0.2)
            y = F.leaky_relu(self.style2(self.attended(self.conv2(y)), style), 0.2)
        else:
            first, second = (self.style1(style), self.style2(style)) if self.linear else (style, style)
            y = F.leaky_relu(self.conv1[0](x, first), 0.2)
            y = self.attended(F.leaky_relu(self.conv2[0](y, second), 0.2))
        return (x + y) / math.sqrt(2)


class Step(nn.Module):
    """BCIStainer's convolution with norm; the borders of what goes down are mirrored."""

    def __init__(self, inputs: int, outputs: int, kernel_px: int = 3, up: bool = False) -> None:
        super().__init__()
        last = [nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
        if up:
            first = [nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1, bias=False)]
        else:
            stride = 1 if kernel_px == 7 else 2
            first = [nn.ReflectionPad2d(kernel_px // 2), nn.Conv2d(inputs, outputs, kernel_px, stride=stride, bias=False)]
        self.conv = nn.Sequential(*first, *last)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Stainer(nn.Module):
    """BCIStainer's generator "basic"."""

    def __init__(
        self, width: int, blocks: int, style_layers: int, adain: bool = False, simam: bool = True, linear: bool = True
    ) -> None:
        super().__init__()
        c = 8 * width
        self.inconv = Step(3, width, 7)
        self.encoder1 = nn.Sequential(*(Step(f * width, 2 * f * width) for f in (1, 2, 4)))
        self.encoder2 = nn.Sequential(*(Step(c, c) for _ in range(style_layers)), nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        self.classify_head = nn.Sequential(nn.Dropout(0.2), nn.Linear(c, 4))
        self.decoder1 = nn.ModuleList(StyleBlock(c, adain, simam, linear) for _ in range(blocks))
        self.lowres_outconv = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(c, 3, 3), nn.Tanh())
        self.decoder2 = nn.Sequential(*(Step(2 * f * width, f * width, up=True) for f in (4, 2, 1)))
        self.highres_outconv = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        x = self.encoder1(self.inconv(x))
        style = self.encoder2(x)
        for block in self.decoder1:
            x = block(x, style)
        return self.highres_outconv(self.decoder2(x))


class Site(nn.Module):
    """Softmax attention over all places, queries and keys with fewer channels; a learned share of it is added."""

    def __init__(self, channels: int, divisor: int) -> None:
        super().__init__()
        self.query, self.key = (nn.Conv2d(channels, channels // divisor, 1, bias=False) for _ in range(2))
        self.value, self.out = nn.Conv2d(channels, channels, 1, bias=False), nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        query, key, value = (part(x).reshape(n, 2, -1, h * w) for part in (self.query, self.key, self.value))
        weights = torch.softmax(query.transpose(2, 3) @ key / math.sqrt(c / 2), dim=-1)
        return x + self.gamma * self.out((value @ weights.transpose(2, 3)).reshape(n, c, h, w))


def _thrice(first: nn.Module, inputs: int, outputs: int, more: int) -> list[nn.Module]:
    layers: list[nn.Module] = [first, nn.ReLU(), nn.BatchNorm2d(outputs)]
    for _ in range(more):
        layers += [nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(outputs)]
    return layers


class WebUnet(nn.Module):
    """The network of the Performer U-Net's web page: images in [0, 1], nothing bounds the output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        c = [width * 2**scale for scale in range(5)]
        for number, (a, b) in enumerate(zip([3, *c], c, strict=False), start=1):
            layers = _thrice(nn.Conv2d(a, b, 3, padding=1), a, b, 1)
            setattr(self, f"down{number}", nn.Sequential(*layers, nn.MaxPool2d(2)))
        for number, (a, b) in enumerate(((c[4], c[3]), (2 * c[3], c[2]), (2 * c[2], c[1]), (2 * c[1], c[0])), start=1):
            first = nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=1)
            setattr(self, f"up{number}", nn.Sequential(*_thrice(first, a, b, 2)))
        self.up5 = nn.ConvTranspose2d(2 * c[0], c[0], 3, stride=2, padding=1, output_padding=1)
        self.final_conv = nn.Conv2d(c[0], 3, 3, padding=1)
        self.attn_d4, self.attn_d5 = Site(c[3], 64), Site(c[4], 8)
        self.attn_u1, self.attn_u2 = Site(c[3], 16), Site(c[2], 64)

    def forward(self, x: Tensor) -> Tensor:
        d1 = self.down1(x)
        d2 = self.down2(d1)
        d3 = self.down3(d2)
        d4 = self.attn_d4(self.down4(d3))
        u1 = self.attn_u1(self.up1(self.attn_d5(self.down5(d4))))
        u2 = self.attn_u2(self.up2(torch.cat([u1, d4], 1)))
        u3 = self.up3(torch.cat([u2, d3], 1))
        u4 = self.up4(torch.cat([u3, d2], 1))
        return self.final_conv(self.up5(torch.cat([u4, d1], 1)))
