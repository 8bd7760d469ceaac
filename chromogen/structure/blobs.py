"""Lesions that nobody has: smooth random outlines, for data sets whose real outlines must not be reused.

The outline of a real lesion is a patient's data. A blob's is r(angle) = R (1 + sum over k of a_k cos(k angle + phase_k)),
with random a_k that fall as 1 / k^2, squeezed along a random axis.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from chromogen.structure.lesions import MaskLesion, OrganPixels

WAVES = np.arange(2, 8)  # around the outline; one wave would only shift it


@dataclass(frozen=True, kw_only=True)
class Blob:
    """What random lesions look like."""

    radius_px: tuple[float, float] = (4.0, 20.0)  # drawn so that each octave is as likely
    roughness: float = 0.5  # 0 draws ellipses; at 1 outlines swing by about half of the radius
    longest: float = 2.0  # length over width at the most
    classes: tuple[int, ...] = (1,)  # from the rim to the middle: (2, 1) is a core of class 1 inside a rim of class 2

    def __post_init__(self) -> None:
        low, high = self.radius_px
        if not 1 <= low <= high:
            raise ValueError(f"radius_px is ({low}, {high}); it must rise from at least 1, such as (4, 20)")
        if not 0 <= self.roughness <= 1 or self.longest < 1:
            raise ValueError(f"roughness is {self.roughness} and longest {self.longest}; they are from 0 to 1 and at least 1")
        if not self.classes or not all(1 <= c <= 255 for c in self.classes):
            raise ValueError(f"classes is {self.classes}; it needs at least one class, each from 1 to 255")


def blob(settings: Blob, organ: OrganPixels, rng: np.random.Generator) -> MaskLesion:
    """One random lesion about a random pixel of the organ; `placement.place` sees to it that it lies inside.

    It covers at least one pixel, and every class of `classes` that has room. An organ without a pixel is a ValueError.
    """
    places = np.argwhere(organ)
    if not len(places):
        raise ValueError("the organ is empty, so no lesion can lie in it; leave the image out")
    row, column = places[int(rng.integers(len(places)))]
    low, high = settings.radius_px
    radius = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    reach = int(np.ceil(2.5 * radius * np.sqrt(settings.longest)))
    down, across = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(float)
    turn, squeeze = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(1, settings.longest))
    x, y = across * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - across * np.sin(turn)
    x, y = x / squeeze, y * squeeze
    depth = np.hypot(x, y) / (radius * _outline(np.arctan2(y, x), settings.roughness, rng))  # 0 in the middle, 1 on the rim
    pixels = np.zeros(depth.shape, dtype=np.uint8)
    for number, c in enumerate(settings.classes):
        pixels[depth < 1 - number / len(settings.classes)] = c
    return MaskLesion(pixels, int(row) - reach, int(column) - reach).trimmed()


def blobs(settings: Blob, count: int, organ: OrganPixels, rng: np.random.Generator) -> tuple[MaskLesion, ...]:
    """A bank of `count` random lesions."""
    return tuple(blob(settings, organ, rng) for _ in range(count))


def _outline(angle: Float[np.ndarray, "rows columns"], roughness: float, rng: np.random.Generator) -> np.ndarray:
    """The radius at each angle over the mean one, at least 0.3 and at most 2.5."""
    heights = roughness * rng.normal(0, 1, len(WAVES)) / WAVES**2 * 1.5
    phases = rng.uniform(0, 2 * np.pi, len(WAVES))
    swings = sum(height * np.cos(k * angle + phase) for height, k, phase in zip(heights, WAVES, phases, strict=True))
    return np.clip(1 + swings, 0.3, 2.5)
