import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.nets.wavelet import haar, inverse_haar


def test_the_four_bands_of_four_pixels() -> None:
    image = torch.tensor([[[[1.0, 2.0], [4.0, 8.0]]]])
    assert haar(image).flatten().tolist() == [7.5, -4.5, -2.5, 1.5]


def test_against_pywavelets() -> None:
    """Every channel of every image; PyWavelets calls LH horizontal, HL vertical and HH diagonal detail."""
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, 10, 14))
    found = haar(torch.from_numpy(images))
    assert found.shape == (2, 12, 5, 7)
    for n in range(2):
        for c in range(3):
            low, details = pywt.dwt2(images[n, c], "haar")
            for k, band in enumerate((low, *details)):
                assert np.allclose(found[n, 4 * c + k], band, atol=1e-12), (n, c, k)
    back = pywt.idwt2((found[1, 8].numpy(), tuple(found[1, k].numpy() for k in (9, 10, 11))), "haar")
    assert np.allclose(back, images[1, 2], atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(channels=st.integers(1, 4), height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 1000))
def test_bands_hold_the_image_and_its_energy(channels: int, height: int, width: int, seed: int) -> None:
    image = torch.rand(2, channels, 2 * height, 2 * width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    bands = haar(image)
    assert torch.allclose(inverse_haar(bands), image, atol=1e-13)
    assert torch.allclose(bands.square().sum(), image.square().sum())


def test_autocast_leaves_small_differences_alone() -> None:
    image = 0.9 + 1e-4 * torch.rand(1, 1, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        bands = haar(image)
    assert bands.dtype == torch.float32 and torch.equal(bands, haar(image)) and float(bands[:, 1:].abs().min()) > 0


def test_what_does_not_halve() -> None:
    with pytest.raises(ValueError, match="5 x 4 px does not halve"):
        haar(torch.zeros(1, 1, 5, 4))
    with pytest.raises(ValueError, match="come in fours, got 6"):
        inverse_haar(torch.zeros(1, 6, 2, 2))
