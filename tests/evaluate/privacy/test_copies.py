import numpy as np
import pytest
from scipy import ndimage

from chromogen.evaluate.privacy import copies as module
from chromogen.evaluate.privacy.copies import copies, detail, nearest_by_correlation, reduced, transform_names, transformed


def phantoms(count: int, seed: int, side: int = 32) -> np.ndarray:
    """A disc of one brightness with smooth structure of its own: alike, as slices of one organ are."""
    rng = np.random.default_rng(seed)
    structure = ndimage.gaussian_filter(rng.normal(0, 1, (count, side, side)), (0, 1.5, 1.5))
    rows, columns = np.indices((side, side)) - side / 2 + 0.5
    organ = rows**2 + 1.3 * columns**2 < (0.4 * side) ** 2
    return np.clip(organ * (130 + 60 * structure / structure.std()), 0, 255).astype(np.uint8)


def moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    return ndimage.shift(image, (down, right), order=0)


def by_loops(image: np.ndarray, real: np.ndarray, reach: int) -> tuple[float, int]:
    """Greatest NCC over everything, by SciPy's own turns and corrcoef."""
    best = (-2.0, -1)
    height, width = image.shape
    for number, other in enumerate(real):
        for mirrored in (image, np.fliplr(image)):
            for turn in range(4) if height == width else (0, 2):
                turned = np.rot90(mirrored, turn)
                for down in range(-reach, reach + 1):
                    for right in range(-reach, reach + 1):
                        pairs = [
                            (turned[i, j], other[i + down, j + right])
                            for i in range(height)
                            for j in range(width)
                            if 0 <= i + down < height and 0 <= j + right < width
                        ]
                        ncc = float(np.corrcoef(np.array(pairs, dtype=float).T)[0, 1])
                        best = max(best, (ncc, number))
    return best


@pytest.mark.parametrize("shape", [(6, 6), (5, 7)])
@pytest.mark.parametrize("bytes_", [1, 2**20])
def test_nearest_equals_plain_loops(shape: tuple[int, int], bytes_: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", bytes_)
    rng = np.random.default_rng(0)
    images, real = rng.integers(0, 256, (2, *shape)), rng.integers(0, 256, (3, *shape))
    found = nearest_by_correlation(images, real, shift_px=1)
    for k, image in enumerate(images):
        ncc, number = by_loops(image, real, 1)
        assert found.ncc[k] == pytest.approx(ncc, abs=1e-5) and found.real[k] == number


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_planted_copy_is_found_with_its_turn_and_shift(mirrored: bool, turn: int) -> None:
    train, holdout, fresh = phantoms(12, 1), phantoms(12, 2), phantoms(6, 3)
    planted = train[5].astype(float)
    planted = np.rot90(planted, -turn)
    planted = np.fliplr(planted) if mirrored else planted
    planted = moved(planted, 3, -2) + np.random.default_rng(0).normal(0, 15, planted.shape)
    found = copies(np.concatenate([planted[None], fresh.astype(float)]), train, holdout, percentile=99.9)
    copy = found.matches[0]
    assert copy.is_copy and copy.real == 5 and copy.ncc > 0.9 > found.threshold
    assert copy.transform == transform_names(True)[4 * mirrored + turn]
    assert sorted(map(abs, copy.shift_px)) == [2, 3]
    assert np.rot90(np.fliplr(planted) if mirrored else planted, turn) == pytest.approx(
        transformed(planted[None], copy.transform)[0]
    )
    if (mirrored, turn) == (False, 0):
        assert copy.shift_px == (-3, 2)  # back to where the real image is
    assert found.count == 1 and found.share == pytest.approx(1 / 7)


def test_the_threshold_is_the_percentile_of_held_out_images() -> None:
    train, holdout = phantoms(8, 1), phantoms(40, 2)
    found = copies(holdout, train, holdout, percentile=90, band_px=None)
    values = nearest_by_correlation(holdout, train).ncc
    assert found.threshold == pytest.approx(float(np.percentile(values, 90)))
    assert found.count == 4  # one in ten, by construction
    assert copies(phantoms(40, 3), train, holdout).share < 0.2
    assert copies(train, train, holdout).share == 1


def test_modalities_match_together() -> None:
    train, other = (np.stack([phantoms(10, seed), phantoms(10, seed + 50)], axis=3) for seed in (1, 3))
    half = other.copy()
    half[..., 0] = train[..., 0]
    found = nearest_by_correlation(half, train, shift_px=1)
    assert found.real.tolist() == list(range(10)) and found.ncc.max() < 0.97
    for k in range(10):
        assert (found.transform[k], found.shift_px[k].tolist()) == ("as it is", [0, 0])
        assert found.ncc[k] == pytest.approx(np.corrcoef(half[k].ravel(), train[k].ravel())[0, 1], abs=1e-5)


def test_brightness_contrast_and_size_do_not_hide_a_copy() -> None:
    train, holdout = phantoms(6, 1, 128), phantoms(6, 2, 128)
    found = copies((train[:2] * 0.5 + 20).astype(np.float32), train.astype(np.float32), holdout.astype(np.float32))
    assert [match.real for match in found.matches] == [0, 1] and found.count == 2
    assert found.side_px == 64 and all(match.ncc == pytest.approx(1, abs=1e-4) for match in found.matches)


def test_detail_tells_patients_apart_where_whole_images_are_all_alike() -> None:
    """A strong ramp that all share, and weak structure of one's own."""
    ramp = np.linspace(0, 200, 48)[:, None]
    structure = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(60, 48, 48)), (0, 1.5, 1.5))
    train, holdout, fresh = np.split(ramp + 9 * structure / structure.std(), 3)
    copied = np.stack([ndimage.shift(np.fliplr(image), (2, -1), order=0, mode="nearest") for image in train])
    planted = copied + np.random.default_rng(0).normal(0, 12, train.shape)
    by_detail, by_all = (copies(planted, train, holdout, band_px=band) for band in ((1.0, 4.0), None))
    assert by_detail.share > 0.9 > by_all.share + 0.3
    assert [match.real for match in by_detail.matches] == list(range(20)) and copies(fresh, train, holdout).share < 0.25


def test_detail_equals_two_gaussians() -> None:
    images = np.random.default_rng(0).random((2, 9, 11, 3))
    found = detail(images, (0.5, 2.0))
    for n in range(2):
        for c in range(3):
            plane = images[n, :, :, c]
            expected = ndimage.gaussian_filter(plane, 0.5) - ndimage.gaussian_filter(plane, 2.0)
            assert found[n, :, :, c] == pytest.approx(expected, abs=1e-6)
    assert not detail(np.full((1, 9, 9), 200), (1.0, 4.0)).any()


def test_a_flat_image_resembles_nothing() -> None:
    found = nearest_by_correlation(np.full((1, 16, 16), 200), phantoms(3, 1, 16), 1)
    assert found.ncc.tolist() == [0.0]


def test_reduced_takes_means_of_squares() -> None:
    image = np.arange(20).reshape(1, 4, 5)
    assert reduced(image, 2)[0] == pytest.approx(np.array([[3.0, 5.0], [13.0, 15.0]]))
    assert np.array_equal(reduced(image, 9), image)


def test_wrong_sets_are_refused() -> None:
    images = phantoms(3, 1, 16)
    with pytest.raises(ValueError, match="all images must have one size"):
        copies(images, images, images[:, :8])
    with pytest.raises(ValueError, match="holdout images must be"):
        copies(images, images, images[:0])
    with pytest.raises(ValueError, match="percentile lies between 0 and 100"):
        copies(images, images, images, percentile=100)
    with pytest.raises(ValueError, match="the finer one first"):
        copies(images, images, images, band_px=(4.0, 1.0))
    with pytest.raises(ValueError, match="less than half of 16x16 px, got 8 px"):
        copies(images, images, images, shift_px=8)
