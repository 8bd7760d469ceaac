"""Whether a system makes different images of different tissue, or one image again and again."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from chromogen.tensors import Uint8Image

THUMBNAIL_PX = 32


def diversity(images: Iterable[Uint8Image]) -> float:
    """Mean over places and channels of the standard deviation over images, in grey levels; 0 when all are alike.

    Each image is first brought to 32x32 px by area means: what differs between images is then tissue, not grain. ValueError
    for an image smaller than that.
    """
    thumbnails = np.stack([_thumbnail(image) for image in images])
    return float(thumbnails.std(axis=0).mean())


def _thumbnail(image: Uint8Image) -> Float[np.ndarray, "32 32 3"]:
    """Area means over a grid of 32x32 nearly equal cells."""
    if min(image.shape[:2]) < THUMBNAIL_PX:
        raise ValueError(f"an image of {image.shape[1]}x{image.shape[0]} px is smaller than the {THUMBNAIL_PX} px compared")
    means = image.astype(np.float64)
    for axis in (0, 1):
        edges = np.linspace(0, image.shape[axis], THUMBNAIL_PX + 1).round().astype(int)
        widths = np.diff(edges).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
        means = np.add.reduceat(means, edges[:-1], axis=axis) / widths
    return means
