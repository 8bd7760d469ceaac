"""The networks of team vivek23 of the BCI challenge: a ResNet that looks at wavelet bands, and a strided discriminator.

Zhu et al., "Breast Cancer Immunohistochemical Image Generation", 2023, arXiv:2305.03546, section "vivek23" and figure 9.
"""

from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.nets.blocks import Norm, Tanh, norm_layer
from chromogen.nets.wavelet import haar
from chromogen.tensors import SignedImages

Bands = Literal["grey", "colour"]
BANDS: dict[Bands, int] = {"grey": 4, "colour": 12}  # channels


class WaveletResnetGenerator(nn.Module):
    """Haar bands at full size, a 7x7 convolution of stride 1, ResNet18-like stages, two transposed convolutions.

    The stages have `width`, 2 and 4 times `width` channels and `blocks` residual blocks each; the second and the third begin by
    halving, so that two transposed convolutions bring the size back. Sizes must be multiples of 4. With 64 filters and 3 blocks
    a stage it has 4.866 M parameters. Dropout stands between the two convolutions of each block of the last stage.
    """

    def __init__(
        self, width: int = 64, blocks: int = 3, bands: Bands = "grey", edge_norm: Norm = "instance", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.bands = bands
        bias = edge_norm == "none"  # either norm would subtract it again
        layers: list[nn.Module] = [
            nn.Conv2d(BANDS[bands], width, 7, padding=3, padding_mode="reflect", bias=bias),
            norm_layer(edge_norm, width),
            nn.ReLU(),
        ]
        channels = [width, width, 2 * width, 4 * width]
        for stage, (c_in, c_out) in enumerate(pairwise(channels)):
            drop = dropout if stage == 2 else 0.0
            layers.append(_BasicBlock(c_in, c_out, 2 if stage else 1, drop))
            layers += [_BasicBlock(c_out, c_out, 1, drop) for _ in range(blocks - 1)]
        layers += [
            nn.ConvTranspose2d(4 * width, 2 * width, 4, stride=2, padding=1, bias=bias),
            norm_layer(edge_norm, 2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, 3, 4, stride=2, padding=1),
            Tanh(),
        ]
        self.body = nn.Sequential(*layers)

    def forward(self, source: SignedImages) -> SignedImages:
        bands = haar(source.float() if self.bands == "colour" else luma(source))
        return self.body(F.interpolate(bands, scale_factor=2.0, mode="bilinear", align_corners=False))

    @staticmethod
    def reach_px(blocks: int) -> int:
        """How far from an output pixel an input pixel can still matter: half the receptive field, rounded up."""
        return 8 + (1 + 2 + 4) * 2 * blocks


class _BasicBlock(nn.Module):
    """ReLU of the shortcut + conv-BN-ReLU-(dropout)-conv-BN, 3x3; the shortcut is 1x1 where size or width change.

    He et al., "Deep residual learning", CVPR 2016, figure 5 left, option B.
    """

    def __init__(self, c_in: int, c_out: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
            *([nn.Dropout(dropout)] if dropout else []),
            nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.stride = stride
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        # every second pixel by slicing: the CPU's gradient of a strided 1x1 convolution of few channels, last in memory, writes
        # outside its arrays (PyTorch 2.13)
        return F.relu(self.shortcut(x[..., :: self.stride, :: self.stride]) + self.body(x))


class StridedDiscriminator(nn.Sequential):
    """Logits after `layers` convolutions of 4x4 and stride 2, all but the last with batch norm and LeakyReLU 0.2.

    Five of them turn 256 px into 8x8 logits and 64 px into 2x2; each sees 94 px. With 64 filters and 6 input channels (source
    and target side by side) it has 2.768 M parameters. The published sigmoid is part of the cross-entropy.
    """

    def __init__(self, inputs: int = 6, width: int = 64, layers: int = 5) -> None:
        channels = [inputs, *(width * min(2**scale, 8) for scale in range(layers - 1))]
        steps: list[nn.Module] = []
        for c_in, c_out in pairwise(channels):
            steps += [nn.Conv2d(c_in, c_out, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.LeakyReLU(0.2)]
        super().__init__(*steps, nn.Conv2d(channels[-1], 1, 4, stride=2, padding=1))


def luma(images: SignedImages) -> Float[Tensor, "n 1 h w"]:
    """Grey values by the weights of ITU-R BT.601 (0.299, 0.587, 0.114), in [-1, 1] as the colours were, in float32."""
    red, green, blue = images.float().unbind(dim=1)
    return (0.299 * red + 0.587 * green + 0.114 * blue).unsqueeze(1)
