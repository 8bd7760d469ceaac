import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.filters import laplace
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from chromogen.data.images import read_image
from chromogen.evaluate.pixels.likeness import (
    BAND_ROWS,
    LUMA,
    WINDOW_PX,
    WINDOWS,
    global_ssim,
    psnr,
    sharpness_of_each,
    sharpness_ratio,
    ssim,
    ssim_of_each,
)

SKIMAGE = {
    "uniform7": {"win_size": 7, "use_sample_covariance": True},
    "gauss11": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
}


def pair(height: int, width: int, seed: int, noise: int, brightness: int) -> tuple[np.ndarray, np.ndarray]:
    """A random target, from nearly black to nearly white, and a prediction that differs by at most `noise` grey levels."""
    rng = np.random.default_rng(seed)
    target = np.clip(rng.integers(-60, 61, (height, width, 3)) + brightness, 0, 255)
    prediction = np.clip(target + rng.integers(-noise, noise + 1, target.shape), 0, 255)
    return prediction.astype(np.uint8), target.astype(np.uint8)


def one_dot(side: int, value: int) -> tuple[np.ndarray, np.ndarray]:
    """A black prediction, and a target that is black but for its top left pixel."""
    target = np.zeros((side, side, 3), dtype=np.uint8)
    target[0, 0] = value
    return np.zeros_like(target), target


@pytest.mark.parametrize("window", ["uniform7", "gauss11"])
@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(11, 2 * BAND_ROWS + 15),
    width=st.integers(11, 70),
    seed=st.integers(0, 2**32 - 1),
    noise=st.integers(1, 120),
    brightness=st.integers(0, 255),
)
def test_equals_scikit_image(window: str, height: int, width: int, seed: int, noise: int, brightness: int) -> None:
    prediction, target = pair(height, width, seed, noise, brightness)
    expected = structural_similarity(prediction, target, channel_axis=2, data_range=255, **SKIMAGE[window])
    assert ssim(prediction, target, window) == pytest.approx(expected, abs=1e-6)
    if not np.array_equal(prediction, target):
        assert psnr(prediction, target) == pytest.approx(peak_signal_noise_ratio(target, prediction, data_range=255), abs=1e-9)


def test_gauss11_equals_torchmetrics_without_the_border_it_mirrors() -> None:
    """torchmetrics centres a window on every pixel, mirroring the image beyond its border; here only whole windows count."""
    for seed in range(5):
        prediction, target = pair(40, 53, seed, 60, 150)
        tensors = [torch.from_numpy(image).permute(2, 0, 1)[None].double() for image in (prediction, target)]
        with_border, full = structural_similarity_index_measure(*tensors, data_range=255.0, return_full_image=True)
        assert ssim(prediction, target, "gauss11") == pytest.approx(float(full[..., 5:-5, 5:-5].mean()), abs=1e-6)
        assert abs(ssim(prediction, target, "gauss11") - float(with_border)) > 1e-4  # so the two must not share a column


def gauss9_by_scipy(prediction: np.ndarray, target: np.ndarray) -> float:
    """scikit-image cuts its Gaussian at 3.5 sigma, 17 taps here; this is its arithmetic on nine, with the filter of scipy."""

    def mean(values: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(values, 2.375, truncate=4 / 2.375, axes=(0, 1))[4:-4, 4:-4]

    x, y = prediction.astype(float), target.astype(float)
    ux, uy = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - ux * ux, mean(y * y) - uy * uy, mean(x * y) - ux * uy
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(((2 * ux * uy + c1) * (2 * vxy + c2) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))).mean())


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(9, BAND_ROWS + 15), width=st.integers(9, 70), seed=st.integers(0, 2**32 - 1), noise=st.integers(1, 120)
)
def test_gauss9_equals_scipy(height: int, width: int, seed: int, noise: int) -> None:
    prediction, target = pair(height, width, seed, noise, 150)
    assert ssim(prediction, target, "gauss9") == pytest.approx(gauss9_by_scipy(prediction, target), abs=1e-6)


def test_gauss9_has_nine_taps_of_sigma_2_375() -> None:
    """An image of 9 px is one window, and a dot in its corner has the weight of that corner."""
    taps = [math.exp(-0.5 * (k / 2.375) ** 2) for k in range(-4, 5)]
    corner = (taps[0] / sum(taps)) ** 2
    mean, power = 200 * corner, 200**2 * corner
    expected = 6.5025 / (mean**2 + 6.5025) * 58.5225 / (power - mean**2 + 58.5225)
    assert ssim(*one_dot(9, 200), "gauss9") == pytest.approx(expected, abs=1e-12)


def test_documented_values_stay_to_the_last_digit() -> None:
    """A pattern of whole numbers; the values were computed when the two protocols were first published."""
    rows, columns, channels = np.indices((80, 90, 3))
    target = ((rows * 7 + columns * 13 + channels * 31 + (rows * columns) % 17 * 9) % 256).astype(np.uint8)
    prediction = np.clip(target.astype(int) + (rows * 5 + columns * 3) % 41 - 20, 0, 255).astype(np.uint8)
    assert psnr(prediction, target) == pytest.approx(26.860409876886884, abs=1e-12)
    assert ssim(prediction, target, "uniform7") == pytest.approx(0.9843648668706613, abs=1e-14)
    assert ssim(prediction, target, "gauss11") == pytest.approx(0.9834979331904249, abs=1e-14)


def test_global_ssim_by_plain_numpy() -> None:
    for seed in range(5):
        prediction, target = pair(37, 51, seed, 90, 30 * seed)
        values = []
        for channel in range(3):
            x, y = (image[..., channel].astype(float) for image in (prediction, target))
            above = (2 * x.mean() * y.mean() + 6.5025) * (2 * x.std() * y.std() + 58.5225)
            values.append(above / ((x.mean() ** 2 + y.mean() ** 2 + 6.5025) * (x.var() + y.var() + 58.5225)))
        assert global_ssim(prediction, target) == pytest.approx(np.mean(values), abs=1e-12)


def test_global_ssim_by_hand() -> None:
    """49 in one of 49 pixels beside black: means 0 and 1, deviations 0 and sqrt(48)."""
    assert global_ssim(*one_dot(7, 49)) == pytest.approx(6.5025 / 7.5025 * 58.5225 / (48 + 58.5225), abs=1e-12)


def test_global_ssim_sees_no_structure() -> None:
    image, other = pair(31, 17, 1, 60, 120)
    shuffled = np.random.default_rng(0).permutation(image.reshape(-1, 3)).reshape(image.shape)
    assert global_ssim(shuffled, image) == pytest.approx(1.0, abs=1e-12)
    assert ssim(shuffled, image) < 0.2
    assert global_ssim(image, other) == pytest.approx(global_ssim(other, image), abs=1e-15)


def test_a_7_px_image_by_hand() -> None:
    """49 in one of 49 pixels: mean 1, sample variance (49^2 - 49) / 48 = 49, covariance 0, mean squared error 49."""
    expected = 6.5025 / (1 + 6.5025) * 58.5225 / (49 + 58.5225)
    prediction, target = one_dot(7, 49)
    assert ssim(prediction, target) == pytest.approx(expected, abs=1e-12)
    assert psnr(prediction, target) == pytest.approx(10 * math.log10(65025 / 49), abs=1e-12)


def test_an_8_px_image_by_hand() -> None:
    """Four windows of 7x7 fit; one of them sees the dot, three compare black with black and score 1."""
    seen = 6.5025 / (1 + 6.5025) * 58.5225 / (49 + 58.5225)
    assert ssim(*one_dot(8, 49)) == pytest.approx((seen + 3) / 4, abs=1e-12)


def test_ssim_by_plain_loops() -> None:
    prediction, target = (image.astype(float) for image in pair(9, 12, 3, 40, 120))
    values = []
    for channel in range(3):
        for top in range(3):
            for left in range(6):
                x, y = (image[top : top + 7, left : left + 7, channel].ravel() for image in (prediction, target))
                (var_x, cov), (_, var_y) = np.cov(x, y)
                mx, my = x.mean(), y.mean()
                luminance = (2 * mx * my + 6.5025) / (mx**2 + my**2 + 6.5025)
                values.append(luminance * (2 * cov + 58.5225) / (var_x + var_y + 58.5225))
    assert ssim(prediction.astype(np.uint8), target.astype(np.uint8)) == pytest.approx(np.mean(values), abs=1e-12)


@pytest.mark.parametrize("window", WINDOWS)
def test_identical_images(window: str) -> None:
    image, _ = pair(31, 17, 1, 1, 200)
    assert psnr(image, image) == math.inf
    assert ssim(image, image, window) == pytest.approx(1.0, abs=1e-12)
    assert global_ssim(image, image) == pytest.approx(1.0, abs=1e-12)
    assert sharpness_ratio(image, image) == 1.0


@pytest.mark.parametrize("window", WINDOWS)
def test_the_order_of_the_two_images_does_not_matter(window: str) -> None:
    prediction, target = pair(31, 17, 1, 60, 120)
    assert ssim(prediction, target, window) == pytest.approx(ssim(target, prediction, window), abs=1e-14)
    assert psnr(prediction, target) == psnr(target, prediction)


@pytest.mark.parametrize(("window", "side"), [(name, WINDOW_PX[name] - 1) for name in WINDOWS])
def test_an_image_smaller_than_the_window_is_refused(window: str, side: int) -> None:
    small = np.zeros((side, 40, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match=rf"at least {side + 1} px, got 40x{side} px"):
        ssim(small, small, window)
    whole = np.zeros((side + 1, side + 1, 3), dtype=np.uint8)
    assert ssim(whole, whole, window) == 1.0


@pytest.mark.parametrize(
    ("prediction", "sentence"),
    [
        (np.zeros((8, 9, 3), dtype=np.uint8), "the prediction is 9x8 px, its target 8x8 px"),
        (np.zeros((8, 8, 3)), "the prediction must be uint8 RGB.*float64"),
        (np.zeros((8, 8), dtype=np.uint8), r"the prediction must be uint8 RGB.*\(8, 8\)"),
        (np.zeros((8, 8, 4), dtype=np.uint8), r"the prediction must be uint8 RGB.*\(8, 8, 4\)"),
    ],
)
@pytest.mark.parametrize("measure", [psnr, ssim, global_ssim, sharpness_ratio])
def test_other_arrays_are_refused(measure: object, prediction: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        measure(prediction, np.zeros((8, 8, 3), dtype=np.uint8))  # type: ignore[operator]


def test_sharpness_by_hand() -> None:
    """A grey dot of value v has Laplacian -4v on itself and v on its neighbours: the energy grows with the square of v."""
    target, prediction = (np.full((9, 9, 3), 10, dtype=np.uint8) for _ in range(2))
    target[4, 4], prediction[4, 4] = 110, 60
    assert sharpness_ratio(prediction, target) == pytest.approx(50**2 / 100**2, rel=1e-4)
    assert sharpness_ratio(np.full_like(target, 77), target) == pytest.approx(0.0, abs=1e-9)
    assert math.isnan(sharpness_ratio(target, np.full_like(target, 77)))
    assert math.isnan(sharpness_ratio(target[:2], target[:2]))


@pytest.mark.parametrize("height", [3, BAND_ROWS + 1, BAND_ROWS + 2, BAND_ROWS + 3, 3 * BAND_ROWS])
def test_sharpness_over_bands_is_that_of_the_whole(height: int) -> None:
    made, real = np.random.default_rng(height).integers(0, 256, (2, height, 20, 3), dtype=np.uint8)
    energies = [np.mean(laplace(image @ LUMA.astype(np.float64))[1:-1, 1:-1] ** 2) for image in (made, real)]
    assert sharpness_ratio(made, real) == pytest.approx(energies[0] / energies[1], rel=1e-5)


def test_memory_stays_a_few_bands_above_the_images() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    tracemalloc.start()
    ssim(image, image[::-1])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6  # one whole double-precision map alone is 25 MB


def test_an_unknown_window_suggests_the_nearest() -> None:
    image = np.zeros((20, 20, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="did you mean 'uniform7'"):
        ssim(image, image, "uniform")  # type: ignore[arg-type]


def test_real_images_equal_scikit_image(bci_dev: Path) -> None:
    name = "00361_test_2+.png"
    source, target = (read_image(bci_dev / stain / name)[:500, :600] for stain in ("HE", "IHC"))
    for window, options in SKIMAGE.items():
        expected = structural_similarity(source, target, channel_axis=2, data_range=255, **options)
        assert ssim(source, target, window) == pytest.approx(expected, abs=1e-6)
    assert ssim(source, target, "gauss9") == pytest.approx(gauss9_by_scipy(source, target), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(height=st.integers(7, 3 * BAND_ROWS), width=st.integers(7, 40), seed=st.integers(0, 99), rows=st.integers(0, 60))
def test_flat_colours_need_no_windows(height: int, width: int, seed: int, rows: int) -> None:
    """Of the whole image, of some rows, and a single pixel off, as scikit-image has it."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    flat = np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), target.shape)
    partly, dotted = target.copy(), flat.copy()
    partly[:rows] = flat[0, 0]
    dotted[rng.integers(height), rng.integers(width), rng.integers(3)] ^= 64
    striped = np.broadcast_to(target[:, :1], target.shape)  # each row has one colour, and not the same
    predictions = [flat, partly, dotted, striped, target]
    expected = [structural_similarity(target, one, channel_axis=2, data_range=255) for one in predictions]
    assert ssim_of_each(predictions, target) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("window", WINDOWS)
def test_predictions_of_one_target_are_scored_as_alone(window: str) -> None:
    prediction, target = pair(61, 40, 3, 30, 120)
    several = [prediction, target, np.zeros_like(target), prediction[::-1]]
    assert ssim_of_each(several, target, window) == [ssim(one, target, window) for one in several]
    assert sharpness_of_each(several, target) == [sharpness_ratio(one, target) for one in several]
    with pytest.raises(ValueError, match="equal size"):
        ssim_of_each([prediction, target[1:]], target, window)


@pytest.mark.parametrize("shape", [(1, 1), (5, 17), (2 * BAND_ROWS + 1, 86), (40, 700)])
def test_squared_errors_are_counted_exactly(shape: tuple[int, int]) -> None:
    """Black against white is the largest sum there is; whole numbers must not be rounded."""
    black, white = (np.full((*shape, 3), grey, dtype=np.uint8) for grey in (0, 255))
    assert psnr(black, white) == 0.0
    rng = np.random.default_rng(5)
    prediction, target = (rng.integers(low, low + 6, (*shape, 3), dtype=np.uint8) for low in (250, 0))
    squares = int(((prediction.astype(int) - target.astype(int)) ** 2).sum())
    assert psnr(prediction, target) == 10 * math.log10(255**2 * target.size / squares)
