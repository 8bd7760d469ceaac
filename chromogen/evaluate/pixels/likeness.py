"""How alike two images are, pixel by pixel: PSNR, SSIM and how sharp one is beside the other.

All of them compare a prediction with a target that must show the same cells in the same places. Neighbouring tissue sections do
not, and both PSNR and SSIM then reward blur (`chromogen.evaluate.controls` shows by how much).
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from chromogen.config import nearest
from chromogen.tensors import Uint8Image

Window = Literal["uniform7", "gauss9", "gauss11"]
WINDOWS: tuple[Window, ...] = get_args(Window)
Ratio = tuple[Float[np.ndarray, "rows columns"], Float[np.ndarray, "rows columns"]]  # numerator, denominator
Counts = Int[np.ndarray, "rows columns"]  # sums of grey levels or of their products
PEAK = 255
C1, C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2  # Wang et al., IEEE Trans. Image Process. 13:600, 2004
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
WINDOW_PX: dict[Window, int] = {"uniform7": 7, "gauss9": 9, "gauss11": 11}
SIGMA_PX: dict[Window, float] = {"gauss9": 2.375, "gauss11": 1.5}
BAND_ROWS = 24  # rows of windows worked on at once: they stay in the processor's cache, and memory stays flat


def psnr(prediction: Uint8Image, target: Uint8Image) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(255^2 / mean squared difference over all pixels and channels).

    Identical images give infinity, and so does any mean that one of them enters.
    """
    check_pair(prediction, target)
    squared = sum(_squared_error(*band) for band in bands(prediction, target, 1))
    return math.inf if squared == 0 else 10.0 * math.log10(PEAK**2 * target.size / squared)


def ssim(prediction: Uint8Image, target: Uint8Image, window: Window = "uniform7") -> float:
    """Mean structural similarity in [-1, 1] over the windows that lie wholly inside the image and over the channels.

    `uniform7` equals skimage.metrics.structural_similarity(channel_axis=2, data_range=255); `gauss11` equals it with
    gaussian_weights=True, sigma=1.5, use_sample_covariance=False; `gauss9` is that with 9 taps of sigma 2.375 px.
    torchmetrics also counts windows over a mirrored border, so its values differ in the third digit on small images. Images
    smaller than the window are a ValueError.
    """
    return ssim_of_each([prediction], target, window)[0]


def ssim_of_each(predictions: Sequence[Uint8Image], target: Uint8Image, window: Window = "uniform7") -> list[float]:
    """`ssim` of several predictions of one target; what depends on the target alone is computed once."""
    for prediction in predictions:
        check_pair(prediction, target)
    if window not in WINDOWS:
        raise ValueError(f"no SSIM window is called {window!r}; {nearest(window, WINDOWS)}")
    height, width, _ = target.shape
    size = WINDOW_PX[window]
    if min(height, width) < size:
        raise ValueError(f"SSIM with a {size}x{size} window needs images of at least {size} px, got {width}x{height} px")
    index = _uniform_indices if window == "uniform7" else partial(_gaussian_indices, taps=gaussian_taps(window))
    stacks = [bands(prediction, target, size) for prediction in predictions]
    totals = [0.0] * len(predictions)
    for pairs in zip(*stacks, strict=True):
        found = index([x for x, _ in pairs], pairs[0][1])
        totals = [total + float(values.sum(dtype=np.float64)) for total, values in zip(totals, found, strict=True)]
    return [total / ((height - size + 1) * (width - size + 1) * 3) for total in totals]


def global_ssim(prediction: Uint8Image, target: Uint8Image) -> float:
    """Equation (3) of the BCI challenge review (arXiv:2305.03546) as it is printed: the whole image is the one window.

    (2 mx my + C1)(2 sx sy + C2) / ((mx^2 + my^2 + C1)(sx^2 + sy^2 + C2)) with mean m and standard deviation s (over N, not
    N - 1) of each channel; then the mean over the channels. C1 and C2 are those of `ssim`; the review leaves them open. The
    product of the deviations stands where Wang et al. have the covariance: shuffled pixels score 1.
    """
    check_pair(prediction, target)
    (mean_x, power_x), (mean_y, power_y) = (_mean_and_variance(image) for image in (prediction, target))
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    contrast = (2 * np.sqrt(power_x * power_y) + C2) / (power_x + power_y + C2)
    return float((luminance * contrast).mean())


def sharpness_ratio(prediction: Uint8Image, target: Uint8Image) -> float:
    """Fine detail of the prediction over that of the target: ratio of the mean squared 4-neighbour Laplacian of the luma.

    1 is as sharp, 0 is flat, above 1 is sharper or noisier. It asks for no alignment. A target without any detail
    (or under 3 px) has no ratio: NaN.
    """
    return sharpness_of_each([prediction], target)[0]


def sharpness_of_each(predictions: Sequence[Uint8Image], target: Uint8Image) -> list[float]:
    """`sharpness_ratio` of several predictions of one target."""
    for prediction in predictions:
        check_pair(prediction, target)
    below = _laplacian_energy(target)
    return [_laplacian_energy(prediction) / below if below > 0 else math.nan for prediction in predictions]


def check_pair(prediction: Uint8Image, target: Uint8Image) -> None:
    """ValueError unless both are uint8 RGB of one size."""
    for name, image in (("prediction", prediction), ("target", target)):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ValueError(f"the {name} must be uint8 RGB of shape (H, W, 3), got {image.dtype} {image.shape}")
    if prediction.shape != target.shape:
        sizes = [f"{image.shape[1]}x{image.shape[0]} px" for image in (prediction, target)]
        raise ValueError(f"the prediction is {sizes[0]}, its target {sizes[1]}; score images of equal size")


def bands(prediction: np.ndarray, target: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Overlapping bands of rows of two (H, W, 3) images, as (rows, width * 3): one pixel to the right is three columns on."""
    flat = [np.ascontiguousarray(image).reshape(len(image), -1) for image in (prediction, target)]
    for top in range(0, len(target) - size + 1, BAND_ROWS):
        yield flat[0][top : top + BAND_ROWS + size - 1], flat[1][top : top + BAND_ROWS + size - 1]


def _squared_error(x: np.ndarray, y: np.ndarray) -> int:
    """Sum of the squared differences, exactly: float32 holds the whole numbers of 256 of them, float64 those of all."""
    difference = np.subtract(x, y, dtype=np.float32).ravel()
    whole = difference[: difference.size // 256 * 256].reshape(-1, 256)
    rest = difference[whole.size :]
    return int(np.vecdot(whole, whole).sum(dtype=np.float64)) + int(rest @ rest)


def _uniform_indices(xs: Sequence[np.ndarray], y: np.ndarray) -> Iterator[Float[np.ndarray, "rows columns"]]:
    """SSIM of every 7x7 window of one band, for each x. Whole numbers below 2^31, so flat regions lose no digits."""
    wide_y = y.astype(np.int32)
    sum_y, squares_y = _sum7(y.astype(np.int16)).astype(np.int32), _sum7(wide_y * wide_y)
    for x in xs:
        if (x[:, 3:] == x[:, :-3]).all() and (x[1:, :3] == x[:-1, :3]).all():  # one colour needs no windows
            yield _flat_index(x[:1, :-18].astype(np.int32), sum_y, squares_y)
        else:
            wide_x = x.astype(np.int32)
            sum_x, products = _sum7(x.astype(np.int16)).astype(np.int32), _sum7(wide_x * wide_y)
            yield _uniform_index(sum_x, sum_y, _sum7(wide_x * wide_x) + squares_y, products)


def _uniform_index(sum_x: Counts, sum_y: Counts, squares: Counts, products: Counts) -> Float[np.ndarray, "rows columns"]:
    """From the sums over each window of x, y, x^2 + y^2 and x y; each term is multiplied by what makes its sums whole."""
    pixels, sample = 49, 49 * 48
    means, powers = sum_x * sum_y, sum_x * sum_x + sum_y * sum_y
    whole = (means, pixels * products - means, powers, pixels * squares - powers)
    luminance, contrast, bright, spread = (values.astype(np.float64) for values in whole)
    luminance += C1 / 2 * pixels**2
    contrast += C2 / 2 * sample
    bright += C1 * pixels**2
    spread += C2 * sample
    luminance *= contrast
    bright *= spread
    luminance /= bright
    luminance *= 4
    return luminance


def _flat_index(colour: Counts, sum_y: Counts, squares_y: Counts) -> Float[np.ndarray, "rows columns"]:
    """`_uniform_index` where x is one colour, to the last digit: it has no spread and none in common with y."""
    pixels, sample = 49, 49 * 48
    powers_y = sum_y * sum_y
    luminance, bright, spread = (
        values.astype(np.float64)
        for values in (pixels * colour * sum_y, (pixels * colour) ** 2 + powers_y, pixels * squares_y - powers_y)
    )
    luminance += C1 / 2 * pixels**2
    bright += C1 * pixels**2
    spread += C2 * sample
    luminance *= C2 / 2 * sample
    bright *= spread
    luminance /= bright
    luminance *= 4
    return luminance


def _sum7(values: Counts) -> Counts:
    """Sums over 7x7 windows: along each axis three sums of two, and one value more."""
    two = values[:-1] + values[1:]
    tall = two[:-5] + two[2:-3]
    tall += two[4:-1]
    tall += values[6:]
    two = tall[:, :-3] + tall[:, 3:]
    wide = two[:, :-15] + two[:, 6:-9]
    wide += two[:, 12:-3]
    wide += tall[:, 18:]
    return wide


def gaussian_taps(window: Window) -> Float[np.ndarray, " taps"]:
    """The weights of one of the Gaussian windows along one axis; their sum is 1."""
    half = WINDOW_PX[window] // 2
    taps = np.exp(-0.5 * (np.arange(-half, half + 1) / SIGMA_PX[window]) ** 2)
    return taps / taps.sum()


def gaussian_terms(x: np.ndarray, y: np.ndarray, taps: Float[np.ndarray, " taps"]) -> tuple[Ratio, Ratio]:
    """Numerator and denominator of luminance, then of contrast times structure, in every Gaussian window of one band.

    In double precision: variance is a small difference of large numbers.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y, squares, products = (_weighted(values, taps) for values in (x, y, x * x + y * y, x * y))
    means, powers = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    return (2 * means + C1, powers + C1), (2 * (products - means) + C2, squares - powers + C2)


def _gaussian_indices(
    xs: Sequence[np.ndarray], y: np.ndarray, taps: Float[np.ndarray, " taps"]
) -> Iterator[Float[np.ndarray, "rows columns"]]:
    """SSIM of every Gaussian window of one band, for each x."""
    for x in xs:
        (luminance, bright), (contrast, spread) = gaussian_terms(x, y, taps)
        yield luminance * contrast / (bright * spread)


def _weighted(values: Float[np.ndarray, "rows columns"], taps: np.ndarray) -> Float[np.ndarray, "fewer_rows fewer_columns"]:
    """Gaussian means over whole windows. Columns are rows of the transpose, three steps a pixel."""
    return _weighted_rows(_weighted_rows(values, 1, taps).T, 3, taps).T


def _weighted_rows(values: np.ndarray, step: int, taps: np.ndarray) -> np.ndarray:
    last = len(taps) - 1
    rows = [values[k * step : len(values) - (last - k) * step] for k in range(last + 1)]
    result = taps[last // 2] * rows[last // 2]
    pair = np.empty_like(result)
    for k in range(last // 2):  # the window is symmetric
        np.add(rows[k], rows[last - k], out=pair)
        pair *= taps[k]
        result += pair
    return result


def _mean_and_variance(image: Uint8Image) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Of each channel, from how often each grey level occurs: whole numbers, whatever the size."""
    grey = np.arange(256)
    counts = np.stack([np.bincount(image[..., channel].ravel(), minlength=256) for channel in range(3)])
    pixels, total, squares = counts.sum(axis=1), counts @ grey, counts @ grey**2
    return total / pixels, (pixels * squares - total**2) / pixels.astype(np.float64) ** 2


def _laplacian_energy(image: Uint8Image) -> float:
    if min(image.shape[:2]) < 3:
        return 0.0
    height, width, _ = image.shape
    total = 0.0
    for top in range(0, height - 2, BAND_ROWS):
        luma = image[top : top + BAND_ROWS + 2] @ LUMA
        laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1]
        laplacian += luma[1:-1, :-2]
        laplacian += luma[1:-1, 2:]
        laplacian -= 4 * luma[1:-1, 1:-1]
        total += float(np.square(laplacian, out=laplacian).sum(dtype=np.float64))
    return total / ((height - 2) * (width - 2))
