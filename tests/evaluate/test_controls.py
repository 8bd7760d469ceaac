from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from chromogen.data.images import read_image
from chromogen.evaluate.controls import MEANING, blurred, constant, controls
from chromogen.evaluate.pixels.likeness import psnr, ssim


def test_the_constant_is_the_rounded_mean_colour() -> None:
    target = np.zeros((2, 2, 3), dtype=np.uint8)
    target[0, 0] = (4, 10, 255)
    target[1, 1] = (4, 0, 255)
    assert constant(target).tolist() == [[[2, 2, 128]] * 2] * 2  # means 2, 2.5 (to even) and 127.5 (to even)


def test_the_blur_is_a_gaussian_of_sigma_4_px_with_mirrored_borders() -> None:
    target = np.zeros((61, 61, 3), dtype=np.uint8)
    target[22:39, 22:39, 1] = 255
    taps = np.exp(-0.5 * (np.arange(-16, 17) / 4.0) ** 2)
    taps /= taps.sum()
    expected = np.zeros((61, 61))
    for row in range(61):
        for column in range(61):
            rows, columns = np.abs(np.arange(22, 39) - row), np.abs(np.arange(22, 39) - column)
            weights = [sum(taps[16 + gap] for gap in gaps if gap <= 16) for gaps in (rows, columns)]
            expected[row, column] = 255 * weights[0] * weights[1]
    found = blurred(target)
    assert np.abs(found[..., 1] - expected).max() <= 0.51
    assert found[..., 0].max() == 0 and found[..., 2].max() == 0
    flat = np.full((5, 40, 3), 200, dtype=np.uint8)
    assert np.array_equal(blurred(flat), flat)


def test_the_source_control_is_the_source_and_may_be_missing() -> None:
    target, source = np.zeros((9, 9, 3), dtype=np.uint8), np.ones((9, 9, 3), dtype=np.uint8)
    mean = np.array([1, 2, 3], dtype=np.uint8)
    assert list(controls(target, source, mean)) == list(MEANING)
    assert bool((controls(target, source, mean)["training_mean"] == mean).all())
    assert list(controls(target, source)) == ["constant", "source", "blurred_target"]
    assert controls(target, source)["source"] is source
    assert list(controls(target, None)) == ["constant", "blurred_target"]


def test_documented_anchors_on_real_pairs(bci_dev: Path) -> None:
    """The means that CHANGELOG and README quote. A blur that truncates to whole grey levels after each axis, as scipy does to
    uint8 arrays, darkens the image and gives 29.32 dB instead of 29.40: the figure other texts quote for this control."""
    found: dict[str, list[tuple[float, float]]] = {}
    truncated = []
    for path in sorted((bci_dev / "IHC").iterdir()):
        target, source = read_image(path), read_image(bci_dev / "HE" / path.name)
        for name, image in controls(target, source).items():
            found.setdefault(name, []).append((psnr(image, target), ssim(image, target)))
        truncated.append(psnr(ndimage.gaussian_filter(target, (4, 4, 0)), target))
    anchors = {"constant": (23.29, 0.613), "source": (15.28, 0.332), "blurred_target": (29.40, 0.711)}
    assert found.keys() == anchors.keys()
    for name, (decibel, similarity) in anchors.items():
        assert len(found[name]) == 8
        assert np.mean(found[name], axis=0)[0] == pytest.approx(decibel, abs=0.01)
        assert np.mean(found[name], axis=0)[1] == pytest.approx(similarity, abs=0.001)
    assert np.mean(truncated) == pytest.approx(29.32, abs=0.01)
