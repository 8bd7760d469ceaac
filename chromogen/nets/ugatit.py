"""Generator and discriminators of U-GAT-IT: class activation maps and adaptive layer-instance norm.

Kim et al., "U-GAT-IT", ICLR 2020, arXiv:1907.10830. The generator is the light form, which any size fits.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from chromogen.nets.blocks import ResidualBlock, Tanh, without_idle_biases
from chromogen.tensors import SignedImages

Features = Float[Tensor, "n c h w"]
SLOPE = 0.2  # of the discriminators' leaky ReLUs


def layer_instance_norm(
    x: Features, rho: Float[Tensor, " c"], gain: Float[Tensor, "n c"], shift: Float[Tensor, "n c"], epsilon: float = 1e-5
) -> Features:
    """gain (rho x_I + (1 - rho) x_L) + shift (equation 1): x normed over each map (I) and over each whole image (L).

    Variances divide by the number of values. A layer's statistics follow from those of its maps, and both norms are linear in
    x, so x is read once for the statistics and once for the result; float32 at least, the result has the type of x.
    """
    values = x.to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(values, dim=(2, 3), correction=0)
    spread, centre = torch.var_mean(mean, dim=1, correction=0, keepdim=True)
    each = rho * torch.rsqrt(variance + epsilon)
    whole = (1 - rho) * torch.rsqrt(variance.mean(dim=1, keepdim=True) + spread + epsilon)
    slope = gain * (each + whole)
    offset = shift - gain * (each * mean + whole * centre)
    return torch.addcmul(offset[:, :, None, None], values, slope[:, :, None, None]).to(x.dtype)


class AdaptiveLayerInstanceNorm(nn.Module):
    """AdaLIN: gain and shift come from outside, the share `rho` of the instance norm is learnt for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((channels,), 0.9))

    def forward(self, x: Features, gain: Float[Tensor, "n c"], shift: Float[Tensor, "n c"]) -> Features:
        return layer_instance_norm(x, self.rho, gain.float(), shift.float())


class LayerInstanceNorm(nn.Module):
    """LIN: gain, shift and the share `rho` of the instance norm are learnt; it begins as a layer norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(channels))
        self.gain = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Features) -> Features:
        return layer_instance_norm(x, self.rho, self.gain[None], self.shift[None])


@torch.no_grad()
def clip_rho(network: nn.Module) -> None:
    """Put every rho of a network back into [0, 1]; due after each update (section 2.1.1)."""
    for module in network.modules():
        if isinstance(module, AdaptiveLayerInstanceNorm | LayerInstanceNorm):
            module.rho.clamp_(0, 1)


class ClassActivation(nn.Module):
    """Features weighted by how much each channel speaks for a class (section 2.1.1), and the logits of that class.

    One linear logit of the average-pooled channels, one of the max-pooled. The features times each logit's weights, side by
    side, go through a 1x1 convolution to as many channels as came, and an activation. All of that is linear in the features, so
    the weights are folded into the convolution instead: the same numbers without the map of double width. With `normed`, the
    logits are read with weights of spectral norm 1 and the features weighted with the weights as stored, as in the code.
    """

    def __init__(self, channels: int, activation: nn.Module, normed: bool = False) -> None:
        super().__init__()
        self.average, self.maximum = (nn.Linear(channels, 1, bias=False) for _ in range(2))
        for linear in (self.average, self.maximum) if normed else ():
            spectral_norm(linear)
        self.mix = nn.Conv2d(2 * channels, channels, 1)
        self.activation = activation

    def forward(self, x: Features) -> tuple[Features, Float[Tensor, "n 2"]]:
        logits = torch.cat([self.average(x.mean(dim=(2, 3))), self.maximum(x.amax(dim=(2, 3)))], dim=1)
        kernel = self.mix.weight * torch.cat([stored(self.average), stored(self.maximum)], dim=1)[:, :, None, None]
        channels = x.shape[1]
        return self.activation(F.conv2d(x, kernel[:, :channels] + kernel[:, channels:], self.mix.bias)), logits


def stored(linear: nn.Module) -> Float[Tensor, "outputs inputs"]:
    """The weight of a linear layer before its spectral norm, if it has one."""
    weights = [weight for name, weight in linear.named_parameters() if not name.endswith("bias")]
    assert len(weights) == 1
    return weights[0]


class AdaptiveBlock(nn.Module):
    """x + AdaLIN(conv(ReLU(AdaLIN(conv(x))))), 3x3 with reflection padding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=False) for _ in range(2)
        )
        self.first_norm, self.second_norm = (AdaptiveLayerInstanceNorm(channels) for _ in range(2))

    def forward(self, x: Features, gain: Float[Tensor, "n c"], shift: Float[Tensor, "n c"]) -> Features:
        inside = F.relu(self.first_norm(self.first(x), gain, shift))
        return x + self.second_norm(self.second(inside), gain, shift)


class AttentionGenerator(nn.Module):
    """Two halvings, residual blocks, class activation, as many AdaLIN blocks, two doublings (appendix; light form).

    Sizes must be multiples of 4. Gain and shift of all AdaLIN blocks are read off the averages of the weighted features; the
    full form reads them off every pixel, which ties it to one size. Returns the images, and the (N, 2) logits of the auxiliary
    classifier: whether the input is of the source domain.
    """

    def __init__(self, width: int = 64, blocks: int = 4) -> None:
        super().__init__()
        layers: list[nn.Module] = [_mirrored_conv(3, width, 7), nn.InstanceNorm2d(width), nn.ReLU()]
        for c in (width, 2 * width):
            layers += [_mirrored_conv(c, 2 * c, 3, stride=2), nn.InstanceNorm2d(2 * c), nn.ReLU()]
        c = 4 * width
        self.encoder = nn.Sequential(*layers, *(without_idle_biases(ResidualBlock(c, "instance")) for _ in range(blocks)))
        self.activation = ClassActivation(c, nn.ReLU())
        self.reader = nn.Sequential(nn.Linear(c, c, bias=False), nn.ReLU(), nn.Linear(c, c, bias=False), nn.ReLU())
        self.gain, self.shift = (nn.Linear(c, c, bias=False) for _ in range(2))
        self.blocks = nn.ModuleList([AdaptiveBlock(c) for _ in range(blocks)])
        layers = []
        for c in (4 * width, 2 * width):
            layers += [nn.Upsample(scale_factor=2), _mirrored_conv(c, c // 2, 3), LayerInstanceNorm(c // 2), nn.ReLU()]
        self.decoder = nn.Sequential(*layers, _mirrored_conv(width, 3, 7), Tanh())

    def forward(self, x: SignedImages) -> tuple[SignedImages, Float[Tensor, "n 2"]]:
        features, logits = self.activation(self.encoder(x))
        read = self.reader(features.mean(dim=(2, 3)))
        gain, shift = self.gain(read), self.shift(read)
        for block in self.blocks:
            features = block(features, gain, shift)
        return self.decoder(features), logits

    @staticmethod
    def reach_px(blocks: int) -> int:
        """How far from an output pixel the convolutions look; norms and class activation see the whole image besides."""
        return 3 + 1 + 2 + 4 * 2 * 2 * blocks + 9 + 3


class Verdict(NamedTuple):
    """What a discriminator says of a batch, as logits."""

    style: Float[Tensor, "n styles_and_made h w"]  # of each patch; class 0 is "made"
    level: Float[Tensor, "n levels"]
    cam: Float[Tensor, "n 2"]  # of the auxiliary classifier: above 0 speaks for real


class StyleDiscriminator(nn.Module):
    """A spectrally normed patch discriminator with class activation (appendix) and two heads that classify.

    `layers` counts as in the source, heads included: layers - 2 halvings, then two convolutions that keep the size but for a
    pixel. With 5 (local) a patch is 70 px wide, with 7 (global) 286 px. Where a map is too small for a kernel its border is
    repeated, so that it never falls under 1x1 px: any image will do.
    """

    def __init__(self, width: int = 64, layers: int = 5, styles: int = 64, levels: int = 4) -> None:
        super().__init__()
        steps: list[nn.Module] = [FourByFour(3, width, stride=2), nn.LeakyReLU(SLOPE)]
        c = width
        for step in range(1, layers - 1):
            steps += [FourByFour(c, 2 * c, stride=2 if step < layers - 2 else 1), nn.LeakyReLU(SLOPE)]
            c *= 2
        self.body = nn.Sequential(*steps)
        self.activation = ClassActivation(c, nn.LeakyReLU(SLOPE), normed=True)
        self.style = FourByFour(c, 1 + styles, normed=False)
        self.level = nn.Linear(c, levels)

    def forward(self, x: SignedImages) -> Verdict:
        features, cam = self.activation(self.body(x))
        return Verdict(self.style(features), self.level(features.mean(dim=(2, 3))), cam)


class FourByFour(nn.Module):
    """4x4 convolution with a mirrored pixel on each side, and as many repeated ones as a smaller map lacks."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, normed: bool = True) -> None:
        super().__init__()
        conv = nn.Conv2d(inputs, outputs, 4, stride)
        self.conv = spectral_norm(conv) if normed else conv

    def forward(self, x: Features) -> Features:
        x = F.pad(x, (1, 1, 1, 1), mode="reflect" if min(x.shape[-2:]) > 1 else "replicate")
        lacking = [max(0, 4 - side) for side in x.shape[-2:]]
        if any(lacking):
            x = F.pad(x, (0, lacking[1], 0, lacking[0]), mode="replicate")
        return self.conv(x)


def _mirrored_conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, padding_mode="reflect", bias=False)
