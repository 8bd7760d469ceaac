"""What in an image is background and not the darkest tissue: where black begins, and what is not patient at all.

Brains that were z-scored inside their mask are 0 outside, in the middle of their range; CT is padded with -3024 or -2048 around
the circle that the scanner sees; turned MR is padded with 65535. Taken for grey levels, such values move everything: the organ
is lost or the whole picture becomes organ. Here a constant that fills the corners is told from the rest.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from chromogen.data.cases.dicom import AIR_HU

FOREGROUND = 0.1  # of the range above its lower end: what is brighter is tissue, not air
FLOOR = 0.2  # what the darkest tissue becomes where the background lies within its range; above every threshold of an organ
LEAST_SHARE, LEAST_BORDER = 0.005, 0.25  # of an image, and of its border, that a constant background fills
PADDED = -1500.0  # a darkest background up to this is padding, not air
NEAR = 0.1  # of the range of the rest: what surrounds padding is air when its median is below,
MOST_AIR = 0.9  # and when no more than this share of the rest is as dark: else it is tissue of one grey level


@dataclass(frozen=True)
class GreyRange:
    """The values that become 0 and 1. `background` is a constant that becomes 0 wherever it lies, None for none; `floor` is
    what `low` then becomes."""

    low: float
    high: float
    background: float | None = None
    floor: float = 0.0

    def unit(self, pixels: Float[np.ndarray, "height width *colour"]) -> Float[np.ndarray, "height width *colour"]:
        """float32 in [0, 1]; all 0 where the range is empty."""
        if not self.high > self.low:
            return np.zeros(pixels.shape, dtype=np.float32)
        scaled = np.clip((pixels.astype(np.float32) - np.float32(self.low)) / np.float32(self.high - self.low), 0, 1)
        if self.floor:
            scaled = np.float32(self.floor) + np.float32(1 - self.floor) * scaled
        if self.background is not None:
            scaled[pixels == self.background] = 0
        return scaled

    def tissue(self, pixels: np.ndarray) -> Bool[np.ndarray, "height width"]:
        """What is brighter than air."""
        if self.background is not None and self.floor:
            return pixels != self.background
        bright = pixels > self.low + FOREGROUND * (self.high - self.low)
        return bright if self.background is None else bright & (pixels != self.background)


def grey_range(values: np.ndarray, ct: bool = False) -> GreyRange:
    """The range of an image or a volume without its background.

    From the 0.5th percentile of all to the 99.5th of what lies above it, so that the share of empty background, which is most
    of a head without skull, has no say in the upper end. A constant background that is not the lowest value, or that lies below
    `PADDED`, is left out first. `ct`: nothing below air counts.
    """
    if ct and (values < AIR_HU).any() and (values >= AIR_HU).any():
        values = np.where(values < AIR_HU, values[values >= AIR_HU].min(), values)
    found = background_of(values)
    if found is None:
        return GreyRange(*robust_range(values))
    outside = values == found
    rest = values[~outside]
    low, high = robust_range(rest)
    if not high > low or PADDED < found <= low:
        return GreyRange(*robust_range(values))
    inside = low < found < high  # brains are z-scored, so that what is outside lies between dark and bright; padding never does
    air = not inside and _is_air_around(values, outside, low, high)
    return GreyRange(low, high, float(found), 0.0 if air else FLOOR)


def background_of(values: np.ndarray) -> float | None:
    """The value that most corners have, when it also fills a part of the border and of the whole; None where none does."""
    corners = values[np.ix_(*((0, side - 1) for side in values.shape))].ravel()
    levels, counts = np.unique(corners, return_counts=True)
    level = levels[counts.argmax()]
    if counts.max() <= len(corners) / 2 or values.min() == values.max():
        return None
    faces = [np.take(values, end, axis=axis) for axis, side in enumerate(values.shape) for end in (0, side - 1) if side > 1]
    if values.ndim == 3:
        faces = faces[:4] if len(faces) >= 4 else faces  # the sides of the slices: heads and feet are cut where the patient is
    border = np.concatenate([face.ravel() for face in faces])
    share = float((values == level).mean())
    return float(level) if share >= LEAST_SHARE and float((border == level).mean()) >= LEAST_BORDER else None


def robust_range(values: np.ndarray) -> tuple[float, float]:
    """The 0.5th percentile of all values and the 99.5th of those above it; equal when nothing is above."""
    low = float(np.percentile(values, 0.5))
    above = values[values > low]
    return low, float(np.percentile(above, 99.5)) if above.size else low


def _is_air_around(values: np.ndarray, outside: np.ndarray, low: float, high: float) -> bool:
    """Whether what touches the background is as dark as air: then the image has air of its own, and the constant is padding."""
    ring = ndimage.binary_dilation(outside) & ~outside
    around = values[ring]
    dark = low + NEAR * (high - low)
    return bool(around.size) and float(np.median(around)) <= dark and float((values[~outside] <= dark).mean()) < MOST_AIR
