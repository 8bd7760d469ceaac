"""Whether a synthetic image is a real one again: turned, mirrored or moved a little, or with noise on it.

The measure is normalised cross-correlation (NCC) of pixels. How alike is too alike is learned from patients that the generator
never saw: the threshold is a percentile of the NCC between held-out images and their nearest training images (Dar et al.,
Nat. Biomed. Eng. 2025, do so with learned features). By construction as many innocent images lie above it as held-out ones
do: 5 of 100 at the 95th percentile. Look at the pairs; no measure proves that nobody can be recognised.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float, Float32, Shaped
from scipy import ndimage

Images = Shaped[np.ndarray, "images height width"] | Shaped[np.ndarray, "images height width channels"]

TURNS = ("as it is", "turned 90", "turned 180", "turned 270")  # degrees counter-clockwise
MIRRORED = "mirrored, then "  # left and right change places before the image is turned
SIDE_PX = 64  # of the images compared: a copy is one at any resolution, and time grows with the number of pixels
SHIFT_PX = 3
# Of planted copies (mirrored, turned, moved, noise of 0.05) of 64 px phantom chests the whole images find 8 of 10, detail
# between these sigmas 10 of 10; of phantom brains both find all, by a margin of 0.04 and of 0.18.
BAND_PX = (1.0, 4.0)
PERCENTILE = 95.0
BLOCK_BYTES = 64 * 2**20  # of each of the two tables whose product is taken


@dataclass(frozen=True)
class Match:
    """What real image an image resembles most. The real one is seen when the image is transformed, then moved by the shift.

    shift_px: rows down and columns right, in pixels of the images compared (see `copies`). ncc: in [-1, 1].
    """

    real: int
    ncc: float
    transform: str
    shift_px: tuple[int, int]
    is_copy: bool


@dataclass(frozen=True)
class Copies:
    """The match of each synthetic image; `threshold` is the NCC from which on an image counts as a copy.

    side_px: longer side of the images as they were compared; of shifts too.
    """

    matches: tuple[Match, ...]
    threshold: float
    percentile: float
    side_px: int

    @property
    def count(self) -> int:
        return sum(match.is_copy for match in self.matches)

    @property
    def share(self) -> float:
        return self.count / len(self.matches)


@dataclass(frozen=True)
class Nearest:
    """For each image of a set the most alike one of another set; rows of `shift_px` are (rows, columns)."""

    real: np.ndarray
    ncc: np.ndarray
    transform: list[str]
    shift_px: np.ndarray


def copies(
    synthetic: Images,
    train: Images,
    holdout: Images,
    percentile: float = PERCENTILE,
    shift_px: int = SHIFT_PX,
    side_px: int | None = SIDE_PX,
    band_px: tuple[float, float] | None = BAND_PX,
) -> Copies:
    """Find synthetic images that repeat a training image, by a threshold from how much held-out images resemble them.

    Images: any number type, all of one size; the modalities of a case may be channels and then match together. They are
    compared at `side_px` on their longer side (None: as they are; an image is only ever reduced, by area means over whole
    numbers of pixels) under mirroring, turns by 90 degrees (by 180 when they are not square) and shifts of up to `shift_px`
    pixels of that size. Of these images, detail between two Gaussians of the sigmas `band_px` is compared (None: all of it):
    what is broader all patients share, what is finer is noise. A copy has an NCC above the threshold.
    """
    if not 0 < percentile < 100:
        raise ValueError(f"the percentile lies between 0 and 100, got {percentile}")
    sets = {"synthetic": synthetic, "train": train, "holdout": holdout}
    for name, images in sets.items():
        if images.ndim not in (3, 4) or images.size == 0:
            raise ValueError(f"the {name} images must be (N, H, W) or (N, H, W, channels), got {images.shape}")
    if len({images.shape[1:] for images in sets.values()}) > 1:
        shapes = {name: images.shape[1:] for name, images in sets.items()}
        raise ValueError(f"all images must have one size, got {shapes}; prepare the sets in the same way")
    if side_px is not None:
        synthetic, train, holdout = (reduced(images, side_px) for images in (synthetic, train, holdout))
    if band_px is not None:
        if not 0 <= band_px[0] < band_px[1]:
            raise ValueError(f"a band lies between two sigmas, the finer one first, got {band_px}")
        synthetic, train, holdout = (detail(images, band_px) for images in (synthetic, train, holdout))
    innocent = nearest_by_correlation(holdout, train, shift_px)
    threshold = float(np.percentile(innocent.ncc, percentile))
    found = nearest_by_correlation(synthetic, train, shift_px)
    matches = tuple(
        Match(int(real), float(ncc), transform, (int(down), int(right)), bool(ncc > threshold))
        for real, ncc, transform, (down, right) in zip(found.real, found.ncc, found.transform, found.shift_px, strict=True)
    )
    return Copies(matches, threshold, percentile, max(train.shape[1:3]))


def nearest_by_correlation(images: Images, real: Images, shift_px: int = SHIFT_PX) -> Nearest:
    """Of each image the real one of greatest NCC over all transforms and shifts; the first one when several are equal.

    NCC is taken over the pixels that the moved image and the real one share; a flat image has none, which counts as 0. Plain
    products of tables do it, one for each transform and shift: for a few pixels of shift that is faster than transforming
    every pair of images to frequencies and back, and exact at the border.
    """
    height, width = real.shape[1:3]
    if not 0 <= shift_px < min(height, width) // 2:
        raise ValueError(f"shifts are from 0 to less than half of {width}x{height} px, got {shift_px} px")
    transforms = transform_names(square=height == width)
    best = np.full(len(images), -np.inf, dtype=np.float32)
    place = np.zeros((len(images), 4), dtype=np.int64)  # real image, transform, rows, columns
    step = max(1, BLOCK_BYTES // (4 * real[0].size))
    for first in range(0, len(images), step):
        rows = slice(first, first + step)
        for number, transform in enumerate(transforms):
            turned = transformed(images[rows], transform)
            for other in range(0, len(real), step):
                for down, right in product(range(-shift_px, shift_px + 1), repeat=2):
                    values = _unit_rows(_moved_part(turned, down, right)) @ (
                        _unit_rows(_moved_part(real[other : other + step], -down, -right)).T
                    )
                    chosen = values.argmax(axis=1)
                    reached = values[np.arange(len(values)), chosen]
                    better = np.flatnonzero(reached > best[rows])
                    best[first + better] = reached[better]
                    for k in better:
                        place[first + k] = other + chosen[k], number, down, right
    return Nearest(place[:, 0], np.clip(best, -1, 1), [transforms[k] for k in place[:, 1]], place[:, 2:])


def transform_names(square: bool) -> tuple[str, ...]:
    """The turns and mirrorings that keep an image's size."""
    turns = TURNS if square else TURNS[::2]
    return *turns, *(MIRRORED + turn for turn in turns)


def transformed(images: Images, transform: str) -> Images:
    """Images turned, or mirrored and turned, as one of `transform_names` says."""
    if transform.startswith(MIRRORED):
        images = images[:, :, ::-1]
    return np.rot90(images, TURNS.index(transform.removeprefix(MIRRORED)), axes=(1, 2))


def reduced(images: Images, side_px: int) -> Images:
    """Area means over squares of whole pixels, as large as leave at least `side_px` on the longer side; a rest is cut off."""
    height, width = images.shape[1:3]
    cell = min(max(1, max(height, width) // side_px), height, width)
    rows, columns = height // cell, width // cell
    whole = images[:, : rows * cell, : columns * cell].astype(np.float32)
    return whole.reshape(len(images), rows, cell, columns, cell, *images.shape[3:]).mean(axis=(2, 4))


def detail(images: Images, band_px: tuple[float, float]) -> Float32[np.ndarray, "images height width *channels"]:
    """The images behind the finer Gaussian less those behind the coarser one; the border mirrored."""
    result = np.empty(images.shape, dtype=np.float32)
    for image, place in zip(images, result, strict=True):
        fine, coarse = (ndimage.gaussian_filter(image.astype(np.float64), sigma, axes=(0, 1)) for sigma in band_px)
        place[...] = np.where(np.abs(fine - coarse) > 1e-9 * np.abs(image).max(), fine - coarse, 0.0)  # flat stays flat
    return result


def _moved_part(images: Images, down: int, right: int) -> Images:
    """What remains inside when images are moved; moving the other way gives the same place of an image that stays."""
    height, width = images.shape[1:3]
    return images[:, max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]


def _unit_rows(images: Images) -> Float32[np.ndarray, "images pixels"]:
    """Each image as a row of mean 0 and length 1; a flat one as zeros."""
    rows: Float[np.ndarray, "images pixels"] = images.reshape(len(images), -1).astype(np.float32)
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    scale = np.abs(images).max() * np.sqrt(rows.shape[1])
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-6 * scale)
