"""How much DAB a made image carries where the real one carries it: signed images in, scalar out.

A density is the decadic optical density along a stain's vector of the H-E-DAB set, as `chromogen.color.separate` gives it, not
clipped at 0: so it is linear in the optical densities of the three colours, and a colour on the wrong side of 0 still has a
slope to come back by.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from chromogen.color import H_E_DAB, optical_density
from chromogen.losses.adversarial import Scalar
from chromogen.tensors import SignedImages

VEIL = 0.02  # stray light, of full scale: black has 1.7 optical densities instead of infinitely many, and a finite slope


def of(stain: str, images: SignedImages) -> Float[Tensor, "batch 1 height width"]:
    """Density of "haematoxylin", "eosin" or "dab" in every pixel, float32, about 0 on clear glass and 1 in the darkest tissue.

    A veil of stray light is added first, so that its slope is at most 0.43 / VEIL times a coefficient near 1, also in black.
    """
    unit = (images.float() * 0.5 + 0.5).clamp(0, 1)
    density = optical_density((unit + VEIL) / (1 + VEIL), darkest=VEIL / 2)  # the veil is the floor, and black keeps a slope
    column = density.new_tensor(H_E_DAB.inverse[:, H_E_DAB.names.index(stain)])
    return (density * column.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)  # not einsum: autocast would round it


def local(fake: SignedImages, target: SignedImages, boxes_px: Sequence[int]) -> Scalar:
    """Mean squared difference of the DAB densities averaged over boxes, mean over the box sizes.

    Squared, because the best guess is then the mean of what may be there; that of an absolute difference is the median, which
    is no stain at all wherever stain is less likely than not.
    """
    difference = of("dab", fake) - of("dab", target)
    sizes = [min(size, *difference.shape[-2:]) for size in boxes_px]
    return sum((F.avg_pool2d(difference, size).square().mean() for size in sizes), difference.new_zeros(())) / len(sizes)


def whole(fake: SignedImages, target: SignedImages) -> Scalar:
    """Squared difference of an image's mean DAB densities, mean over images."""
    return (of("dab", fake) - of("dab", target)).mean(dim=(1, 2, 3)).square().mean()
