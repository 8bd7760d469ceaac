"""138 hand-made features of a stained image, each with a name; no weights.

Three maps of the image at its own size - haematoxylin and DAB density (decadic, H-E-DAB vectors, light of 1.0) and luma in
[0, 1] - each described by first-order statistics, grey-level co-occurrence (Haralick et al., IEEE Trans. SMC 3:610, 1973),
gradients, local binary patterns (Ojala et al., IEEE Trans. PAMI 24:971, 2002) and Haar wavelet bands. Distances over them
follow the idea of the Frechet Radiomics Distance (Konz et al., 2026): each feature in units of its spread over the real
images. The features are our own choice, so the values are comparable among themselves only.
"""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from skimage.feature import graycomatrix, graycoprops

from chromogen.color import H_E_DAB, separate
from chromogen.evaluate.distribution.extractors.extractor import Extractor
from chromogen.evaluate.pixels.likeness import LUMA
from chromogen.tensors import Uint8Image

NEEDS_FILE = False
FULL_DENSITY = 1.2  # where the scale of grey levels ends; in seven of eight real IHC images 99 % of DAB lies below 0.8
DARKEST_DENSITY = 2.4  # the optical density of grey level 1 of 255; black pixels would count as 6 and rule every moment
PERCENTILES = (10, 25, 50, 75, 90, 99)
GREY_LEVELS = 32
DISTANCES_PX = (1, 4)
ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
TEXTURES = ("contrast", "dissimilarity", "homogeneity", "ASM", "correlation", "entropy")
RING = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))  # around a pixel, from the top left of its 3x3
PATTERNS = 10  # uniform patterns of eight neighbours: nine by their number of brighter ones, and the rest
WAVELET_LEVELS = 5

_BITS = (np.arange(256)[:, None] >> np.arange(8)) & 1
# A pattern is uniform when the ring changes between darker and brighter at most twice; then the brighter ones are counted.
UNIFORM = np.where((np.roll(_BITS, 1, axis=1) != _BITS).sum(axis=1) <= 2, _BITS.sum(axis=1), PATTERNS - 1)

MAPS = ("haematoxylin", "dab", "luma")
OF_ONE_MAP = (
    *(f"first-order/{name}" for name in ("mean", "std", "skewness", "kurtosis", "entropy", "uniformity")),
    *(f"first-order/p{percent}" for percent in PERCENTILES),
    *(f"glcm/{name.lower()}-{distance}px" for name in TEXTURES for distance in DISTANCES_PX),
    *(f"gradient/{name}" for name in ("mean", "std")),
    *(f"lbp/{pattern}" for pattern in range(PATTERNS)),
    *(f"haar/{band}-{2**level}px" for level in range(1, WAVELET_LEVELS + 1) for band in ("edges", "diagonal")),
)
NAMES = tuple(f"{one}/{feature}" for one in MAPS for feature in OF_ONE_MAP)


def describe(image: Uint8Image) -> Float[np.ndarray, " features"]:
    """The features of one image of at least 32 px a side, in the order of `NAMES`."""
    unit = image.astype(np.float32) / 255
    densities = np.minimum(separate(unit, H_E_DAB), DARKEST_DENSITY)
    rows = [_described(densities[..., at], FULL_DENSITY) for at in (0, 2)]
    return np.concatenate([*rows, _described(unit @ LUMA, 1.0)])


def _described(values: Float[np.ndarray, "height width"], full: float) -> Float[np.ndarray, " of_one_map"]:
    levels = np.minimum(values * (255 / full) + 0.5, 255).astype(np.uint8)
    parts = [_first_order(values, levels), _textures(levels), _gradients(values), _patterns(levels), _haar(values)]
    return np.concatenate(parts)


def _first_order(values: Float[np.ndarray, "height width"], levels: UInt8[np.ndarray, "height width"]) -> np.ndarray:
    """Moments and percentiles of the values; entropy (bits) and uniformity of their 256 levels."""
    centred = values.astype(np.float64)
    mean = centred.mean()
    centred -= mean
    squares = centred * centred
    variance = squares.mean()
    # A flat image has no shape; rounding must not give it one.
    flat = variance <= 1e-12
    skewness = 0.0 if flat else (squares * centred).mean() / variance**1.5
    kurtosis = 0.0 if flat else (squares * squares).mean() / variance**2
    shares = np.bincount(levels.ravel(), minlength=256) / levels.size
    seen = shares[shares > 0]
    moments = [mean, np.sqrt(variance), skewness, kurtosis, -(seen * np.log2(seen)).sum(), (seen * seen).sum()]
    return np.array([*moments, *np.percentile(values, PERCENTILES)], dtype=np.float64)


def _textures(levels: UInt8[np.ndarray, "height width"]) -> np.ndarray:
    """Haralick's properties of 32 grey levels, means over four directions, at each distance."""
    pairs = graycomatrix(levels // (256 // GREY_LEVELS), DISTANCES_PX, ANGLES, GREY_LEVELS, symmetric=True, normed=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a flat image has no correlation; scikit-image then answers 1
        return np.concatenate([graycoprops(pairs, texture).mean(axis=1) for texture in TEXTURES])


def _gradients(values: Float[np.ndarray, "height width"]) -> np.ndarray:
    """Mean and spread of the steepness, per px, by central differences."""
    across, down = values[1:-1, 2:] - values[1:-1, :-2], values[2:, 1:-1] - values[:-2, 1:-1]
    steepness = np.hypot(across, down) / 2
    return np.array([steepness.mean(dtype=np.float64), steepness.std(dtype=np.float64)])


def _patterns(levels: UInt8[np.ndarray, "height width"]) -> np.ndarray:
    """Shares of the patterns that the eight pixels around each inner pixel make by being at least as bright."""
    height, width = levels.shape
    centre, code = levels[1:-1, 1:-1], np.zeros((height - 2, width - 2), dtype=np.uint8)
    for bit, (down, right) in enumerate(RING):
        brighter = levels[down : height - 2 + down, right : width - 2 + right] >= centre
        code |= brighter.view(np.uint8) << np.uint8(bit)
    shares = np.bincount(code.ravel(), minlength=256) / code.size
    return np.bincount(UNIFORM, weights=shares, minlength=PATTERNS)


def _haar(values: Float[np.ndarray, "height width"]) -> np.ndarray:
    """Root mean square of the orthonormal Haar details: rows and columns together, and diagonals. Odd edges are left out."""
    rest, bands = values.astype(np.float64), []
    for _ in range(WAVELET_LEVELS):
        rest = rest[: len(rest) // 2 * 2, : rest.shape[1] // 2 * 2]
        a, b, c, d = rest[::2, ::2], rest[::2, 1::2], rest[1::2, ::2], rest[1::2, 1::2]
        edges = ((a + b - c - d) ** 2 + (a - b + c - d) ** 2).mean() / 8
        diagonal = ((a - b - c + d) ** 2).mean() / 4
        bands += [np.sqrt(edges), np.sqrt(diagonal)]
        rest = (a + b + c + d) / 2
    return np.array(bands)


def extractor(file: Path | None = None) -> Extractor:
    """It reads no file; one that is named is a ValueError."""
    if file is not None:
        raise ValueError(f"radiomics has no weights; leave {file} out")
    how = f"RGB at its own size; haematoxylin and DAB density and luma; {GREY_LEVELS} grey levels for co-occurrence"
    return Extractor("radiomics", len(NAMES), how, describe)
