"""How far a made image is from the one it should be: tensors in, scalar out."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from chromogen.losses.adversarial import Scalar
from chromogen.tensors import SignedImages, full_precision


def absolute(fake: SignedImages, target: SignedImages) -> Scalar:
    """Mean absolute difference (L1) over images, channels and pixels, in units of the signed range (full scale is 2)."""
    return (fake.float() - target.float()).abs().mean()


def octave_absolutes(fake: SignedImages, target: SignedImages, octaves: int) -> Iterator[Scalar]:
    """L1 on each octave of a Gaussian pyramid, at 1/2, 1/4, ... of the size (Liu et al., CVPRW 2022, section 4.2).

    An octave is four blurs of 3x3, sigma 1, mirrored at the border, then every second pixel. Three identities make it cheap
    without changing the value: the pyramid is linear, so the difference is blurred instead of both images; mirrored blurs
    by a symmetric kernel commute with mirroring, so four make one of 9 taps; and pixels that are dropped are not computed.
    """
    difference = fake.float() - target.float()
    taps = _four_blurs(difference)
    for _ in range(octaves):
        with full_precision(difference):
            difference = _halved(difference, taps)
        yield difference.abs().mean()


def _four_blurs(like: Tensor) -> Float[Tensor, "9"]:
    side = torch.exp(torch.tensor(-0.5, dtype=torch.float64))
    once = torch.stack([side, torch.ones_like(side), side]) / (1 + 2 * side)
    taps = once
    for _ in range(3):
        taps = F.conv1d(taps[None, None], once[None, None], padding=2)[0, 0]
    return taps.to(like)


def _halved(x: Float[Tensor, "n c h w"], taps: Float[Tensor, "9"]) -> Float[Tensor, "n c h2 w2"]:
    if min(x.shape[-2:]) < 5:
        raise ValueError(f"an octave of {x.shape[-2]}x{x.shape[-1]} px is too small to blur; use fewer octaves or larger crops")
    channels = x.shape[1]
    x = F.pad(x, (4, 4, 4, 4), mode="reflect")
    x = F.conv2d(x, taps.view(1, 1, 1, 9).expand(channels, 1, 1, 9), stride=(1, 2), groups=channels)
    return F.conv2d(x, taps.view(1, 1, 9, 1).expand(channels, 1, 9, 1), stride=(2, 1), groups=channels)
