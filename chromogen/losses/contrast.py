"""How much contrast a made image has at every scale, wherever exactly its edges lie: signed images in, scalar out."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from chromogen.losses.adversarial import Scalar
from chromogen.tensors import SignedImages


def local(fake: SignedImages, target: SignedImages, octaves: int, window_px: int) -> Scalar:
    """Mean absolute difference of the local contrast of fake and target, mean over octaves and both directions.

    Contrast is the mean absolute step between neighbouring pixels (of one channel, across or down) in a window of `window_px`,
    at each octave of a pyramid of 2x2 means; windows overlap by half. Where a target is displaced by less than a window, a
    sharp image costs little here and a blurred one much; L1 has it the other way round.
    """
    fake, target = fake.float(), target.float()
    total = fake.new_zeros(())
    for octave in range(octaves):
        for axis in (-1, -2):
            excess = _steps(fake, axis) - _steps(target, axis)
            sides = [min(max(1, window_px >> octave), side) for side in excess.shape[-2:]]
            means = F.avg_pool2d(excess, sides, stride=[max(1, side // 2) for side in sides])
            total = total + means.abs().mean() / (2 * octaves)
        if octave + 1 < octaves:
            fake, target = F.avg_pool2d(fake, 2), F.avg_pool2d(target, 2)
    return total


def _steps(image: Float[Tensor, "batch c h w"], axis: int) -> Float[Tensor, "batch c h2 w2"]:
    length = image.shape[axis] - 1
    return (image.narrow(axis, 1, length) - image.narrow(axis, 0, length)).abs()
