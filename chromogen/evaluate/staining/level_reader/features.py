"""One IHC image as some sixty numbers: how much DAB, how dark, where, and whether in thin lines as on membranes.

Everything is measured as optical density in the light of the image's own glass. Glass of the BCI scans runs from 0.70 to 1.0
and goes with the slide, as does the label; a reader that saw brightness would learn the slide and not the stain.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from chromogen.color import H_E_DAB, optical_density
from chromogen.tensors import Uint8Image
from chromogen.tissue import Mask, glass, showing, unseen

Plane = Float[np.ndarray, "height width"]

VERSION = 2  # goes up whenever any number below changes: a reader is of use only with the features it was trained on
CUT_OFFS = (0.2, 0.4, 0.6)  # weak, moderate, strong: the DAB densities QuPath proposes for its three positive classes
TISSUE = 0.05  # mean density of the channels above which a pixel is not glass
DAB_QUANTILES = (0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.995)
HAEMATOXYLIN_QUANTILES = (0.1, 0.5, 0.9, 0.99)
TILES = 8  # by side: an island of tumour that fills one tile is 1/64 of the image
POSITIVE_TILE = 0.1  # the share of stained cells from which the guideline counts a pattern
DAB_OCTAVES, HAEMATOXYLIN_OCTAVES, RIDGE_OCTAVES = 5, 4, 3
SMALLEST_PX = 64
FAINT = 1e-3  # density below which texture is noise; keeps logarithms and shares of nothing finite


def features(image: Uint8Image) -> Float[np.ndarray, " features"]:
    """The numbers of one uint8 RGB image (H, W, 3), in the order of `feature_names()`; all are finite.

    Borders of padding are cut off; other padding, and ink, counts in no mean and as glass in textures and tiles.
    They do not depend on the number of pixels, but textures are measured in pixels: show a reader images of the scale (um a
    pixel) it was trained on. Up to 7 rows and columns at the right and lower edge are in no tile. Turned and mirrored images
    answer alike. Raises ValueError for other arrays and for images under 64 px.
    """
    return np.array(list(_measured(image).values()), dtype=np.float64)


@cache
def feature_names() -> tuple[str, ...]:
    return tuple(_measured(np.full((SMALLEST_PX, SMALLEST_PX, 3), 255, dtype=np.uint8)))


def _measured(image: Uint8Image) -> dict[str, float]:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"the level reader needs uint8 RGB of shape (H, W, 3), got {image.dtype} {image.shape}")
    if min(image.shape[:2]) < SMALLEST_PX:
        raise ValueError(f"the level reader needs images of {SMALLEST_PX} px or more, got {image.shape[1]}x{image.shape[0]} px")
    hidden = unseen(image)
    box = showing(hidden, SMALLEST_PX)
    image, hidden = image[box], None if hidden is None else hidden[box]
    channels = _channel_densities(image, hidden)
    seen = _Seen(hidden)
    unmixed = H_E_DAB.inverse.astype(np.float32)
    haematoxylin, eosin, dab = (
        np.maximum(sum(channels[c] * unmixed[c, stain] for c in range(3)), 0.0) for stain in range(3)
    )  # fmt: skip
    tissue = float((seen(channels[0]) + seen(channels[1]) + seen(channels[2]) > 3 * TISSUE).mean())
    return (
        {"tissue": tissue}
        | _dab(seen(dab))
        | _dab_tiles(dab)
        | _spread("haematoxylin", seen(haematoxylin), HAEMATOXYLIN_QUANTILES)
        | {"dab_with_haematoxylin": _correlation(seen(dab), seen(haematoxylin))}
        | _spread("eosin", seen(eosin), ())  # brown that is no DAB, and pink that has no place in IHC
        | _bands("dab", dab, DAB_OCTAVES)
        | _bands("haematoxylin", haematoxylin, HAEMATOXYLIN_OCTAVES)
        | _ridges(dab)
        | _colour([seen(plane) for plane in channels])
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    """The values of a plane that count for means and shares: all, or those that are not hidden, in a row."""

    hidden: Mask | None

    def __call__(self, plane: Plane) -> Plane | Float[np.ndarray, " pixels"]:
        return plane if self.hidden is None else plane[~self.hidden]


def _channel_densities(image: Uint8Image, hidden: Mask | None) -> list[Plane]:
    """Optical density of red, green and blue, 0 where hidden. There are 256 values a channel: each logarithm is taken once."""
    values = np.arange(256)[:, None].repeat(3, axis=1) / 255
    white = glass(image, hidden)
    table = optical_density(values, white).astype(np.float32)
    planes = [table[:, c][image[..., c]] for c in range(3)]
    if hidden is not None:
        for plane in planes:
            plane[hidden] = 0
    return planes


def _dab(dab: Plane) -> dict[str, float]:
    """How much and how dark. Areas are square roots: a share of 1 % and one of 4 % differ as much as 49 % and 64 % do.

    `of_positive` asks how dark the stain is where there is any, so that a small island of 3+ can be told from much 2+.
    """
    areas = [float((dab > cut).mean()) for cut in CUT_OFFS]
    weak = areas[0] + FAINT
    return (
        _spread("dab", dab, DAB_QUANTILES)
        | {f"dab_root_area_{cut}": area**0.5 for cut, area in zip(CUT_OFFS, areas, strict=True)}
        | {f"dab_{cut}_of_positive": area / weak for cut, area in zip(CUT_OFFS[1:], areas[1:], strict=True)}
        | {"dab_mean_of_positive": float(np.mean(dab * (dab > CUT_OFFS[0]), dtype=np.float64)) / weak}
    )


def _dab_tiles(dab: Plane) -> dict[str, float]:
    """Where: means and positive areas of 8 x 8 tiles."""
    means, areas = _tile_means(dab).ravel(), _tile_means(dab > CUT_OFFS[0]).ravel()
    return {
        "dab_tile_mean_max": float(means.max()),
        "dab_tile_mean_q0.9": float(np.quantile(means, 0.9)),
        "dab_tile_mean_median": float(np.median(means)),
        "dab_tile_mean_sd": float(means.std()),
        "dab_tile_area_max": float(areas.max()),
        "dab_tile_area_median": float(np.median(areas)),
        "dab_tile_area_sd": float(areas.std()),
        "dab_tiles_positive": float((areas > POSITIVE_TILE).mean()),
    }


def _tile_means(plane: Plane | Bool[np.ndarray, "height width"]) -> Float[np.ndarray, "8 8"]:
    height, width = (side // TILES for side in plane.shape)
    whole = plane[: TILES * height, : TILES * width]
    return whole.reshape(TILES, height, TILES, width).mean(axis=(1, 3), dtype=np.float64)


def _bands(name: str, plane: Plane, octaves: int) -> dict[str, float]:
    """Decadic logarithm of the root mean square detail at each octave: what a Gaussian of sigma 1, 2, 4 ... px takes away.

    A ratio of two octaves, thin lines over broad patches, is a difference of these.
    """
    result = {}
    for octave in range(octaves):
        detail = (plane - _smooth(plane)).ravel()
        result[f"{name}_detail_{2**octave}px"] = _log(float(np.mean(np.square(detail), dtype=np.float64)) ** 0.5)
        plane = _halved(plane)
    return result


def _ridges(dab: Plane) -> dict[str, float]:
    """Thin dark lines at three octaves: strength of the crest (-smallest eigenvalue of the Hessian, where it is one).

    `line` is the share of all bending that is across crests with none along them: 1 is lines only, 0 none.
    """
    result = {}
    for octave in range(RIDGE_OCTAVES):
        crest, bending = _crests(_smooth(dab))
        where = f"{2**octave}px"
        result[f"dab_ridge_mean_{where}"] = _log(float(crest.mean(dtype=np.float64)))
        result[f"dab_ridge_q0.98_{where}"] = _log(float(np.quantile(crest, 0.98)))
        result[f"dab_ridge_line_{where}"] = float(crest.mean(dtype=np.float64) / (bending.mean(dtype=np.float64) + FAINT))
        dab = _halved(dab)
    return result


def _crests(smooth: Plane) -> tuple[Plane, Plane]:
    """By how much a crest bends more across than along itself (0 where there is none), and the sum of both bendings."""
    centre = smooth[1:-1, 1:-1]
    xx = smooth[1:-1, 2:] + smooth[1:-1, :-2] - 2 * centre
    yy = smooth[2:, 1:-1] + smooth[:-2, 1:-1] - 2 * centre
    xy = (smooth[2:, 2:] + smooth[:-2, :-2] - smooth[2:, :-2] - smooth[:-2, 2:]) / 4
    mean, half = (xx + yy) / 2, np.sqrt(np.square((xx - yy) / 2) + np.square(xy))
    across, along = np.abs(mean - half), np.abs(mean + half)
    return np.where(mean < 0, across - along, 0.0), across + along


def _colour(channels: list[Plane]) -> dict[str, float]:
    """Mean, standard deviation and skewness of the density of red, green and blue."""
    result: dict[str, float] = {}
    for name, plane in zip(("red", "green", "blue"), channels, strict=True):
        mean = float(plane.mean(dtype=np.float64))
        rest = plane - np.float32(mean)
        squares = np.square(rest)
        sd = float(squares.mean(dtype=np.float64)) ** 0.5
        third = float(np.mean(squares * rest, dtype=np.float64))
        result |= {f"{name}_mean": mean, f"{name}_sd": sd, f"{name}_skewness": third / (sd + FAINT) ** 3}
    return result


def _spread(name: str, plane: Plane, quantiles: tuple[float, ...]) -> dict[str, float]:
    mean = float(plane.mean(dtype=np.float64))
    moments = {f"{name}_mean": mean, f"{name}_sd": float(np.mean(np.square(plane - np.float32(mean)), dtype=np.float64)) ** 0.5}
    if not quantiles:
        return moments
    values = np.quantile(plane, quantiles)
    return moments | {f"{name}_q{q}": float(value) for q, value in zip(quantiles, values, strict=True)}


def _correlation(a: Plane, b: Plane) -> float:
    """Pearson's r, drawn towards 0 where there is next to no stain."""
    a, b = a - a.mean(), b - b.mean()
    spread_a, spread_b = (float(np.square(plane).mean(dtype=np.float64)) ** 0.5 for plane in (a, b))
    return float(np.mean(a * b, dtype=np.float64)) / ((spread_a + FAINT) * (spread_b + FAINT))


def _smooth(plane: Plane) -> Plane:
    """A Gaussian of sigma 1 px, borders mirrored."""
    return ndimage.gaussian_filter(plane, 1.0, truncate=3.0)


def _halved(plane: Plane) -> Plane:
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    even = plane[: plane.shape[0] // 2 * 2, : plane.shape[1] // 2 * 2]
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def _log(value: float) -> float:
    return float(np.log10(value + FAINT))
