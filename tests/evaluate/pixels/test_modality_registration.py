import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.registration import phase_cross_correlation
from sklearn.metrics import mutual_info_score

from chromogen.evaluate.pixels.modality_registration import (
    edge_correlation,
    edges,
    line_overlap,
    local_information,
    phase_shift,
    registration,
)


def case(seed: int, side: int = 64, down: float = 0.0, right: float = 0.0) -> np.ndarray:
    """Two modalities of one phantom: regions whose grey levels are drawn anew in each; the second may be displaced."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(0, 1, (side, side)), 4)
    rows, columns = np.indices((side, side)) - side / 2
    regions = np.where(
        rows**2 + columns**2 < (0.38 * side) ** 2, np.digitize(field, np.quantile(field, [0.3, 0.6, 0.8])) + 1, 0
    )
    first, second = np.array([0.0, 0.3, 0.5, 0.7, 0.9])[regions], np.array([0.0, 0.9, 0.35, 0.6, 0.2])[regions]
    second = ndimage.shift(ndimage.gaussian_filter(second, 0.5), (down, right), order=3, mode="nearest")
    return np.stack([first, second]) + rng.normal(0, 0.01, (2, side, side))


@settings(deadline=None, max_examples=20)
@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(16, 41), st.integers(16, 41))
def test_whole_shifts_are_found_exactly(down: int, right: int, height: int, width: int) -> None:
    down, right = max(-height // 2 + 1, min(down, height // 2 - 1)), max(-width // 2 + 1, min(right, width // 2 - 1))
    image = np.random.default_rng(0).normal(size=(height, width))
    assert phase_shift(image, np.roll(image, (down, right), axis=(0, 1))) == pytest.approx((down, right), abs=1e-9)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.35, -1.6), (-2.75, 3.4)])
def test_parts_of_a_pixel_equal_scikit_image(shift: tuple[float, float]) -> None:
    image = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(40, 50)), 1.0)
    frequencies = np.fft.fft2(image)
    other = np.fft.ifft2(ndimage.fourier_shift(frequencies, shift)).real
    found = phase_shift(image, other)
    expected, _, _ = phase_cross_correlation(other, image, upsample_factor=20)
    assert found == pytest.approx(tuple(expected), abs=0.051) and found == pytest.approx(shift, abs=0.051)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -3), (1.5, 0.5)])
def test_displaced_modalities_of_other_contrast_are_measured(down: float, right: float) -> None:
    cases = np.stack([case(seed, down=down, right=right) for seed in range(5)])
    (found,) = registration(cases)
    assert found.shift_px == pytest.approx(float(np.hypot(down, right)), abs=0.35)
    assert found.shift_95_px >= found.shift_px and found.cases == 5 and np.isnan(found.line_overlap)
    for one in cases:
        assert phase_shift(*map(edges, one)) == pytest.approx((down, right), abs=0.5)


def test_displacement_lowers_what_modalities_share() -> None:
    apart = [registration(np.stack([case(seed, down=down) for seed in range(4)]))[0] for down in (0, 3)]
    assert apart[0].information > 1.5 * apart[1].information
    assert apart[0].edge_correlation == pytest.approx(apart[1].edge_correlation, abs=0.1)  # the shift is undone first
    first, second = map(edges, case(0, down=3))
    assert edge_correlation(first, second, (3, 0)) > edge_correlation(first, second) + 0.2


def test_every_pair_of_modalities_has_its_row() -> None:
    rng = np.random.default_rng(0)
    images = rng.random((2, 3, 32, 32))
    lines = (rng.random((2, 3, 32, 32)) > 0.7).astype(np.uint8)
    found = registration(images, lines)
    assert [row.modalities for row in found] == [(0, 1), (0, 2), (1, 2)]
    for row in found:
        i, j = row.modalities
        dice = [2 * (a[i] * a[j]).sum() / (a[i].sum() + a[j].sum()) for a in lines]
        assert row.line_overlap == pytest.approx(np.mean(dice))
        assert row.information == pytest.approx(np.mean([local_information(one[i], one[j]) for one in images]))


def test_edges_of_a_ramp_by_hand() -> None:
    ramp = 3.0 * np.arange(40)[:, None] + 4.0 * np.arange(40)
    assert edges(ramp)[8:-8, 8:-8] == pytest.approx(5.0, rel=1e-5)


def test_edge_correlation_equals_numpy() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 9, 11))
    assert edge_correlation(x, y) == pytest.approx(np.corrcoef(x.ravel(), y.ravel())[0, 1])
    assert edge_correlation(x, y, (2, -1)) == pytest.approx(np.corrcoef(x[:-2, 1:].ravel(), y[2:, :-1].ravel())[0, 1])
    assert edge_correlation(x, np.full_like(y, 7)) == 0


def test_line_overlap_by_hand() -> None:
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    assert line_overlap(a, b) == 1
    a[0], b[:, 0] = 1, 1
    assert line_overlap(a, b) == pytest.approx(2 / 6)
    with pytest.raises(ValueError, match="line maps of one size"):
        line_overlap(a, b[:2])


def test_information_equals_scikit_learn_in_every_part() -> None:
    one, other = case(3)
    found = local_information(one, other, grid=4, levels=8)
    ranks = [np.searchsorted(np.quantile(image, np.arange(1, 8) / 8), image) for image in (one, other)]
    for i in range(4):
        for j in range(4):
            part = [rank[16 * i : 16 * i + 16, 16 * j : 16 * j + 16].ravel() for rank in ranks]
            assert found[i, j] == pytest.approx(mutual_info_score(*part) / np.log(2), abs=1e-9)
    assert local_information(one, 5 - 3 * one) == pytest.approx(local_information(one, one), rel=0.02)


def test_flat_and_wrong_images() -> None:
    flat, image = np.full((20, 20), 3.0), np.random.default_rng(0).random((20, 20))
    assert phase_shift(flat, image) == phase_shift(image, flat) == (0.0, 0.0)
    with pytest.raises(ValueError, match="at least two modalities"):
        registration(np.zeros((3, 1, 8, 8)))
    with pytest.raises(ValueError, match="one line map an image"):
        registration(np.zeros((3, 2, 8, 8)), np.zeros((3, 1, 8, 8)))
    with pytest.raises(ValueError, match="leaves nothing of 20x20 px"):
        edge_correlation(image, image, (20, 0))
