"""Whether a system makes different images of different tissue, or one image again and again."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float
from PIL import Image

from chromogen.tensors import Uint8Image

THUMBNAIL_PX = 32


def diversity(images: Iterable[Uint8Image]) -> float:
    """Mean over places and channels of the standard deviation over images, in grey levels; 0 when all are alike.

    Each image is first brought to 32x32 px by area means: what differs between images is then tissue, not grain.
    """
    thumbnails = np.stack([_thumbnail(image) for image in images])
    return float(thumbnails.std(axis=0).mean())


def _thumbnail(image: Uint8Image) -> Float[np.ndarray, "32 32 3"]:
    small = Image.fromarray(np.ascontiguousarray(image)).resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64)
