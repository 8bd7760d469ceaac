"""Whether a made image shows the cells of its own section: signed images in, scalar out."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from chromogen.losses import density
from chromogen.losses.adversarial import Scalar
from chromogen.tensors import SignedImages

FAINT = 0.01  # deviation of a density below which a window shows no nuclei, only noise


def nuclei(fake: SignedImages, source: SignedImages, window_px: int) -> Scalar:
    """1 - r, where r is Pearson's correlation of the haematoxylin densities of fake and source in windows of `window_px`.

    Windows overlap by half and count by the deviation of the source's haematoxylin in them, so that empty stroma asks for
    nothing. The source is of the same section as the fake, whereas a target may come from the next one: here alone cells are
    held in place without knowing how the sections lie to each other. A correlation asks for no amount of stain. In [0, 2].
    """
    a, b = density.of("haematoxylin", fake), density.of("haematoxylin", source)
    side = [min(window_px, length) for length in a.shape[-2:]]

    def mean(x: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h2 w2"]:
        return F.avg_pool2d(x, side, stride=[max(1, length // 2) for length in side])

    mean_a, mean_b = mean(a), mean(b)
    between = mean(a * b) - mean_a * mean_b
    deviation_a = ((mean(a * a) - mean_a**2).clamp(min=0) + FAINT**2).sqrt()
    deviation_b = ((mean(b * b) - mean_b**2).clamp(min=0) + FAINT**2).sqrt()
    return 1 - (between / deviation_a).sum() / deviation_b.sum()
