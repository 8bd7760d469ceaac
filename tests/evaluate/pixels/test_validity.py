import math
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from chromogen.data.images import read_image
from chromogen.evaluate.pixels.likeness import sharpness_ratio
from chromogen.evaluate.pixels.validity import (
    Octaves,
    Thresholds,
    judge,
    judge_submission,
    octave_energies,
    octave_ratios,
    sharpness_octaves,
)
from chromogen.phantom.tissue.phantom import Phantom, draw

PHANTOMS = [draw(Phantom(size_px=256), level, seed=1).ihc for level in range(4)]
FLAT = np.full((64, 64, 3), 90, dtype=np.uint8)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return np.rint(ndimage.gaussian_filter(image.astype(np.float32), (sigma, sigma, 0))).astype(np.uint8)


def noisy(image: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, deviation, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def flag(prediction: np.ndarray, target: np.ndarray) -> str:
    return judge(sharpness_octaves(prediction, target)).flag


@pytest.mark.parametrize("period", [3, 6, 12, 24, 48])
def test_octaves_of_a_wave_by_the_formula(period: int) -> None:
    """A Gaussian of sigma s keeps exp(-2 (pi s / period)^2) of a wave's amplitude; so each octave's share is known."""
    phase = 2 * np.pi * np.arange(480) / period
    image = np.broadcast_to(np.rint(128 + 100 * np.sin(phase))[:, None, None], (480, 480, 3)).astype(np.uint8)
    power = float(np.var(image[:, 0, 0].astype(float)))
    kept = [1.0, *(math.exp(-2 * (math.pi * sigma / period) ** 2) for sigma in (1, 2, 4, 8))]
    expected = [power * (fine - coarse) ** 2 for fine, coarse in pairwise(kept)]
    found = octave_energies(image)
    assert list(vars(found).values()) == pytest.approx(expected, abs=0.02 * power)


def test_octaves_by_filters_of_full_size() -> None:
    """Leaving out pixels between the filters changes the energies by less than 3 %."""
    luma = PHANTOMS[2] @ np.array([0.299, 0.587, 0.114])
    smooth = [luma, *(ndimage.gaussian_filter(luma, sigma) for sigma in (1, 2, 4, 8))]
    expected = [np.mean((fine - coarse) ** 2) for fine, coarse in pairwise(smooth)]
    assert list(vars(octave_energies(PHANTOMS[2])).values()) == pytest.approx(expected, rel=0.03)


def test_ratios_of_contrast_and_of_the_image_itself() -> None:
    image = PHANTOMS[1]
    assert sharpness_octaves(image, image) == Octaves(1.0, 1.0, 1.0, 1.0)
    half = (128 + (image.astype(float) - 128) / 2).round().astype(np.uint8)
    assert list(vars(sharpness_octaves(half, image)).values()) == pytest.approx([0.25] * 4, rel=0.03)
    assert flag(half, image) == "valid"  # a pale image is no blurred one


def test_noise_cannot_stand_in_for_structure() -> None:
    """The Laplacian calls the blurred and noisy image as sharp as its target, or sharper; its fine octave stays low."""
    for image in PHANTOMS:
        counterfeit = noisy(blurred(image, 3), 10)
        ratios = sharpness_octaves(counterfeit, image)
        assert sharpness_ratio(counterfeit, image) > 0.9
        assert ratios.fine < 0.35 and ratios.middle < 0.35
        assert flag(counterfeit, image) in ("blurry", "noisy")


def test_stripes_cannot_stand_in_for_structure() -> None:
    stripes = 15 * (np.arange(256) % 2)[:, None, None]
    for image in PHANTOMS:
        counterfeit = (blurred(image, 3) // 2 + 60 + stripes).astype(np.uint8)
        assert sharpness_ratio(counterfeit, image) > 1
        assert flag(counterfeit, image) in ("blurry", "noisy")


@pytest.mark.parametrize(("sigma", "expected"), [(0.5, "valid"), (1, "valid"), (2, "blurry"), (4, "blurry"), (16, "blurry")])
def test_phantoms_by_blur(sigma: float, expected: str) -> None:
    assert [flag(blurred(image, sigma), image) for image in PHANTOMS] == [expected] * 4


def test_phantoms_of_other_tissue_and_level_are_valid() -> None:
    others = [draw(Phantom(size_px=256), level, seed=2).ihc for level in range(4)]
    energies = [octave_energies(image) for image in PHANTOMS + others]
    pairs = list(permutations(energies, 2))
    assert len(pairs) == 56
    assert judge_submission([octave_ratios(*two) for two in pairs]).shares == {"valid": 1.0}


def test_a_flat_prediction_is_blurry_and_a_flat_target_judges_nothing() -> None:
    image = PHANTOMS[3][:64, :64]
    found = judge(sharpness_octaves(FLAT, image))
    assert (found.flag, found.reasons) == ("blurry", ("hardly any structure: 0 of the target's at 2-4 px (limit 0.03)",))
    assert all(math.isnan(value) for value in vars(sharpness_octaves(image, FLAT)).values())
    nearly = FLAT + (np.arange(64) < 32).astype(np.uint8)[:, None, None]  # a step of one grey level is no structure either
    assert judge(sharpness_octaves(image, nearly)).flag == "unjudged"
    found = judge(sharpness_octaves(image, FLAT))
    assert (found.flag, found.reasons) == ("unjudged", ("the target has no structure to compare with",))


def test_judging_by_hand() -> None:
    assert judge(Octaves(0.3, 0.5, 1.0, 1.0)).flag == "valid"  # on the limit is within it
    blur = judge(Octaves(0.1, 0.3, 0.9, 1.0))
    assert blur.flag == "blurry"
    assert "is 0.33 of the target's (limit 0.5)" in blur.reasons[0]
    noise = judge(Octaves(5.0, 1.25, 1.0, 1.0))
    assert noise.flag == "noisy"
    assert "is 4 times the target's (limit 3)" in noise.reasons[0]
    both = judge(Octaves(2.0, 0.2, 1.0, 1.0))
    assert both.flag == "blurry" and len(both.reasons) == 2
    assert judge(Octaves(0.1, 0.3, 0.9, 1.0), Thresholds(blurry_below=0.3)).flag == "valid"
    assert judge(Octaves(5.0, 1.25, 1.0, 1.0), Thresholds(noisy_above=4.5)).flag == "valid"
    assert judge(Octaves(1.0, 0.0, 1.0, 1.0)).flag == "blurry"
    assert judge(Octaves(0.02, 0.02, 0.02, 1.0)).flag == "blurry"
    assert judge(Octaves(0.02, 0.02, 0.02, 1.0), Thresholds(flat_below=0.01)).flag == "valid"


def test_a_submission_by_hand() -> None:
    good, blur, noise = Octaves(1, 1, 1, 1), Octaves(0.1, 0.3, 0.9, 1), Octaves(5, 1, 1, 1)
    blind = Octaves(*[math.nan] * 4)
    assert judge_submission([good] * 9 + [blur]).flag == "valid"  # a tenth is not more than a tenth
    flagged = judge_submission([good] * 8 + [blur, noise])
    assert (flagged.flag, flagged.shares) == ("blurry", {"blurry": 0.1, "noisy": 0.1, "valid": 0.8})
    assert flagged.reasons == ("2 of 10 judged images are flagged (1 blurry, 1 noisy), more than 10%",)
    assert [image.flag for image in flagged.images] == ["valid"] * 8 + ["blurry", "noisy"]
    assert judge_submission([noise, noise, blur]).flag == "noisy"
    assert judge_submission([good] * 8 + [blur] + [blind] * 11).flag == "blurry"  # one of nine judged
    assert judge_submission([good] * 9 + [blur] * 3, Thresholds(share_above=0.25)).flag == "valid"
    assert judge_submission([blind, blind]).flag == "unjudged"
    with pytest.raises(ValueError, match="without images"):
        judge_submission([])


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 px, got 40x31 px"):
        octave_energies(np.zeros((31, 40, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="score images of equal size"):
        sharpness_octaves(FLAT, PHANTOMS[0])
    with pytest.raises(ValueError, match=r"Thresholds.noisy_above is nan"):
        Thresholds(noisy_above=math.nan)
    with pytest.raises(ValueError, match=r"Thresholds.share_above is -0.1"):
        Thresholds(share_above=-0.1)


def test_real_images(bci_dev: Path) -> None:
    """What the defaults were chosen by: a sharp image passes beside any other, and none that is blurred by 2 px."""
    images = [read_image(path) for path in sorted((bci_dev / "IHC").iterdir())]
    energies = [octave_energies(image) for image in images]
    pairs = list(permutations(energies, 2))
    assert len(pairs) == 56
    assert judge_submission([octave_ratios(*two) for two in pairs]).shares == {"valid": 1.0}
    made = [octave_energies(blurred(image, 2)) for image in images]
    ratios = [octave_ratios(*two) for two in zip(made, energies, strict=True)]
    assert judge_submission(ratios).shares == {"blurry": 1.0}
    for image, real in zip(images, energies, strict=True):
        flat = np.broadcast_to(np.rint(image.mean(axis=(0, 1))).astype(np.uint8), image.shape)
        assert judge(octave_ratios(octave_energies(flat), real)).flag == "blurry"
