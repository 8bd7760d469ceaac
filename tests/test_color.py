import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import hed_from_rgb, rgb2hed, separate_stains

from chromogen import color
from chromogen.data.images import read_image

SKIMAGE_SCALE = 6.0  # scikit-image divides densities by log10(1e6)


def unit_image(seed: int = 0, size: tuple[int, int] = (11, 13)) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.02, 1.0, (*size, 3))


def test_separation_agrees_with_scikit_image() -> None:
    image = unit_image()
    assert np.allclose(color.separate(image), SKIMAGE_SCALE * rgb2hed(image), atol=1e-9)
    assert np.allclose(color.H_E_DAB.inverse, hed_from_rgb, atol=1e-12)
    for stains in (color.H_E, color.H_DAB):
        expected = SKIMAGE_SCALE * separate_stains(image, stains.inverse)[..., :2]
        assert np.allclose(color.separate(image, stains), expected, atol=1e-9)


@pytest.mark.parametrize("name", sorted(color.STAINS))
def test_tensors_and_arrays_give_the_same_numbers(name: str) -> None:
    image, white = unit_image(), np.array([0.9, 0.85, 0.8])
    stains = color.STAINS[name]
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    array_amounts = color.separate(image, stains, white)
    tensor_amounts = color.separate(tensor, stains, white)
    assert np.allclose(tensor_amounts[0].permute(1, 2, 0).numpy(), array_amounts, atol=1e-9)
    array_back = color.combine(array_amounts, stains, white)
    assert np.allclose(color.combine(tensor_amounts, stains, white)[0].permute(1, 2, 0).numpy(), array_back, atol=1e-9)


@given(seed=st.integers(0, 2**16), name=st.sampled_from(sorted(color.STAINS)), white=st.floats(0.5, 1.0))
def test_combining_and_separating_return_the_concentrations(seed: int, name: str, white: float) -> None:
    stains = color.STAINS[name]
    amounts = np.random.default_rng(seed).uniform(0, 0.6, (4, 5, len(stains.names)))  # no channel reaches the floor
    light = np.array([white, white * 0.97, white * 0.95])
    assert np.allclose(color.separate(color.combine(amounts, stains, light), stains, light), amounts, atol=1e-6)


def test_optical_density_by_hand() -> None:
    image = np.array([[[1.0, 0.1, 0.05]]])
    assert np.allclose(color.optical_density(image), [[[0, 1, 1.30103]]])
    assert np.allclose(color.optical_density(image, white=(0.5, 1.0, 1.0)), [[[-np.log10(2), 1, 1.30103]]])
    assert np.allclose(color.transmittance(color.optical_density(image)), image)


@pytest.mark.parametrize("level", [0.0, 1 / 255, 5 / 255])
def test_black_is_as_dark_as_eight_bits_show(level: float) -> None:
    """2 % of full light, in arrays and in tensors; a caller with its own veil of light may go below."""
    dark = np.full((1, 1, 3), level)
    for density in (color.optical_density(dark), color.optical_density(torch.from_numpy(dark).permute(2, 0, 1)[None]).numpy()):
        assert np.allclose(density, np.log10(1 / 0.02), atol=0.001)
    assert np.allclose(color.optical_density(dark, darkest=0.001), np.log10(1 / max(level, 0.001)))


def test_a_gradient_flows_through_separation() -> None:
    image = torch.rand(1, 3, 4, 4, dtype=torch.double).clamp(0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: color.separate(x, clip=False), image)


@pytest.mark.parametrize("glass", [(178, 176, 174), (240, 236, 238), (255, 255, 255), (205, 212, 208)])
def test_background_finds_the_glass(glass: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    image = np.full((64, 64, 3), glass, np.float64)
    image[:, 20:] = (170, 90, 140)  # tissue over two thirds
    noisy = np.clip(image + rng.normal(0, 1.5, image.shape), 0, 255).round().astype(np.uint8)
    assert color.background(noisy) * 255 == pytest.approx(glass, abs=5)


def test_background_of_a_field_full_of_tissue_is_its_brightest_colour() -> None:
    image = np.full((32, 32, 3), (170, 90, 140), np.uint8)
    assert color.background(image) * 255 == pytest.approx((170, 90, 140))


@given(
    seed=st.integers(0, 2**16),
    least=st.integers(0, 250),
    spread=st.integers(1, 60),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_background_by_numpys_percentiles(seed: int, least: int, spread: int, size: tuple[int, int]) -> None:
    image = np.random.default_rng(seed).integers(least, min(256, least + spread), (*size, 3), dtype=np.uint8)
    sample = image.reshape(-1, 3) / 255.0
    brightest, darkest = sample.max(axis=1), sample.min(axis=1)
    grey = (brightest - darkest < 0.12 * brightest) & (brightest > 0.5)
    expected = np.percentile(sample[grey], 99, axis=0) if grey.any() else np.percentile(sample, 99.9, axis=0)
    assert color.background(image) == pytest.approx(np.maximum(expected, color.DARKEST), abs=1e-12)


@pytest.mark.parametrize("white", [None, (0.9, 0.85, 0.8)])
@pytest.mark.parametrize("height", [1, 32, 75])
def test_dab_density_is_the_third_stain(white: tuple[float, float, float] | None, height: int) -> None:
    image = np.random.default_rng(height).integers(0, 256, (height, 50, 3), dtype=np.uint8)
    image[0, 0] = 0
    expected = color.separate(image / 255.0, color.H_E_DAB, 1.0 if white is None else white)[..., 2]
    found = color.dab_density(image, white)
    assert found.dtype == np.float32 and found == pytest.approx(expected, abs=2e-6)
    assert found.min() == 0


def test_dab_density_reads_back_what_was_stained() -> None:
    amounts = np.zeros((8, 8, 3))
    amounts[..., 0], amounts[2:5, 2:5, 2] = 0.2, 0.6
    image = (color.combine(amounts) * 255).round().astype(np.uint8)
    density = color.dab_density(image)
    assert density[3, 3] == pytest.approx(0.6, abs=0.02) and density[0, 0] == pytest.approx(0, abs=0.02)


def test_dab_of_real_slides_matches_the_table_that_came_with_them(bci_dev: Path) -> None:
    """The table does not say how it was computed; it agrees within a few percent."""
    rows = list(csv.DictReader((bci_dev / "manifest.csv").read_text().splitlines()))
    assert len(rows) == 8
    for row in rows:
        density = color.dab_density(read_image(bci_dev / "IHC" / row["file"]))
        assert float(density.mean()) == pytest.approx(float(row["ihc_mean_dab_od"]), rel=0.08), row["file"]
