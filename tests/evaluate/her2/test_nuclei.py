"""Nuclei are found where the phantom has them, in any stain and resolution, and nowhere else."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from chromogen.data.phantom import Phantom, draw
from chromogen.evaluate.her2.nuclei import find_nuclei, he_densities, ihc_densities


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
