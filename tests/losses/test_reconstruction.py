import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from chromogen.losses import reconstruction


def plain_octaves(image: np.ndarray, octaves: int) -> list[np.ndarray]:
    """The published order, literally: four 3x3 blurs of sigma 1 with mirrored borders, then every second pixel."""
    kernel = np.exp(-np.array([1.0, 0.0, 1.0]) / 2)
    kernel /= kernel.sum()
    out = []
    for _ in range(octaves):
        for _ in range(4):
            image = correlate1d(correlate1d(image, kernel, axis=-1, mode="mirror"), kernel, axis=-2, mode="mirror")
        image = image[..., ::2, ::2]
        out.append(image)
    return out


@pytest.mark.parametrize("size", [(64, 64), (40, 57), (33, 48)])
def test_octaves_equal_four_plain_blurs_of_both_images(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    fake, target = rng.uniform(-1, 1, (2, 2, 3, *size))
    expected = [
        np.abs(a - b).mean() for a, b in zip(plain_octaves(fake, 3), plain_octaves(target, 3), strict=True)
    ]  # fmt: skip
    found = reconstruction.octave_absolutes(torch.from_numpy(fake), torch.from_numpy(target), 3)
    assert [float(x) for x in found] == pytest.approx(expected, abs=1e-6)


def test_octaves_of_a_constant_difference_are_that_difference() -> None:
    fake = torch.full((1, 3, 32, 32), 0.25)
    assert [float(x) for x in reconstruction.octave_absolutes(fake, fake - 0.75, 3)] == pytest.approx([0.75] * 3, abs=1e-6)


def test_too_small_an_image_says_so() -> None:
    tiny = torch.zeros(1, 3, 8, 8)
    with pytest.raises(ValueError, match="too small to blur"):
        list(reconstruction.octave_absolutes(tiny, tiny, 3))


def test_absolute_by_hand() -> None:
    fake = torch.tensor([[[[1.0, -1.0]]]]).expand(1, 3, 1, 2)
    target = torch.tensor([[[[0.5, -1.0]]]]).expand(1, 3, 1, 2)
    assert float(reconstruction.absolute(fake, target)) == pytest.approx(0.25)
