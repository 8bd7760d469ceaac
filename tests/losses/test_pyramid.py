import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from chromogen.losses import pyramid


def plain_levels(image: np.ndarray, levels: int) -> list[np.ndarray]:
    """Both images blurred in turn, as published: each level blurred, then thinned; the last one only thinned."""
    found = []
    for _ in range(levels - 1):
        for axis in (-1, -2):
            image = correlate1d(image, np.array([1, 4, 6, 4, 1]) / 16, axis=axis, mode="mirror")
        found.append(image)
        image = image[..., ::2, ::2]
    return [*found, image]


@pytest.mark.parametrize(("size", "levels"), [((64, 64), 6), ((40, 57), 4), ((33, 48), 1)])
def test_levels_equal_blurring_both_images(size: tuple[int, int], levels: int) -> None:
    fake, target = np.random.default_rng(0).uniform(-1, 1, (2, 2, 3, *size))
    pairs = zip(plain_levels(fake, levels), plain_levels(target, levels), strict=True)
    expected = [np.abs(a - b).mean() for a, b in pairs]
    found = [float(x) for x in pyramid.binomial_absolutes(torch.from_numpy(fake), torch.from_numpy(target), levels)]
    assert len(found) == levels and found == pytest.approx(expected, abs=1e-6)


def test_levels_of_a_constant_difference_are_that_difference() -> None:
    fake = torch.full((1, 3, 32, 32), 0.25)
    assert [float(x) for x in pyramid.binomial_absolutes(fake, fake - 0.75, 5)] == pytest.approx([0.75] * 5, abs=1e-6)


def test_too_small_an_image_says_so() -> None:
    tiny = torch.zeros(1, 3, 16, 16)
    with pytest.raises(ValueError, match="level of 2x2 px is too small to blur"):
        list(pyramid.binomial_absolutes(tiny, tiny, 6))
