"""MS-SSIM: structural similarity at five scales at once (Wang, Simoncelli and Bovik, Asilomar 2003).

Each coarser scale is the mean of 2x2 pixels. Of the four finer scales only contrast and structure count, of the coarsest the
luminance too. Coarse scales forgive small displacements, and blur with them: read it beside a measure of sharpness.
"""

import math

import numpy as np
from jaxtyping import Float

from chromogen.evaluate.pixels.likeness import bands, check_pair, gaussian_taps, gaussian_terms
from chromogen.tensors import Uint8Image

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest first; Wang et al. 2003, section 3.2
TAPS = gaussian_taps("gauss11")
SIDE_PX = len(TAPS) * 2 ** (len(WEIGHTS) - 1)  # one whole window at the coarsest scale: 176 px


def scales_that_fit(height_px: int, width_px: int) -> int:
    """How many scales, 5 at most, leave the coarsest one whole window: 5 from 176 px on, 4 from 88, 3 from 44, 2 from 22."""
    shorter = min(height_px, width_px)
    if shorter < len(TAPS):
        raise ValueError(f"MS-SSIM needs images of at least {len(TAPS)} px, got {width_px}x{height_px} px")
    return min(len(WEIGHTS), (shorter // len(TAPS)).bit_length())


def scale_weights(scales: int) -> tuple[float, ...]:
    """The exponents of the finest `scales` scales, of sum 1: those of Wang et al. as printed when there are five."""
    if not 1 <= scales <= len(WEIGHTS):
        raise ValueError(f"MS-SSIM has 1 to {len(WEIGHTS)} scales, got {scales}")
    kept = WEIGHTS[:scales]
    return kept if scales == len(WEIGHTS) else tuple(weight / sum(kept) for weight in kept)


def ms_ssim(prediction: Uint8Image, target: Uint8Image, scales: int = len(WEIGHTS)) -> float:
    """Multi-scale structural similarity in [0, 1]: the product over the scales of (mean similarity)^weight.

    11x11 Gaussian windows of sigma 1.5 px, population covariance, K1 0.01, K2 0.03; means over windows and channels, before
    the powers; a negative mean counts as 0. The border follows torchmetrics' MultiScaleStructuralSimilarityIndexMeasure
    (data_range=255), which this equals: the four finer scales count whole windows only, the coarsest also those centred on
    its mirrored border. An odd row or column is dropped when the image is halved. Images under 176 px are a ValueError unless
    fewer `scales` are asked for (`scales_that_fit`), whose weights are divided by their sum: another measure, which needs
    another name.
    """
    check_pair(prediction, target)
    weights = scale_weights(scales)
    height, width, _ = target.shape
    side_px = len(TAPS) * 2 ** (scales - 1)
    if min(height, width) < side_px:
        raise ValueError(f"MS-SSIM over {scales} scales needs images of at least {side_px} px, got {width}x{height} px")
    x, y = prediction.astype(np.float64), target.astype(np.float64)
    factors = []
    for weight in weights[:-1]:
        factors.append(max(_mean_contrast(x, y), 0.0) ** weight)
        x, y = _halved(x), _halved(y)
    factors.append(max(_mean_index_with_border(x, y), 0.0) ** weights[-1])
    return math.prod(factors)


def _mean_contrast(x: Float[np.ndarray, "height width 3"], y: Float[np.ndarray, "height width 3"]) -> float:
    total, windows = 0.0, 0
    for band in bands(x, y, len(TAPS)):
        _, (above, below) = gaussian_terms(*band, TAPS)
        total += float((above / below).sum())
        windows += above.size
    return total / windows


def _mean_index_with_border(x: Float[np.ndarray, "height width 3"], y: Float[np.ndarray, "height width 3"]) -> float:
    rim = len(TAPS) // 2
    x, y = (np.pad(image, ((rim, rim), (rim, rim), (0, 0)), mode="reflect") for image in (x, y))
    total, windows = 0.0, 0
    for band in bands(x, y, len(TAPS)):
        (luminance, bright), (contrast, spread) = gaussian_terms(*band, TAPS)
        index = luminance * contrast / (bright * spread)
        total += float(index.sum())
        windows += index.size
    return total / windows


def _halved(image: Float[np.ndarray, "height width 3"]) -> Float[np.ndarray, "half_height half_width 3"]:
    """Means of 2x2 pixels."""
    height, width = (side // 2 * 2 for side in image.shape[:2])
    rows = image[:height:2, :width] + image[1:height:2, :width]
    return (rows[:, ::2] + rows[:, 1::2]) / 4
