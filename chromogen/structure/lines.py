"""Lines: the structure of an image as a binary drawing, from Sobel responses alone; no annotation and no training.

Source: Algorithm 1 of the thesis "Synthesis of Multimodal Medical Images Based on GAN" (Qu, 2020), with the constants
of its author's public code. Sobel responses are signed: the smaller of the two shows falling edges, the larger one rising
edges, and both are drawn.
Where we differ from the algorithm as printed (each has a field that brings the print back):
- responses are stretched to [0, 1] before they are thresholded (the author's code does; without it alpha has no unit);
- line 12 thresholds the blurred lines (as printed, line 11 has no effect);
- line 14 multiplies with the organ of Algorithm 2, not with x > gamma, which cuts holes where an organ is dark.
Ours: `alpha="auto"` chooses each image's threshold so that lines cover a chosen share of the organ, and a margin around
lesions is cleared too; section 4.2.1 clears the label alone, and so do the presets.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from chromogen.structure.filters import (
    Binary,
    Grey,
    Values,
    as_binary,
    between_percentiles,
    blur3,
    blurred_above,
    dilate,
    grey_of,
    median,
    minmax,
    sobel,
)
from chromogen.tensors import UnitImages

HALVINGS = 10  # of the interval in which `auto` looks for alpha
CPU_PX = 2**18  # pixels worked on at once on a CPU, so that they stay in its cache


@dataclass(frozen=True, kw_only=True)
class LineMap:
    """The settings of Algorithm 1. Thresholds are in units of the stretched Sobel responses, whose range is 1."""

    sigma1: float = 1.0  # px, blur of the responses; 0.01 is none
    alpha: float | Literal["auto"] = "auto"  # how far above (below) its mean a rising (falling) response is a line
    density: float = 0.15  # for auto: the share of the organ that lines shall cover, lesions left out
    sigma2: float = 0.3  # px, blur of the binary lines
    beta: float = 0.05  # threshold after it: at sigma2 0.5 lines grow by one neighbour, at 0.3 they stay as they are
    median: int = 3  # px, odd side of the median that takes out isolated pixels
    lesion_margin_px: int = 3  # lines within this distance of a lesion go too: its rim is an edge
    normalise: Literal["minmax", "percentile", "none"] = "minmax"  # none: Algorithm 1 as printed
    outside_percent: float = 0.5  # for percentile: what lies beyond the scale at either end
    grey: Grey = "luminance"  # what stands for an image of three channels
    blurred_again: bool = True  # line 12 as the author's code has it; False: as printed
    gamma: float | None = None  # line 14 as printed: keep lines where the grey value is above gamma; None: inside the organ
    masked_first: bool = False  # the text's order: organ, then median; the listing and the code have the median first

    def __post_init__(self) -> None:
        if self.alpha != "auto" and not -1 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}; it must be 'auto' or between -1 and 1, such as 0.0125")
        if not 0 < self.density < 1:
            raise ValueError(f"density is {self.density}; it is a share of the organ, such as 0.15")
        if not 0 <= self.outside_percent < 50:
            raise ValueError(f"outside_percent is {self.outside_percent}; it must be from 0 to below 50")
        if self.alpha == "auto" and not self.blurred_again:
            raise ValueError("blurred_again=False thresholds at a fixed alpha; give alpha a number, such as 0.0125")


_LUNG_CT = LineMap(sigma1=0.4, alpha=0.0125, sigma2=0.3, beta=0.05, median=7, grey="middle", lesion_margin_px=0)
PRESETS: dict[str, LineMap] = {  # the author's constants, with the size in px they were chosen for
    "brats": LineMap(sigma1=0.01, alpha=0.035, sigma2=0.01, beta=0.0, median=5, lesion_margin_px=0),  # 184x144
    "xray": LineMap(sigma1=0.4, alpha=0.009, sigma2=0.5, beta=0.05, median=3, lesion_margin_px=0),  # 1500, reduced to 512
    "lung_ct": _LUNG_CT,  # 512
    "tianchi": replace(_LUNG_CT, median=5),  # 512
    "retina": LineMap(sigma1=0.4, alpha=0.014, sigma2=0.3, beta=0.05, median=5, grey="middle", lesion_margin_px=0),  # 512
}
DEFAULT = LineMap()


@torch.no_grad()
def lines(images: UnitImages, organ: Tensor, settings: LineMap = DEFAULT, lesion: Tensor | None = None) -> Values:
    """The lines of each image, (N, 1, H, W) float32 of 0 and 1; an image's lines do not depend on the others of the batch.

    `images` lie in [0, 1], with one channel or three; `organ` and `lesion` are (N, 1, H, W) of 0 and 1, 1 inside. No line lies
    outside the organ or within `lesion_margin_px` of a lesion. Comments name the lines of Algorithm 1.
    """
    grey = grey_of(images, settings.grey)  # 1
    where = as_binary(organ, "organ", grey)
    if settings.gamma is not None:
        where = (grey > settings.gamma).to(torch.uint8)
    if lesion is not None:
        where = where * (1 - dilate(as_binary(lesion, "lesion", grey), settings.lesion_margin_px))
    count = max(1, CPU_PX // grey[0].numel()) if grey.device.type == "cpu" else len(grey)
    parts = zip(grey.split(count), where.split(count), strict=True)
    return torch.cat([_lines_of(*part, settings) for part in parts]).float()


def _lines_of(grey: Values, where: Binary, settings: LineMap) -> Binary:
    falling, rising = _edges(grey, settings)
    if settings.alpha == "auto":
        return _at_density(torch.maximum(falling, rising), where, settings)
    s1, s2 = ((edge > settings.alpha).to(torch.uint8) for edge in (falling, rising))  # 8, 9
    if not settings.blurred_again:
        return _cleaned((s1 + s2 > settings.beta).to(torch.uint8), where, settings)  # 12 as printed
    return _drawn(s1 | s2, where, settings)  # 10


def _edges(grey: Values, settings: LineMap) -> tuple[Values, Values]:
    """How far each pixel falls below the mean of the smaller response, and rises above the mean of the larger one."""
    down, right = sobel(grey)
    s1, s2 = torch.minimum(down, right), torch.maximum(down, right)  # 2, 3
    s1, s2 = (blur3(_stretched(response, settings), settings.sigma1) for response in (s1, s2))  # 4, 5
    return _mean(s1) - s1, s2 - _mean(s2)  # 6, 7


def _stretched(response: Values, settings: LineMap) -> Values:
    if settings.normalise == "none":
        return response
    return minmax(response) if settings.normalise == "minmax" else between_percentiles(response, settings.outside_percent)


def _mean(values: Values) -> Values:
    """In double precision, so that it is the same in a batch as alone."""
    return values.mean(dim=(-2, -1), keepdim=True, dtype=torch.float64).float()


def _drawn(binary: Binary, where: Binary, settings: LineMap) -> Binary:
    """Lines 11 to 14 of the algorithm; `binary` is its line 10."""
    return _cleaned(blurred_above(binary, settings.sigma2, settings.beta), where, settings)  # 11, 12


def _cleaned(binary: Binary, where: Binary, settings: LineMap) -> Binary:
    if settings.masked_first:
        binary = binary * where
    return median(binary, settings.median) * where  # 13, 14


def _at_density(strength: Values, where: Binary, settings: LineMap) -> Binary:
    """The lines at the lowest alpha that covers no more than `density` of `where`.

    Every later step keeps its result or loses pixels when its input loses some, so the share falls with alpha and halving
    finds it: of the root of alpha, as most images have many weak edges and few strong ones. alpha stays above 0: an image
    that has fewer edges than asked for gets fewer lines, not noise.
    """
    most = settings.density * where.sum(dim=(-3, -2, -1), keepdim=True)
    strongest = strength.amax(dim=(-3, -2, -1), keepdim=True).clamp(min=0)
    low, high = torch.zeros_like(strongest), torch.ones_like(strongest)
    for _ in range(HALVINGS):
        root = (low + high) / 2
        tried = _drawn((strength > strongest * root**2).to(torch.uint8), where, settings)
        fits = tried.sum(dim=(-3, -2, -1), keepdim=True) <= most
        low, high = torch.where(fits, low, root), torch.where(fits, root, high)
    return _drawn((strength > strongest * high**2).to(torch.uint8), where, settings)
