"""Smoothing by matrices is that of SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from chromogen.evaluate.pixels.smoothing import BLOCK_PX, smoothed


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 3 * BLOCK_PX), width=st.integers(1, 3 * BLOCK_PX), sigma=st.floats(0.3, 9.0), seed=st.integers(0, 99),
    truncate=st.sampled_from([3.0, 4.0]),
)  # fmt: skip
def test_equals_scipy_at_any_size(height: int, width: int, sigma: float, seed: int, truncate: float) -> None:
    """Also where the Gaussian is wider than the plane and is mirrored more than once."""
    plane = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)
    expected = ndimage.gaussian_filter(plane, sigma, truncate=truncate)
    found = smoothed(plane, sigma, truncate=truncate)
    assert found.dtype == np.float32 and found.shape == plane.shape
    assert found == pytest.approx(expected, abs=4e-5)  # two steps of float32 at 255


@pytest.mark.parametrize("sigma", [1.0, 3**0.5, 4.0])
def test_grey_levels_round_as_with_scipy(sigma: float) -> None:
    plane = np.random.default_rng(0).integers(0, 256, (300, 211)).astype(np.float32)
    assert np.array_equal(np.rint(smoothed(plane, sigma)), np.rint(ndimage.gaussian_filter(plane, sigma)))


@pytest.mark.parametrize("sigma", [1.0, 3**0.5, 4.0])
def test_single_precision_is_off_by_no_more_than_it_says(sigma: float) -> None:
    plane = np.random.default_rng(0).uniform(-255, 255, (300, 211)).astype(np.float32)
    away = np.abs(smoothed(plane, sigma, exact=False) - smoothed(plane, sigma)).max()
    assert 0 < away <= 1e-6 * 255


def test_a_strided_plane_is_smoothed_as_its_copy() -> None:
    plane = np.random.default_rng(1).uniform(0, 1, (90, 70)).astype(np.float32)
    assert np.array_equal(smoothed(plane[::2, ::3], 1.5), smoothed(plane[::2, ::3].copy(), 1.5))
