"""Nuclei are found where the phantom has them, in any stain and resolution, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.feature import peak_local_max

from chromogen.color import H_DAB, H_E, Stains, background, combine, optical_density
from chromogen.evaluate.staining.her2.nuclei import _around, _peaks, densities, find_nuclei, he_densities, ihc_densities
from chromogen.phantom.tissue.cells import STROMA
from chromogen.phantom.tissue.phantom import Phantom, draw


def found_again(middles: np.ndarray, instances: np.ndarray, mpp: float) -> tuple[float, float]:
    """Recall and precision against nuclei of at least 6 um2, within 3.5 um."""
    ids = np.flatnonzero(np.bincount(instances.ravel()) * mpp**2 > 6)
    true = np.array(ndimage.center_of_mass(instances > 0, instances, ids[ids > 0]))
    pairs = sum(bool(hit) for hit in cKDTree(middles).query_ball_point(true, 3.5 / mpp))
    right = sum(bool(hit) for hit in cKDTree(true).query_ball_point(middles, 3.5 / mpp))
    return pairs / len(true), right / len(middles)


@pytest.mark.parametrize(("level", "mpp"), [(0, 0.5), (3, 0.5), (2, 0.25), (2, 0.75)])
def test_nuclei_of_phantoms_are_found_even_under_dark_membranes(level: int, mpp: float) -> None:
    pair = draw(Phantom(size_px=round(150 / mpp), mpp=mpp), level, 11)
    recall, precision = found_again(find_nuclei(ihc_densities(pair.ihc), mpp), pair.truth.cells_ihc, mpp)
    assert recall > 0.8 and precision > 0.9
    recall, precision = found_again(find_nuclei(he_densities(pair.he), mpp, brown=False), pair.truth.cells, mpp)
    assert recall > 0.8 and precision > 0.85


@pytest.mark.parametrize("level", [0, 3])
def test_spindle_nuclei_of_the_stroma_are_found_too(level: int) -> None:
    """They are the unstained cells of the denominator; half their breadth must be among the radii."""
    truth, found = [], []
    for seed in (6, 15):
        pair = draw(Phantom(size_px=300), level, seed)
        stroma = np.where(pair.truth.cell_kind[pair.truth.cells_ihc] == STROMA, pair.truth.cells_ihc, 0)
        ids = np.flatnonzero(np.bincount(stroma.ravel()) * 0.25 > 6)
        true = np.array(ndimage.center_of_mass(stroma > 0, stroma, ids[ids > 0]))
        middles = find_nuclei(ihc_densities(pair.ihc), 0.5)
        truth.append(len(true))
        found.append(sum(bool(hit) for hit in cKDTree(middles).query_ball_point(true, 3.5 / 0.5)))
    assert sum(truth) > 100 and sum(found) / sum(truth) > 0.85


@pytest.mark.parametrize("dab", [0.0, 0.9])
def test_a_pale_hole_in_a_dark_nest_is_a_nucleus_and_one_onto_the_glass_is_not(dab: float) -> None:
    """Dark membranes around a middle of little more than nothing; in a nest brown lies over and under it too."""
    y, x = (np.mgrid[:96, :96] - 48) * 0.5
    away = np.hypot(y, x)
    around = np.clip((away - 3.2) / 0.7 + 0.5, 0, 1)
    stain = np.stack([0.02 + 0 * away, 0.2 * dab + (0.15 + dab) * around * (away < 9)], axis=-1).astype(np.float32)
    image = np.rint(255 * combine(stain, H_DAB, 0.92)).astype(np.uint8)
    image[:8] = round(0.92 * 255)  # glass
    middles = find_nuclei(ihc_densities(image), 0.5)
    assert (np.hypot(*(middles - 48).T) < 4).any() == (dab > 0)


@pytest.mark.parametrize("grain", [0, 3])
def test_flat_colour_and_grain_have_no_nuclei(grain: int) -> None:
    noise = grain * np.random.default_rng(0).standard_normal((200, 200, 3))
    for colour in ((200, 190, 210), (120, 80, 60), (255, 255, 255)):
        image = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
        assert len(find_nuclei(ihc_densities(image), 0.5)) == 0


def test_densities_by_hand() -> None:
    """Light 0.9; one pixel of 0.2 haematoxylin and 0.3 DAB among glass, each channel written out."""
    image = np.full((40, 40, 3), round(0.9 * 255), np.uint8)
    amounts = np.array([0.650, 0.704, 0.286]) * 0.2 + np.array([0.268, 0.570, 0.776]) * 0.3
    image[20, 20] = np.rint(image[0, 0] * 10**-amounts)
    found = ihc_densities(image)
    assert found.haematoxylin[20, 20] == pytest.approx(0.2, abs=0.01) and found.other[20, 20] == pytest.approx(0.3, abs=0.01)
    assert found.residual[20, 20] == pytest.approx(0, abs=0.01) and found.total[20, 20] == pytest.approx(
        amounts.mean(), abs=0.01
    )
    assert abs(found.total[0, 0]) < 1e-6


@pytest.mark.parametrize("stains", [H_E, H_DAB])
def test_densities_are_the_optical_density_unmixed(stains: Stains) -> None:
    image = np.random.default_rng(0).integers(0, 256, (70, 41, 3), dtype=np.uint8)
    density = optical_density(np.maximum(image, 0.5) / 255, background(image))
    amounts, found = density @ stains.inverse, densities(image, stains)
    for k, plane in enumerate((found.haematoxylin, found.other, found.residual)):
        assert plane.dtype == np.float32 and plane == pytest.approx(amounts[..., k], abs=1e-5)
    assert found.total == pytest.approx(density.mean(axis=2), abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), size=st.tuples(st.integers(2, 40), st.integers(1, 40)), apart=st.integers(1, 6),
    levels=st.sampled_from([3, 20, 10**6]),
)  # fmt: skip
def test_peaks_equal_scikit_images(seed: int, size: tuple[int, int], apart: int, levels: int) -> None:
    """Few levels make plateaus, of which one pixel stands."""
    votes = np.random.default_rng(seed).integers(0, levels, size).astype(np.float32) / levels
    expected = peak_local_max(votes, min_distance=apart, threshold_abs=0.3, exclude_border=False)
    assert np.array_equal(_peaks(votes, apart, 0.3), expected)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.tuples(st.integers(1, 40), st.integers(1, 40)), sigma=st.floats(0.4, 5))
def test_smoothing_at_places_is_that_of_the_plane(seed: int, size: tuple[int, int], sigma: float) -> None:
    plane = np.random.default_rng(seed).uniform(0, 1, size).astype(np.float32)
    places = np.argwhere(plane > 0.5)
    expected = ndimage.gaussian_filter(plane, sigma, truncate=3)[places[:, 0], places[:, 1]]
    assert _around(plane, places, sigma) == pytest.approx(expected, abs=1e-6)
