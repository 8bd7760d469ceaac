"""Where the nuclei are: each edge of a nucleus votes for the middle of the nucleus it belongs to.

A nucleus may be an even disc, a dark rim around a pale middle, or a pale hole in brown membranes; what all three have is an
outline that faces the middle. So every pixel with a slope sends votes up that slope, over the radii nuclei have, and nuclei are
where votes meet (the radial symmetry of Loy & Zelinsky, IEEE Trans. Pattern Anal. 25:959, 2003, without its even parts). Flat
colour has no slopes and blur has weak ones, so neither makes nuclei. Lengths are um, densities decadic.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64
from scipy import ndimage
from skimage.feature import peak_local_max

from chromogen.color import H_DAB, H_E, Stains, background, optical_density
from chromogen.tensors import Uint8Image

Density = Float32[np.ndarray, "height width"]
FINEST_MPP, COARSEST_MPP = 0.1, 2.0


@dataclass(frozen=True)
class Search:
    """What counts as a nucleus. The slopes are density per um, votes are slopes summed over a nucleus' outline."""

    smooth_um: float = 0.6  # deviation, against noise
    radii_um: tuple[float, ...] = (1.25, 1.75, 2.25, 2.75, 3.25, 3.75)  # from half the breadth of a spindle nucleus
    least_slope: float = 0.012
    most_slope: float = 0.1  # a steeper slope votes no louder, or membranes would drown the nuclei
    gather_um: float = 0.8  # deviation of the smoothing of votes
    apart_um: float = 2.0
    least_votes: float = 0.09  # votes: slope times um of radius
    least_haematoxylin: float = 0.03  # around the middle, or
    least_density: float = 0.08  # mean of R, G and B there: a hole in dark brown is a nucleus, a hole onto the glass is none
    brown_share: float = 0.3  # how much DAB counts against haematoxylin
    brown_most: float = 0.5  # more DAB than this says no more


SEARCH = Search()
# beside eosin collagen is as blue and as fine as spindle nuclei, which DAB slides leave pale: larger radii, more smoothing
SEARCH_EOSIN = Search(
    radii_um=(1.75, 2.25, 2.75, 3.25, 3.75, 4.25), gather_um=1.0, apart_um=2.5, least_haematoxylin=math.inf, least_density=0.05
)


@dataclass(frozen=True, eq=False)
class Densities:
    """An image as densities under its own light: of its two stains, what neither explains, and all (mean of R, G, B)."""

    haematoxylin: Density
    other: Density  # DAB or eosin
    residual: Density
    total: Density
    white: tuple[float, float, float]


def densities(image: Uint8Image, stains: Stains) -> Densities:
    """Separate a uint8 RGB image into `stains` (H_DAB or H_E) under the colour of its own empty glass; nothing is clipped."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"the image must be uint8 RGB of shape (H, W, 3), got {image.dtype} {image.shape}")
    white = background(image)
    unit = np.maximum(image.astype(np.float32), 0.5) / 255  # black is half a grey level: 2.7 optical densities, not 6
    density = optical_density(unit, white.astype(np.float32))
    amounts = density @ stains.inverse.astype(np.float32)
    first, second, rest = (np.ascontiguousarray(amounts[..., k]) for k in range(3))
    return Densities(first, second, rest, density.mean(axis=2), (float(white[0]), float(white[1]), float(white[2])))


def ihc_densities(image: Uint8Image) -> Densities:
    return densities(image, H_DAB)


def he_densities(image: Uint8Image) -> Densities:
    return densities(image, H_E)


def check_mpp(mpp: float) -> None:
    """Raise ValueError where `mpp` (um per pixel) is none of a microscope in which nuclei can be seen."""
    if not FINEST_MPP <= mpp <= COARSEST_MPP:  # NaN too
        allowed = f"{FINEST_MPP:g} to {COARSEST_MPP:g}"
        raise ValueError(f"mpp is {mpp:g} um per pixel; it must be from {allowed} (0.25 is a 40x scan, 0.5 a 20x scan)")


def find_nuclei(
    found: Densities, mpp: float, search: Search | None = None, brown: bool = True
) -> Float64[np.ndarray, "nuclei 2"]:
    """Middles (y, x) in pixels of the nuclei, the most certain first. `brown`: the second stain is DAB and counts against.

    Without `search` it is SEARCH for brown slides, SEARCH_EOSIN for others.
    Raises ValueError for an `mpp` (um per pixel) outside 0.1-2.
    """
    check_mpp(mpp)
    search = search or (SEARCH if brown else SEARCH_EOSIN)
    evidence = np.clip(found.haematoxylin, -0.2, 0.8)
    if brown:
        evidence = evidence - search.brown_share * np.clip(found.other, 0, search.brown_most)
    votes = _votes(ndimage.gaussian_filter(evidence, search.smooth_um / mpp, truncate=3), mpp, search)
    apart_px = max(1, round(search.apart_um / mpp))
    middles = peak_local_max(votes, min_distance=apart_px, threshold_abs=search.least_votes, exclude_border=False)
    blue, all_stain = (
        ndimage.gaussian_filter(part, 1.0 / mpp, truncate=3)[middles[:, 0], middles[:, 1]]
        for part in (found.haematoxylin, found.total)
    )
    return middles[(blue > search.least_haematoxylin) | (all_stain > search.least_density)].astype(np.float64)


def _votes(evidence: Density, mpp: float, search: Search) -> Float[np.ndarray, "height width"]:
    """Votes a um2: every slope votes up itself at each radius, by its steepness."""
    height, width = evidence.shape
    if min(height, width) < 2:
        return np.zeros((height, width))
    down, right = np.gradient(evidence, mpp)
    steep = np.hypot(down, right).ravel()
    voters = np.flatnonzero(steep > search.least_slope)
    weight = np.minimum(steep[voters], search.most_slope)
    up_y, up_x = down.ravel()[voters] / steep[voters], right.ravel()[voters] / steep[voters]
    y, x = voters // width, voters % width
    total = np.zeros(height * width)
    for radius_um in search.radii_um:
        at_y = np.rint(y + up_y * (radius_um / mpp)).astype(np.int32)
        at_x = np.rint(x + up_x * (radius_um / mpp)).astype(np.int32)
        inside = (at_y >= 0) & (at_y < height) & (at_x >= 0) & (at_x < width)
        total += np.bincount(at_y[inside] * width + at_x[inside], weight[inside], height * width)
    # a radius step stands for the stretch to the next; pixels of voters and pixels of votes cancel
    step_um = (max(search.radii_um) - min(search.radii_um)) / max(1, len(search.radii_um) - 1)
    return ndimage.gaussian_filter(total.reshape(height, width) * step_um, search.gather_um / mpp, truncate=3)
