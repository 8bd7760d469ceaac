"""Changes of size that blur before they drop pixels and never leave gaps (Zhang, ICML 2019, arXiv:1904.11486)."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Downsampling = Literal["strided", "blurred"]  # a strided convolution, or one at full size and then `BlurDown`


class BlurDown(nn.Module):
    """Half the size: [1, 2, 1] / 4 along rows and columns, mirrored at the border, then every second pixel from the first.

    Sides of n px become (n + 1) // 2; they must be at least 2.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(taps, taps)[None, None])  # saved, so that nets laid out on "meta" fill whole

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
        channels = x.shape[1]
        kernel = self.kernel.to(x.dtype).expand(channels, 1, 3, 3)
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, stride=2, groups=channels)


def blurs(downsampling: Downsampling) -> list[nn.Module]:
    """What follows a convolution that halves the size: nothing, or the blur that halves it in the convolution's stead."""
    return [BlurDown()] if downsampling == "blurred" else []


class BlurUp(nn.Upsample):
    """Twice the size: zeros between the pixels, then [1, 3, 3, 1] / 4 along rows and columns, the border repeated.

    That is bilinear interpolation between pixel centres, for which PyTorch has one fast kernel.
    """

    def __init__(self) -> None:
        super().__init__(scale_factor=2, mode="bilinear", align_corners=False)
