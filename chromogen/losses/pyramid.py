"""Distance between two images at every level of a binomial pyramid: signed images in, scalars out."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from chromogen.losses.adversarial import Scalar
from chromogen.tensors import SignedImages, full_precision


def binomial_absolutes(fake: SignedImages, target: SignedImages, levels: int) -> Iterator[Scalar]:
    """L1 on each level of a Gaussian pyramid, from full size down (Burt and Adelson 1983; Li et al., MICCAI 2023).

    A level is the image blurred by [1, 4, 6, 4, 1] / 16 along rows and columns, mirrored at the border; every second pixel of
    it is what the next one blurs. The last level is only that, without a blur of its own. The pyramid is linear, so the
    difference is blurred instead of both images. Raises ValueError where a level is too small to blur (sides below 3 px).
    """
    difference = fake.float() - target.float()
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = torch.outer(taps, taps).to(difference).expand(difference.shape[1], 1, 5, 5)
    for _ in range(levels - 1):
        difference = _blurred(difference, kernel)
        yield difference.abs().mean()
        difference = difference[..., ::2, ::2]
    yield difference.abs().mean()


def _blurred(x: Float[Tensor, "n c h w"], kernel: Float[Tensor, "c 1 5 5"]) -> Float[Tensor, "n c h w"]:
    if min(x.shape[-2:]) < 3:
        raise ValueError(f"a level of {x.shape[-2]}x{x.shape[-1]} px is too small to blur; use fewer levels or larger crops")
    with full_precision(x):
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, groups=len(kernel))
