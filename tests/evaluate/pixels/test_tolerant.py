import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from chromogen.data.images import read_image
from chromogen.evaluate.pixels.likeness import psnr, ssim
from chromogen.evaluate.pixels.tolerant import displacement_field, flow_tolerant, shift_tolerant, squared_errors
from chromogen.phantom.tissue.phantom import Phantom, draw

PHANTOM = draw(Phantom(size_px=256), 2, 5).ihc


def textured(height: int, width: int, seed: int, grain: float = 1.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(0, 1, (height, width, 3)), (grain, grain, 0))
    return np.clip(140 + 45 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def noisy(image: np.ndarray, seed: int, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, deviation, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def crop(image: np.ndarray, rim: int, shift: tuple[int, int] = (0, 0)) -> np.ndarray:
    top, left = rim + shift[0], rim + shift[1]
    return image[top : top + image.shape[0] - 2 * rim, left : left + image.shape[1] - 2 * rim]


def bent(image: np.ndarray, amplitude: float, period: float) -> tuple[np.ndarray, np.ndarray]:
    """The image seen through a slow wave, and how far (y, x) each pixel's content was fetched from."""
    rows, columns = np.indices(image.shape[:2]).astype(float)
    field = np.stack([amplitude * np.sin(2 * np.pi * columns / period), amplitude * np.cos(2 * np.pi * rows / period)])
    where = [rows + field[0], columns + field[1]]
    channels = [ndimage.map_coordinates(image[..., k].astype(float), where, order=1, mode="mirror") for k in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8), field


@pytest.mark.parametrize(("height", "width", "radius"), [(40, 53, 4), (64, 64, 8), (33, 90, 3), (21, 21, 7), (30, 30, 0)])
def test_best_shift_by_plain_loops(height: int, width: int, radius: int) -> None:
    target = textured(height, width, 1)
    prediction = noisy(np.roll(target, (min(radius, 2), -min(radius, 3)), axis=(0, 1)), 2, 25)
    inner = crop(target, radius)
    shifts = list(product(range(-radius, radius + 1), repeat=2))
    by_psnr = {shift: psnr(crop(prediction, radius, shift), inner) for shift in shifts}
    by_ssim = {shift: ssim(crop(prediction, radius, shift), inner) for shift in shifts}
    found = shift_tolerant(prediction, target, radius)
    assert (found.psnr, found.psnr_shift) == (max(by_psnr.values()), max(by_psnr, key=by_psnr.__getitem__))
    assert (found.ssim, found.ssim_shift) == (max(by_ssim.values()), max(by_ssim, key=by_ssim.__getitem__))


def test_best_psnr_of_unrelated_images_by_plain_loops() -> None:
    """Nothing stands out here, so a transform that loses digits would choose another shift."""
    prediction, target = textured(70, 50, 1, 0.3), textured(70, 50, 2, 0.3)
    loops = {shift: psnr(crop(prediction, 5, shift), crop(target, 5)) for shift in product(range(-5, 6), repeat=2)}
    found = shift_tolerant(prediction, target, 5)
    assert (found.psnr, found.psnr_shift) == (max(loops.values()), max(loops, key=loops.__getitem__))


def test_squared_errors_are_exact_whole_numbers() -> None:
    """At the size of BCI images, where single precision would be wrong by thousands."""
    rng = np.random.default_rng(0)
    prediction, target = (rng.integers(0, 256, (700, 1024, 3), dtype=np.uint8) for _ in range(2))
    found = squared_errors(prediction, crop(target, 8))
    assert found.shape == (17, 17)
    for shift in ((-8, -8), (0, 0), (8, 5), (3, -7)):
        difference = crop(prediction, 8, shift).astype(np.int64) - crop(target, 8)
        assert found[shift[0] + 8, shift[1] + 8] == np.square(difference).sum()


def test_psnr_and_ssim_may_be_best_at_different_shifts() -> None:
    """Strong blobs, which decide the squared error, lie 2 px higher; faint texture, which most windows see, 3 px lower."""
    faint, strong = textured(120, 120, 1) * 0.25 + 90, textured(120, 120, 2, 4.0)
    images = []
    for down, up in ((0, 0), (3, -2)):
        image = np.roll(faint, down, axis=0).astype(np.uint8)
        image[:, 90:] = np.roll(strong, up, axis=0)[:, 90:]
        images.append(image)
    target, prediction = images
    shifts = list(product(range(-5, 6), repeat=2))
    loops = {shift: ssim(crop(prediction, 5, shift), crop(target, 5)) for shift in shifts}
    found = shift_tolerant(prediction, target, 5)
    assert found.psnr_shift[0] < 0
    assert (found.ssim, found.ssim_shift) == (max(loops.values()), (3, 0))


@settings(deadline=None, max_examples=30)
@given(y=st.integers(-8, 8), x=st.integers(-8, 8), seed=st.integers(0, 1000), deviation=st.sampled_from([0.0, 3.0, 20.0]))
def test_a_shifted_prediction_scores_as_the_unshifted(y: int, x: int, seed: int, deviation: float) -> None:
    whole, rim = textured(96, 104, seed), 8
    unshifted = noisy(whole, seed, deviation)
    target, prediction = crop(whole, rim), crop(unshifted, rim, (-y, -x))
    found = shift_tolerant(prediction, target)
    same = crop(unshifted, 2 * rim), crop(whole, 2 * rim)
    assert (found.psnr, found.ssim) == (psnr(*same), ssim(*same))
    assert found.psnr_shift == found.ssim_shift == (y, x)


def test_of_equal_shifts_the_shortest_counts() -> None:
    stripes = np.zeros((60, 60, 3), dtype=np.uint8)
    stripes[:, ::4] = 200
    found = shift_tolerant(stripes, stripes)
    assert (found.psnr, found.ssim, found.psnr_shift, found.ssim_shift) == (math.inf, 1.0, (0, 0), (0, 0))
    assert shift_tolerant(np.roll(stripes, 1, axis=1), stripes).psnr_shift == (0, 1)
    flat = np.full_like(stripes, 90)
    assert shift_tolerant(flat, stripes).ssim_shift == (0, 0)


def test_the_sample_of_rows_finds_the_shift_in_large_images() -> None:
    """Here only every second row of windows is looked at before SSIM is taken."""
    prediction = noisy(PHANTOM, 0, 10)
    found = shift_tolerant(np.roll(prediction, (-7, 4), axis=(0, 1)), PHANTOM)
    assert found.ssim_shift == found.psnr_shift == (-7, 4)
    assert found.ssim == pytest.approx(ssim(crop(prediction, 8), crop(PHANTOM, 8)), abs=0.02)  # the roll wraps the rim


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), related=st.booleans(), height=st.integers(96, 170), width=st.integers(96, 170))
def test_tolerance_never_lowers_the_score(seed: int, related: bool, height: int, width: int) -> None:
    target = textured(height, width, seed)
    prediction = noisy(target, seed, 30) if related else textured(height, width, seed + 1)
    shifted, laid = shift_tolerant(prediction, target), flow_tolerant(prediction, target)
    for rim, found in ((8, shifted), (16, laid)):
        plain = crop(prediction, rim), crop(target, rim)
        assert found.psnr >= psnr(*plain)
        assert found.ssim >= ssim(*plain)


def test_identical_and_flat_images() -> None:
    flat = np.full_like(PHANTOM, 90)
    for tolerant in (shift_tolerant, flow_tolerant):
        assert (tolerant(PHANTOM, PHANTOM).psnr, tolerant(PHANTOM, PHANTOM).ssim) == (math.inf, 1.0)
        assert tolerant(flat, flat).psnr == math.inf
    assert flow_tolerant(PHANTOM, PHANTOM).moved_px == 0.0
    assert flow_tolerant(flat, PHANTOM).moved_px == flow_tolerant(PHANTOM, flat).moved_px == 0.0


def test_blocks_of_empty_glass_stay_where_they_are() -> None:
    """Grain of one grey level correlates with something somewhere; nothing is to be learnt from where."""
    glass = noisy(np.full((224, 224, 3), 235, dtype=np.uint8), 1, 1)
    assert not displacement_field(textured(224, 224, 2), glass).any()
    assert displacement_field(textured(224, 224, 2), textured(224, 224, 3)).any()


@pytest.mark.parametrize("shift", [(16, -16), (-5, 3), (0, 11)])
def test_one_shift_everywhere_is_undone_exactly(shift: tuple[int, int]) -> None:
    whole = textured(220, 230, 4)
    target, prediction = crop(whole, 20), crop(whole, 20, (-shift[0], -shift[1]))
    field = displacement_field(prediction, target)
    assert field.shape == (2, 148, 158)
    assert np.array_equal(np.unique(field[0]), [shift[0]]) and np.array_equal(np.unique(field[1]), [shift[1]])
    found = flow_tolerant(prediction, target)
    assert (found.psnr, found.ssim) == (math.inf, 1.0)
    assert found.moved_px == pytest.approx(math.hypot(*shift))


def test_a_shift_beyond_the_reach_is_not_followed() -> None:
    whole = textured(300, 300, 4, 2.5)
    target, prediction = crop(whole, 30), crop(whole, 30, (-24, 0))
    assert np.abs(displacement_field(prediction, target)).max() <= 16
    assert flow_tolerant(prediction, target).ssim < 0.5


def test_a_block_that_moves_alone_is_not_followed() -> None:
    target = textured(352, 352, 6)
    prediction = target.copy()
    prediction[140:212, 140:212] = target[146:218, 140:212]
    assert not displacement_field(prediction, target).any()
    prediction[76:276, 76:276] = target[82:282, 76:276]  # with its eight neighbours it is
    assert displacement_field(prediction, target)[0].min() == pytest.approx(-6, abs=0.01)


def test_a_slow_bend_is_straightened() -> None:
    target = textured(420, 420, 9, 2.0)
    prediction, fetched_from = bent(target, 5.0, 420.0)
    plain = psnr(crop(prediction, 16), crop(target, 16))
    found = flow_tolerant(prediction, target)
    assert found.psnr > plain + 5
    truth = -fetched_from[:, 16:-16, 16:-16]  # about the inverse of so slow a field
    assert np.abs(displacement_field(prediction, target) - truth).mean() < 1.0 < np.abs(truth).mean() / 3
    assert found == flow_tolerant(prediction, target)


def test_the_field_is_too_coarse_to_put_cells_right() -> None:
    """Cells displaced each on its own, by up to 6 px: hardly anything is gained, where the best would be everything."""
    rng = np.random.default_rng(3)
    places = np.stack(np.meshgrid(np.arange(20, 330, 24), np.arange(20, 330, 24), indexing="ij"), -1).reshape(-1, 2)
    images = []
    for jitter in (0, 6):
        image = np.full((352, 352, 3), 220, dtype=np.uint8)
        for top, left in places + rng.integers(-jitter, jitter + 1, places.shape):
            image[top : top + 8, left : left + 8] = (120, 70, 60)
        images.append(image)
    target, prediction = images
    plain = crop(prediction, 16), crop(target, 16)
    found = flow_tolerant(prediction, target)
    assert found.psnr < psnr(*plain) + 1
    assert found.ssim < ssim(*plain) + 0.05


def test_images_too_small_are_refused() -> None:
    for tolerant, side in ((shift_tolerant, 23), (flow_tolerant, 96)):
        whole, small = np.zeros((side, side, 3), dtype=np.uint8), np.zeros((side, side - 1, 3), dtype=np.uint8)
        assert tolerant(whole, whole).ssim == 1.0
        with pytest.raises(ValueError, match=f"need images of at least {side} px, got {side - 1}x{side} px"):
            tolerant(small, small)
        with pytest.raises(ValueError, match="score images of equal size"):
            tolerant(whole, small)
    with pytest.raises(ValueError, match="radius of the shifts is -1 px"):
        shift_tolerant(PHANTOM, PHANTOM, -1)


def test_unrelated_tissue_gains_next_to_nothing(bci_dev: Path) -> None:
    """The best of 289 shifts, or a field of free vectors, over sections that show different tissue: what chance is worth."""
    images = [read_image(path)[:512, :512] for path in sorted((bci_dev / "IHC").iterdir())]
    for prediction, target in zip(images[::2], images[1::2], strict=True):
        for tolerant, rim in ((shift_tolerant, 8), (flow_tolerant, 16)):
            plain = crop(prediction, rim), crop(target, rim)
            found = tolerant(prediction, target)
            assert found.psnr < psnr(*plain) + 0.3
            assert found.ssim < ssim(*plain) + 0.025
