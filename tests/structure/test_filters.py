import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from chromogen.structure import filters

sides = st.integers(3, 23)
seeds = st.integers(0, 2**32 - 1)


def values(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width), dtype=np.float32)


def batch(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array)[None, None]


@settings(deadline=None, max_examples=30)
@given(height=sides, width=sides, seed=seeds)
def test_sobel_equals_scipy(height: int, width: int, seed: int) -> None:
    image = values(height, width, seed)
    for axis, response in enumerate(filters.sobel(batch(image))):
        np.testing.assert_allclose(response[0, 0], ndimage.sobel(image, axis, mode="mirror"), atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(height=sides, width=sides, seed=seeds, sigma=st.floats(0.01, 3))
def test_blur_equals_scipy(height: int, width: int, seed: int, sigma: float) -> None:
    image = values(height, width, seed)
    expected = ndimage.gaussian_filter(image, sigma, radius=1, mode="mirror")
    np.testing.assert_allclose(filters.blur3(batch(image), sigma)[0, 0], expected, atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(height=sides, width=sides, seed=seeds, share=st.floats(0.05, 0.95), side=st.sampled_from([1, 3, 5, 7, 17]))
def test_median_equals_scipy(height: int, width: int, seed: int, share: float, side: int) -> None:
    mask = (values(height, width, seed) < share).astype(np.uint8)
    expected = ndimage.median_filter(mask, side, mode="nearest")
    np.testing.assert_array_equal(filters.median(batch(mask), side)[0, 0], expected)


@settings(deadline=None, max_examples=60)
@given(
    height=sides, width=sides, seed=seeds, share=st.floats(0.02, 0.98), sigma=st.sampled_from([0.01, 0.3, 0.4, 0.5, 1.0, 2.0])
)
def test_blurred_above_is_the_blur_and_the_threshold(height: int, width: int, seed: int, share: float, sigma: float) -> None:
    mask = (values(height, width, seed) < share).astype(np.uint8)
    for above in (0.0, 0.01, 0.05, 0.2, 0.5, 0.9):
        blurred = ndimage.gaussian_filter(mask.astype(np.float64), sigma, radius=1, mode="mirror")
        clear = np.abs(blurred - above) > 1e-6  # the rest is decided by rounding
        np.testing.assert_array_equal(
            filters.blurred_above(batch(mask), sigma, above)[0, 0].numpy()[clear], (blurred > above)[clear]
        )


@settings(deadline=None, max_examples=40)
@given(height=sides, width=sides, seed=seeds, radius=st.integers(0, 6))
def test_dilate_equals_the_distance(height: int, width: int, seed: int, radius: int) -> None:
    mask = (values(height, width, seed) < 0.03).astype(np.uint8)
    near = ndimage.distance_transform_edt(mask == 0) <= radius if mask.any() else np.zeros(mask.shape, bool)
    np.testing.assert_array_equal(filters.dilate(batch(mask), radius)[0, 0], near)


def test_stretching_ignores_single_pixels_by_percentile_only() -> None:
    image = np.linspace(0, 0.1, 400, dtype=np.float32).reshape(20, 20)
    image[3, 3] = 1.0
    assert filters.minmax(batch(image))[0, 0, -1, -1] == pytest.approx(0.1)
    assert filters.between_percentiles(batch(image), 0.5)[0, 0, -1, -1] > 0.99
    flat = torch.full((2, 1, 4, 4), 0.7)
    assert not filters.minmax(flat).any() and not filters.between_percentiles(flat, 0.5).any()


def test_three_channels() -> None:
    image = torch.zeros(1, 3, 4, 4)
    image[0, 0], image[0, 1], image[0, 2] = 0.2, 0.5, 1.0
    for grey, expected in {"luminance": 0.2 * 0.299 + 0.5 * 0.587 + 0.114, "middle": 0.5, "first": 0.2}.items():
        assert filters.grey_of(image, grey)[0, 0, 1, 2] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.zeros(1, 2, 8, 8), "shape"),
        (torch.zeros(0, 1, 8, 8), "shape"),
        (torch.zeros(1, 1, 2, 8), "too small"),
        (torch.full((1, 1, 8, 8), 1.5), r"\[0, 1\]"),
        (torch.full((1, 1, 8, 8), torch.nan), r"\[0, 1\]"),
    ],
)
def test_bad_images(images: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        filters.grey_of(images, "luminance")


def test_bad_masks_and_numbers() -> None:
    like = torch.zeros(1, 1, 4, 4)
    with pytest.raises(ValueError, match="lesion must have shape"):
        filters.as_binary(torch.zeros(1, 4, 4), "lesion", like)
    with pytest.raises(ValueError, match="organ must hold 0 and 1"):
        filters.as_binary(torch.full_like(like, 0.5), "organ", like)
    for side in (0, 4, -1):
        with pytest.raises(ValueError, match="odd"):
            filters.median(like.to(torch.uint8), side)
    with pytest.raises(ValueError, match="grow"):
        filters.dilate(like.to(torch.uint8), -1)
    with pytest.raises(ValueError, match="sigma"):
        filters.blur3(like, 0.0)
