"""Light and stain: optical density, stain separation and recomposition, and the colour of empty glass.

Beer-Lambert: light through tissue is `white * 10 ** -(concentrations @ vectors)`, one vector a stain
(Ruifrok & Johnston, Anal. Quant. Cytol. Histol. 23:291, 2001). Images here are `unit` RGB in [0, 1]: NumPy arrays carry
colour last, (..., 3); tensors carry it first, (N, 3, H, W). Densities are decadic (log10), so a concentration of 1 along a
unit vector darkens by one order of magnitude. scikit-image reports the same numbers divided by 6 (its scale is log10(1e6)).
They agree wherever no channel is below 2 % of full light: darker than that, 8 bits show no density, and here it stays the same.
"""

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from chromogen.tensors import Uint8Image

Image = TypeVar("Image", np.ndarray, Tensor)
White = float | np.ndarray | tuple[float, float, float]

# Transmittance below which nothing is told apart: 5 of 255 grey levels, 1.7 optical densities. One level is 0.08 OD there, and
# twice that with every halving below (from 1 to 0 without end); a scanner's stray light is as much.
DARKEST = 0.02
BAND_ROWS = 32  # looked up at once: they stay in the processor's cache


@dataclass(frozen=True)
class Stains:
    """Named stains with their RGB optical-density vectors, one row a stain (two or three rows)."""

    names: tuple[str, ...]
    vectors: tuple[tuple[float, float, float], ...]

    @cached_property
    def matrix(self) -> Float[np.ndarray, "3 3"]:
        """Rows are stains; a pair of stains is completed by its cross product (the residual)."""
        rows = np.array(self.vectors, dtype=np.float64)
        return rows if len(rows) == 3 else np.vstack([rows, np.cross(rows[0], rows[1])])

    @cached_property
    def inverse(self) -> Float[np.ndarray, "3 3"]:
        return np.linalg.inv(self.matrix)


# Values of Ruifrok & Johnston 2001 in the two roundings scikit-image uses, so that the numbers agree with it.
H_E_DAB = Stains(("haematoxylin", "eosin", "dab"), ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78)))
H_E = Stains(("haematoxylin", "eosin"), ((0.650, 0.704, 0.286), (0.072, 0.990, 0.105)))
H_DAB = Stains(("haematoxylin", "dab"), ((0.650, 0.704, 0.286), (0.268, 0.570, 0.776)))
STAINS = {"H-E": H_E, "H-DAB": H_DAB, "H-E-DAB": H_E_DAB}


def optical_density(image: Image, white: White = 1.0, darkest: float = DARKEST) -> Image:
    """-log10(image / white). `image` is unit RGB; darker than `darkest` counts as that. Brighter than `white` is negative.

    Raises ValueError for integers: uint8 images are divided by 255 first.
    """
    if not (image.is_floating_point() if isinstance(image, Tensor) else np.issubdtype(image.dtype, np.floating)):
        raise ValueError(f"optical density needs unit RGB in [0, 1], got {image.dtype}; divide a uint8 image by 255")
    if isinstance(image, Tensor):
        return -torch.log10(image.clamp(min=darkest) / _colour_first(white, image))
    return -np.log10(np.maximum(image, darkest) / np.asarray(white, dtype=np.result_type(image, np.float32)))


def transmittance(density: Image, white: White = 1.0) -> Image:
    """The unit RGB image behind a density: white * 10 ** -density."""
    if isinstance(density, Tensor):
        return _colour_first(white, density) * 10.0 ** (-density)
    return np.asarray(white, dtype=np.result_type(density, np.float32)) * 10.0 ** (-density)


def separate(image: Image, stains: Stains = H_E_DAB, white: White = 1.0, clip: bool = True) -> Image:
    """Concentration of each stain, in the order of `stains.names`: (..., 2 or 3), for tensors (N, 2 or 3, H, W).

    `clip` sets negative concentrations to 0, as scikit-image does. The residual of a two-stain set is not returned.
    """
    count = len(stains.names)
    if isinstance(image, Tensor):
        inverse = torch.as_tensor(stains.inverse[:, :count], dtype=image.dtype, device=image.device)
        amounts = torch.einsum("nchw,cs->nshw", optical_density(image, white), inverse)
        return amounts.clamp(min=0) if clip else amounts
    result = optical_density(image, white) @ stains.inverse[:, :count].astype(np.result_type(image, np.float32))
    return np.maximum(result, 0) if clip else result


def combine(concentrations: Image, stains: Stains = H_E_DAB, white: White = 1.0) -> Image:
    """Unit RGB of stained tissue under `white` light: undoes `separate(..., clip=False)` for colours the stains can make."""
    count = len(stains.names)
    if isinstance(concentrations, Tensor):
        matrix = torch.as_tensor(stains.matrix[:count], dtype=concentrations.dtype, device=concentrations.device)
        return transmittance(torch.einsum("nshw,sc->nchw", concentrations, matrix), white)
    matrix = stains.matrix[:count].astype(np.result_type(concentrations, np.float32))
    return transmittance(concentrations @ matrix, white)


def background(image: Uint8Image, shown: Bool[np.ndarray, "height width"] | None = None) -> Float[np.ndarray, "3"]:
    """Colour of empty glass in unit RGB, estimated from one uint8 image; `shown` is False on padding (`chromogen.tissue`).

    Glass is the brightest nearly grey matter in view: the per-channel 99th percentile of the pixels brighter than 0.5 whose
    channels differ by less than 12 % of the brightest channel. In the BCI scans it runs from 0.70 to 1.0; taking 1.0 for all
    would put a veil of DAB over blank glass. Tissue without any grey pixel (under 0.1 % of the image) falls back on the 99.9th
    percentile of all.
    """
    pixels = image.reshape(-1, 3) if shown is None or not shown.any() else image[shown]
    step = max(1, len(pixels) // 250_000)  # every megapixel answers alike; a quarter of one is enough
    sample = [np.ascontiguousarray(pixels[::step, channel]) for channel in range(3)]
    brightest = np.maximum(np.maximum(sample[0], sample[1]), sample[2])
    darkest = np.minimum(np.minimum(sample[0], sample[1]), sample[2])
    grey = _grey_and_bright()[brightest, darkest]
    if grey.mean() < 0.001:
        return np.maximum([_percentile(values, 99.9) for values in sample], DARKEST)
    return np.array([_percentile(values[grey], 99.0) for values in sample])


def dab_density(image: Uint8Image, white: White | None = None) -> Float[np.ndarray, "height width"]:
    """DAB concentration (decadic optical density along the DAB vector) of a uint8 IHC image, from the H-E-DAB set.

    `white=None` means light of 1.0, the convention of the published BCI tables; pass `background(image)` for a slide whose
    glass is grey.
    """
    unit = np.arange(256, dtype=np.float64)[:, None].repeat(3, axis=1) / 255  # 256 values a channel: one logarithm for each
    share = (optical_density(unit, 1.0 if white is None else white) * H_E_DAB.inverse[:, 2]).astype(np.float32)
    red, green, blue = np.ascontiguousarray(share.T)
    density = np.empty(image.shape[:2], dtype=np.float32)
    for top in range(0, len(image), BAND_ROWS):
        band = image[top : top + BAND_ROWS]
        amount = red.take(band[..., 0])
        amount += green.take(band[..., 1])
        amount += blue.take(band[..., 2])
        np.maximum(amount, 0, out=density[top : top + BAND_ROWS])
    return density


@cache
def _grey_and_bright() -> Bool[np.ndarray, "256 256"]:
    """For the brightest and the darkest of a pixel's three grey levels, whether it may be glass."""
    brightest, darkest = np.arange(256)[:, None] / 255.0, np.arange(256) / 255.0
    return (brightest - darkest < 0.12 * brightest) & (brightest > 0.5)


def _percentile(levels: np.ndarray, percent: float) -> float:
    """np.percentile of grey levels, in unit RGB; counting them takes a tenth of the time of ordering them."""
    upto = np.bincount(levels, minlength=256).cumsum()
    place = (len(levels) - 1) * percent / 100
    low, high = np.searchsorted(upto, [math.floor(place), math.ceil(place)], side="right") / 255.0
    return float(low + (high - low) * (place % 1))


def _colour_first(white: White, like: Tensor) -> Tensor:
    value = torch.as_tensor(np.asarray(white), dtype=like.dtype, device=like.device)
    return value if value.ndim == 0 else value.view(-1, 1, 1)
