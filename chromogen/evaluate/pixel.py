"""How alike two images are, pixel by pixel: PSNR, SSIM and how sharp one is beside the other.

All three compare a prediction with a target that must show the same cells in the same places. Neighbouring tissue sections do
not, and both PSNR and SSIM then reward blur (`chromogen.evaluate.controls` shows by how much).
"""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int32

from chromogen.config import nearest
from chromogen.evaluate.protocols import WINDOWS, Window
from chromogen.tensors import Uint8Image

PEAK = 255
C1, C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2  # Wang et al., IEEE Trans. Image Process. 13:600, 2004
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
WINDOW_PX: dict[Window, int] = {"uniform7": 7, "gauss11": 11}
GAUSS11 = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
GAUSS11 /= GAUSS11.sum()
BAND_ROWS = 48  # rows of windows worked on at once: they stay in the processor's cache, and memory stays flat


def psnr(prediction: Uint8Image, target: Uint8Image) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(255^2 / mean squared difference over all pixels and channels).

    Identical images give infinity, and so does any mean that one of them enters.
    """
    _check_pair(prediction, target)
    difference = np.subtract(prediction, target, dtype=np.float64).ravel()
    squared = float(difference @ difference)  # whole numbers below 2^53: exact in any order
    return math.inf if squared == 0 else 10.0 * math.log10(PEAK**2 * difference.size / squared)


def ssim(prediction: Uint8Image, target: Uint8Image, window: Window = "uniform7") -> float:
    """Mean structural similarity in [-1, 1] over the windows that lie wholly inside the image and over the channels.

    `uniform7` equals skimage.metrics.structural_similarity(channel_axis=2, data_range=255); `gauss11` equals it with
    gaussian_weights=True, sigma=1.5, use_sample_covariance=False. torchmetrics also counts windows over a mirrored border, so
    its values differ in the third digit on small images. Images smaller than the window are a ValueError.
    """
    _check_pair(prediction, target)
    if window not in WINDOWS:
        raise ValueError(f"no SSIM window is called {window!r}; {nearest(window, WINDOWS)}")
    height, width, _ = target.shape
    size = WINDOW_PX[window]
    if min(height, width) < size:
        raise ValueError(f"SSIM with a {size}x{size} window needs images of at least {size} px, got {width}x{height} px")
    index = _uniform_index if window == "uniform7" else _gaussian_index
    total = sum(float(index(x, y).sum(dtype=np.float64)) for x, y in _bands(prediction, target, size))
    return total / ((height - size + 1) * (width - size + 1) * 3)


def sharpness_ratio(prediction: Uint8Image, target: Uint8Image) -> float:
    """Fine detail of the prediction over that of the target: ratio of the mean squared 4-neighbour Laplacian of the luma.

    1 is as sharp, 0 is flat, above 1 is sharper or noisier. It asks for no alignment. A target without any detail
    (or under 3 px) has no ratio: NaN.
    """
    _check_pair(prediction, target)
    below = _laplacian_energy(target)
    return _laplacian_energy(prediction) / below if below > 0 else math.nan


def _check_pair(prediction: Uint8Image, target: Uint8Image) -> None:
    for name, image in (("prediction", prediction), ("target", target)):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ValueError(f"the {name} must be uint8 RGB of shape (H, W, 3), got {image.dtype} {image.shape}")
    if prediction.shape != target.shape:
        sizes = [f"{image.shape[1]}x{image.shape[0]} px" for image in (prediction, target)]
        raise ValueError(f"the prediction is {sizes[0]}, its target {sizes[1]}; score images of equal size")


def _bands(prediction: Uint8Image, target: Uint8Image, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Overlapping bands of rows, as (rows, width * 3): one pixel to the right is three columns on."""
    flat = [np.ascontiguousarray(image).reshape(len(image), -1) for image in (prediction, target)]
    for top in range(0, len(target) - size + 1, BAND_ROWS):
        yield flat[0][top : top + BAND_ROWS + size - 1], flat[1][top : top + BAND_ROWS + size - 1]


def _uniform_index(x: np.ndarray, y: np.ndarray) -> Float[np.ndarray, "rows columns"]:
    """SSIM of every 7x7 window. Whole numbers below 2^31 until the very end, so flat regions lose no digits."""
    x, y = x.astype(np.int32), y.astype(np.int32)
    sum_x, sum_y, squares, products = (_sum7(values) for values in (x, y, x * x + y * y, x * y))
    means, powers = sum_x * sum_y, sum_x * sum_x + sum_y * sum_y
    pixels, sample = 49, 49 * 48
    above = (means * (2 / pixels**2) + C1) * ((pixels * products - means) * (2 / sample) + C2)
    return above / ((powers * (1 / pixels**2) + C1) * ((pixels * squares - powers) * (1 / sample) + C2))


def _sum7(values: Int32[np.ndarray, "rows columns"]) -> Int32[np.ndarray, "rows-6 columns-18"]:
    """Sums over 7x7 windows: along each axis three sums of two, and one value more."""
    two = values[:-1] + values[1:]
    tall = two[:-5] + two[2:-3] + two[4:-1] + values[6:]
    two = tall[:, :-3] + tall[:, 3:]
    return two[:, :-15] + two[:, 6:-9] + two[:, 12:-3] + tall[:, 18:]


def _gaussian_index(x: np.ndarray, y: np.ndarray) -> Float[np.ndarray, "rows columns"]:
    """SSIM of every 11x11 Gaussian window, in double precision: variance is a small difference of large numbers."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y, squares, products = (_weighted11(values) for values in (x, y, x * x + y * y, x * y))
    means, powers = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    above = (2 * means + C1) * (2 * (products - means) + C2)
    return above / ((powers + C1) * (squares - powers + C2))


def _weighted11(values: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows-10 columns-30"]:
    """Gaussian means over 11x11 windows. Columns are rows of the transpose, three steps a pixel."""
    return _weighted_rows(_weighted_rows(values, 1).T, 3).T


def _weighted_rows(values: np.ndarray, step: int) -> np.ndarray:
    rows = [values[k * step : len(values) - (10 - k) * step] for k in range(11)]
    result = GAUSS11[5] * rows[5]
    pair = np.empty_like(result)
    for k in range(5):  # the window is symmetric
        np.add(rows[k], rows[10 - k], out=pair)
        pair *= GAUSS11[k]
        result += pair
    return result


def _laplacian_energy(image: Uint8Image) -> float:
    if min(image.shape[:2]) < 3:
        return 0.0
    luma = image @ LUMA
    centre = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * centre
    return float(np.mean(np.square(laplacian), dtype=np.float64))
