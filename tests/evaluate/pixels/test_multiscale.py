from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure
from torchmetrics.image import MultiScaleStructuralSimilarityIndexMeasure

from chromogen.data.images import read_image
from chromogen.evaluate.pixels.multiscale import SIDE_PX, WEIGHTS, ms_ssim


def pair(height: int, width: int, seed: int, noise: int) -> tuple[np.ndarray, np.ndarray]:
    """A target with structure at every scale, and a prediction that differs by at most `noise` grey levels."""
    rng = np.random.default_rng(seed)
    layers = [ndimage.gaussian_filter(rng.normal(0, 1, (height, width, 3)), (s, s, 0)) * s * 40 for s in (0.5, 2, 6, 15)]
    target = np.clip(150 + sum(layers), 0, 255)
    prediction = np.clip(target + rng.integers(-noise, noise + 1, target.shape), 0, 255)
    return prediction.astype(np.uint8), target.astype(np.uint8)


def by_torchmetrics(prediction: np.ndarray, target: np.ndarray) -> float:
    tensors = [torch.from_numpy(image).permute(2, 0, 1)[None].double() for image in (prediction, target)]
    return float(multiscale_structural_similarity_index_measure(*tensors, data_range=255.0))


def by_scipy(prediction: np.ndarray, target: np.ndarray) -> float:
    """The equations once more, with correlations of scipy in place of bands of rows."""
    x, y = prediction.astype(float), target.astype(float)
    product = 1.0
    for scale, weight in enumerate(WEIGHTS):
        coarsest = scale == len(WEIGHTS) - 1
        rim = slice(None) if coarsest else slice(5, -5)

        def mean(values: np.ndarray, rim: slice = rim) -> np.ndarray:
            return ndimage.gaussian_filter(values, 1.5, radius=5, axes=(0, 1), mode="mirror")[rim, rim]

        means = mean(x) * mean(y)
        powers = mean(x) ** 2 + mean(y) ** 2
        similarity = (2 * (mean(x * y) - means) + 58.5225) / (mean(x * x + y * y) - powers + 58.5225)
        if coarsest:
            similarity = similarity * (2 * means + 6.5025) / (powers + 6.5025)
        product *= max(float(similarity.mean()), 0.0) ** weight
        height, width = x.shape[0] // 2, x.shape[1] // 2
        x, y = (image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).mean(axis=(1, 3)) for image in (x, y))
    return product


@pytest.mark.parametrize(("height", "width", "noise"), [(176, 176, 60), (177, 223, 5), (207, 191, 200)])
def test_equals_torchmetrics_and_scipy(height: int, width: int, noise: int) -> None:
    prediction, target = pair(height, width, height + noise, noise)
    found = ms_ssim(prediction, target)
    assert found == pytest.approx(by_torchmetrics(prediction, target), abs=1e-6)
    assert found == pytest.approx(by_scipy(prediction, target), abs=1e-9)


def test_the_weights_are_those_of_torchmetrics_and_need_not_sum_to_1() -> None:
    assert MultiScaleStructuralSimilarityIndexMeasure(data_range=255.0).betas == WEIGHTS
    assert sum(WEIGHTS) == pytest.approx(1.0001)


def test_two_flat_images_by_hand() -> None:
    """No contrast anywhere: only the luminance of the coarsest scale is left, to the power of its weight."""
    dark, light = (np.full((176, 180, 3), value, dtype=np.uint8) for value in (60, 180))
    luminance = (2 * 60 * 180 + 6.5025) / (60**2 + 180**2 + 6.5025)
    assert ms_ssim(dark, light) == pytest.approx(luminance**0.1333, abs=1e-9)


def test_identical_images_opposite_images_and_order() -> None:
    prediction, target = pair(180, 190, 3, 60)
    assert ms_ssim(target, target) == pytest.approx(1.0, abs=1e-12)
    assert ms_ssim(prediction, target) == pytest.approx(ms_ssim(target, prediction), abs=1e-12)
    assert ms_ssim(255 - target, target) == 0.0  # structure is opposite: negative, and counted as 0


def test_opposite_detail_on_the_finest_scale_alone_is_zero() -> None:
    _, target = pair(176, 176, 3, 1)
    coarse = ndimage.gaussian_filter(target.astype(float), (1.2, 1.2, 0))
    prediction = np.clip(2 * coarse - target, 0, 255).astype(np.uint8)
    assert ms_ssim(prediction, target) == by_torchmetrics(prediction, target) == 0.0


def test_coarse_structure_outweighs_a_small_shift() -> None:
    _, target = pair(200, 200, 5, 1)
    shifted = np.roll(target, 2, axis=1)
    coarse = ndimage.gaussian_filter(target, (3, 3, 0))
    assert 0.5 < ms_ssim(shifted, target) < 1
    assert ms_ssim(coarse, target) > ms_ssim(np.full_like(target, 150), target)


@pytest.mark.parametrize("shape", [(SIDE_PX - 1, 200, 3), (200, SIDE_PX - 1, 3)])
def test_images_too_small_for_five_scales_are_refused(shape: tuple[int, int, int]) -> None:
    small = np.zeros(shape, dtype=np.uint8)
    with pytest.raises(ValueError, match=f"at least 176 px, got {shape[1]}x{shape[0]} px"):
        ms_ssim(small, small)
    with pytest.raises(ValueError, match="score images of equal size"):
        ms_ssim(small, np.zeros((200, 200, 3), dtype=np.uint8))


def test_real_images_equal_torchmetrics(bci_dev: Path) -> None:
    name = "00361_test_2+.png"
    source, target = (read_image(bci_dev / stain / name)[300:500, 300:520] for stain in ("HE", "IHC"))
    assert ms_ssim(source, target) == pytest.approx(by_torchmetrics(source, target), abs=1e-6)
