"""Where the nuclei are: each edge of a nucleus votes for the middle of the nucleus it belongs to.

A nucleus may be an even disc, a dark rim around a pale middle, or a pale hole in brown membranes; what all three have is an
outline that faces the middle. So every pixel with a slope sends votes up that slope, over the radii nuclei have, and nuclei are
where votes meet (the radial symmetry of Loy & Zelinsky, IEEE Trans. Pattern Anal. 25:959, 2003, without its even parts). Flat
colour has no slopes and blur has weak ones, so neither makes nuclei. Lengths are um, densities decadic.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from scipy.spatial import cKDTree

from chromogen.color import BAND_ROWS, H_DAB, H_E, Stains, optical_density
from chromogen.evaluate.pixels.smoothing import smoothed
from chromogen.tensors import Uint8Image
from chromogen.tissue import Mask, glass

Density = Float32[np.ndarray, "height width"]
FINEST_MPP, COARSEST_MPP = 0.1, 2.0
PLACES = 4096  # looked at together: memory stays flat


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


def densities(image: Uint8Image, stains: Stains, hidden: Mask | None = None) -> Densities:
    """Separate a uint8 RGB image into `stains` (H_DAB or H_E) under the colour of its own empty glass; nothing is clipped.

    What is `hidden` (padding, ink: `chromogen.tissue.unseen`) counts as glass and does not tell its colour.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"the image must be uint8 RGB of shape (H, W, 3), got {image.dtype} {image.shape}")
    white = glass(image, hidden)
    levels = np.arange(256, dtype=np.float32) / 255
    table = np.ascontiguousarray(optical_density(levels[:, None].repeat(3, axis=1), white.astype(np.float32)).T)
    weights = [*stains.inverse.astype(np.float32).T, np.full(3, 1 / 3, dtype=np.float32)]
    planes = np.empty((4, *image.shape[:2]), dtype=np.float32)
    for top in range(0, len(image), BAND_ROWS):
        band = image[top : top + BAND_ROWS]
        red, green, blue = (table[channel].take(band[..., channel]) for channel in range(3))
        for plane, (of_red, of_green, of_blue) in zip(planes, weights, strict=True):
            plane[top : top + BAND_ROWS] = red * of_red + green * of_green + blue * of_blue
    if hidden is not None:
        planes[:, hidden] = 0
    return Densities(planes[0], planes[1], planes[2], planes[3], (float(white[0]), float(white[1]), float(white[2])))


def ihc_densities(image: Uint8Image, hidden: Mask | None = None) -> Densities:
    return densities(image, H_DAB, hidden)


def he_densities(image: Uint8Image, hidden: Mask | None = None) -> Densities:
    return densities(image, H_E, hidden)


def outside(middles: Float64[np.ndarray, "nuclei 2"], hidden: Mask | None) -> Float64[np.ndarray, "nuclei 2"]:
    """The middles that do not lie in what is hidden."""
    if hidden is None:
        return middles
    rows, columns = middles.astype(int).T
    return middles[~hidden[rows, columns]]


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
    votes = _votes(smoothed(evidence, search.smooth_um / mpp, truncate=3), mpp, search)
    middles = _peaks(votes, max(1, round(search.apart_um / mpp)), search.least_votes)
    blue, all_stain = (_around(part, middles, 1.0 / mpp) for part in (found.haematoxylin, found.total))
    return middles[(blue > search.least_haematoxylin) | (all_stain > search.least_density)].astype(np.float64)


def _votes(evidence: Density, mpp: float, search: Search) -> Density:
    """Votes a um2: every slope votes up itself at each radius, by its steepness."""
    height, width = evidence.shape
    if min(height, width) < 2:
        return np.zeros((height, width), dtype=np.float32)
    down, right = np.gradient(evidence, mpp)
    steep = np.sqrt(down * down + right * right).ravel()
    voters = np.flatnonzero(steep > search.least_slope)
    steep = steep[voters]
    up_y, up_x = down.ravel()[voters] / steep, right.ravel()[voters] / steep
    weight = np.minimum(steep, search.most_slope).astype(np.float64)
    reach = math.ceil(max(search.radii_um) / mpp) + 1  # a rim takes the votes that leave the image
    wide = width + 2 * reach
    y, x = (at + np.float32(reach) for at in divmod(voters.astype(np.int32), np.int32(width)))
    total = np.zeros((height + 2 * reach) * wide)
    for radius_um in search.radii_um:
        radius_px = np.float32(radius_um / mpp)
        at = np.rint(y + up_y * radius_px).astype(np.int32) * np.int32(wide) + np.rint(x + up_x * radius_px).astype(np.int32)
        total += np.bincount(at, weight, total.size)
    # a radius step stands for the stretch to the next; pixels of voters and pixels of votes cancel
    step_um = (max(search.radii_um) - min(search.radii_um)) / max(1, len(search.radii_um) - 1)
    inside = total.reshape(-1, wide)[reach : reach + height, reach : reach + width]
    return smoothed((inside * step_um).astype(np.float32), search.gather_um / mpp, exact=False, truncate=3)


def _peaks(votes: Density, apart_px: int, least: float) -> Int64[np.ndarray, "peaks 2"]:
    """Pixels (y, x) above `least` that no other within a square of `apart_px` around outvotes, the highest first.

    Of equal ones nearer than that the first stands; a plane without any difference has none. As scikit-image's
    peak_local_max, which looks for the maximum around every pixel, not only around those that no neighbour outvotes.
    """
    rim = np.pad(votes, apart_px, constant_values=-np.inf)
    height, width = votes.shape
    near = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    middle = votes > least
    for down, right in near:
        moved = rim[apart_px + down : apart_px + down + height, apart_px + right : apart_px + right + width]
        middle &= votes >= moved
    if middle.all():
        return np.empty((0, 2), dtype=np.int64)
    places = np.argwhere(middle)
    side = 2 * apart_px + 1
    squares = np.lib.stride_tricks.sliding_window_view(rim, (side, side))
    highest = np.empty(len(places), dtype=votes.dtype)
    for start in range(0, len(places), PLACES):
        some = places[start : start + PLACES]
        highest[start : start + PLACES] = squares[some[:, 0], some[:, 1]].max(axis=(1, 2))
    own = votes[places[:, 0], places[:, 1]]
    places, own = places[own == highest], own[own == highest]
    places = places[np.argsort(-own, kind="stable")]
    if not len(places):
        return places
    lost: set[int] = set()
    for first, second in sorted(cKDTree(places).query_pairs(apart_px - 0.5, p=np.inf)):
        if first not in lost:
            lost.add(second)
    return np.delete(places, sorted(lost), axis=0)


def _around(plane: Density, places: Int64[np.ndarray, "places 2"], sigma_px: float) -> Float[np.ndarray, " places"]:
    """What a Gaussian (to 3 deviations, borders mirrored) leaves of the plane at a few places."""
    reach = int(3 * sigma_px + 0.5)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    taps /= taps.sum()
    rim = np.pad(plane, reach, mode="symmetric")
    squares = np.lib.stride_tricks.sliding_window_view(rim, (len(taps), len(taps)))
    result = np.empty(len(places))
    for start in range(0, len(places), PLACES):
        some = places[start : start + PLACES]
        result[start : start + PLACES] = squares[some[:, 0], some[:, 1]] @ taps @ taps
    return result
