"""The organ: which part of an image is patient and not background. 1 is inside.

Source: Algorithm 2 of the thesis "Synthesis of Multimodal Medical Images Based on GAN" (Qu, 2020), with the constants of its
author's public code. It computes the *background* (1 outside); here the organ is given, and background is 1 - organ wherever
an equation asks for it. `zoom` is the algorithm: it pushes the border outwards by enlarging the background about the middle
of the image, and so asks for a centred organ. Ours, `fill`: the largest piece, its holes filled (else a dark ventricle or a
lung is background, and neither lines nor lesions may lie there), grown by half of `border_px`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool
from scipy import ndimage

from chromogen.structure.filters import Binary, Grey, Values, dilate, grey_of, median, minmax
from chromogen.tensors import UnitImages


@dataclass(frozen=True, kw_only=True)
class OrganMask:
    """The settings of Algorithm 2."""

    threshold: float = 0.1  # of each image stretched to [0, 1]; what is brighter is organ
    border_px: int = 4  # the organ grows by half of it, so that the outer contour is inside
    median: int = 5  # px, odd side of the median that smooths the border
    method: Literal["fill", "zoom"] = "fill"
    smallest_share: float = 0.02  # of the image; a smaller organ is an error
    grey: Grey = "luminance"  # what stands for an image of three channels

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold}; it must be from 0 to below 1, such as 0.1")
        if self.border_px < 0:
            raise ValueError(f"border_px is {self.border_px}; it must be at least 0")
        if not 0 <= self.smallest_share < 1:
            raise ValueError(f"smallest_share is {self.smallest_share}; it must be from 0 to below 1, such as 0.02")


PRESETS: dict[str, OrganMask] = {  # the author's constants
    "brats": OrganMask(threshold=0.30, border_px=10, median=5, method="zoom"),
    "xray": OrganMask(threshold=0.15, border_px=2, median=17, method="zoom"),
    "lung_ct": OrganMask(threshold=0.48, border_px=2, median=3, method="zoom"),
    "tianchi": OrganMask(threshold=0.48, border_px=2, median=3, method="zoom", grey="middle"),
    "retina": OrganMask(threshold=0.30, border_px=10, median=17, method="zoom"),
}
DEFAULT = OrganMask()


@torch.no_grad()
def organ(images: UnitImages, settings: OrganMask = DEFAULT) -> Values:
    """The organ of each image in [0, 1], as (N, 1, H, W) float32 of 0 and 1 on the device of `images`.

    An organ smaller than `smallest_share` of its image is a ValueError: then the threshold does not suit the image.
    """
    bright = (minmax(grey_of(images, settings.grey)) > settings.threshold).to(torch.uint8)  # Algorithm 2, lines 1 and 2
    if settings.method == "zoom":
        inside = _zoomed(bright, settings.border_px)
    else:  # the median before, too: it cuts the thread by which a couch or a cable hangs on the organ
        inside = _filled(median(bright, settings.median), settings.border_px)
    inside = median(inside, settings.median)  # 6
    shares = inside.flatten(1).float().mean(dim=1)
    smallest = int(shares.argmin())
    if float(shares[smallest]) < settings.smallest_share:
        raise ValueError(
            f"the organ of image {smallest} of {len(images)} covers {float(shares[smallest]):.2%} of it, less than "
            f"{settings.smallest_share:.2%}; lower the threshold {settings.threshold:g}, or leave the image out"
        )
    return inside.float()


def _zoomed(bright: Binary, border_px: int) -> Binary:
    """Lines 3 to 5: enlarge the background to (H + p, W + p) by nearest neighbour and cut its middle out."""
    height, width = bright.shape[-2:]
    background = F.interpolate((1 - bright).float(), size=(height + border_px, width + border_px), mode="nearest")
    start = border_px // 2
    return 1 - background[..., start : start + height, start : start + width].to(torch.uint8)


def _filled(bright: Binary, border_px: int) -> Binary:
    """The largest piece without holes, grown. Pieces are numbered on the CPU, whatever the device."""
    whole = np.stack([_largest_piece(image) for image in bright[:, 0].cpu().numpy() > 0])
    return dilate(torch.from_numpy(whole)[:, None].to(bright), border_px // 2)


def _largest_piece(bright: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """The largest 4-connected piece with every hole filled: background that does not reach the border of the image."""
    pieces, count = ndimage.label(bright)
    if count == 0:
        return bright
    largest = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
    outside, _ = ndimage.label(~largest)
    edges = np.concatenate([outside[0], outside[-1], outside[:, 0], outside[:, -1]])
    reaching = np.zeros(outside.max() + 1, dtype=bool)
    reaching[edges] = True
    reaching[0] = False  # 0 is the piece itself
    return ~reaching[outside]
