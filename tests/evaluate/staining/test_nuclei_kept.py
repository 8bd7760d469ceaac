"""Nuclei kept: matching as a plain loop does it; blur, flat colour and other tissue are not rewarded."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from chromogen.evaluate.staining.nuclei_kept import mutual_nearest, nuclei_kept
from chromogen.phantom.tissue.phantom import Phantom, draw

PHANTOM = Phantom(size_px=320)


def by_loops(first: np.ndarray, second: np.ndarray, radius: float) -> set[tuple[int, int]]:
    pairs = set()
    for i, one in enumerate(first):
        near = [math.dist(one, other) for other in second]
        j = near.index(min(near)) if near else -1
        if j >= 0 and near[j] <= radius:
            back = [math.dist(second[j], other) for other in first]
            if back.index(min(back)) == i:
                pairs.add((i, j))
    return pairs


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), counts=st.tuples(st.integers(0, 40), st.integers(0, 40)), radius=st.floats(0.5, 30))
def test_matching_equals_a_plain_loop(seed: int, counts: tuple[int, int], radius: float) -> None:
    rng = np.random.default_rng(seed)
    first, second = (rng.uniform(0, 100, (count, 2)) for count in counts)
    pairs = mutual_nearest(first, second, radius)
    assert {tuple(pair) for pair in pairs.tolist()} == by_loops(first, second, radius)
    assert len(set(pairs[:, 0].tolist())) == len(set(pairs[:, 1].tolist())) == len(pairs)  # one to one


@pytest.mark.parametrize("level", [0, 3])
def test_a_stain_of_the_same_cells_keeps_them_and_blur_loses_them(level: int) -> None:
    pair = draw(PHANTOM, level, 5)
    kept = nuclei_kept(pair.ihc, pair.he, 0.5)
    assert kept.in_source > 150
    assert kept.f1 > 0.8 and kept.chance < 0.4
    blurred = np.rint(ndimage.gaussian_filter(pair.ihc.astype(np.float32), (4, 4, 0))).astype(np.uint8)
    assert nuclei_kept(blurred, pair.he, 0.5).f1 < 0.5 * kept.f1


def test_other_tissue_keeps_no_more_than_chance() -> None:
    kept = nuclei_kept(draw(PHANTOM, 1, 6).ihc, draw(PHANTOM, 1, 5).he, 0.5)
    assert kept.f1 == pytest.approx(kept.chance, abs=0.1) and kept.in_prediction > 100


def test_deleted_nuclei_are_missed_by_their_share() -> None:
    pair = draw(PHANTOM, 0, 5)
    whole, half = pair.ihc, pair.ihc.copy()
    half[:, :160] = np.median(whole.reshape(-1, 3), axis=0)
    left = nuclei_kept(half, pair.he, 0.5)
    assert left.recall == pytest.approx(nuclei_kept(whole[:, 160:], pair.he[:, 160:], 0.5).in_both / left.in_source, abs=0.03)


def test_nothing_found_is_said_in_numbers() -> None:
    he, flat = draw(PHANTOM, 1, 5).he, np.full((320, 320, 3), 210, np.uint8)
    lost = nuclei_kept(flat, he, 0.5)
    assert (lost.recall, lost.precision, lost.f1, lost.in_prediction) == (0, 0, 0, 0)
    empty = nuclei_kept(flat, flat, 0.5)
    assert all(math.isnan(value) for value in (empty.recall, empty.precision, empty.f1, empty.chance))


def test_other_arrays_are_refused() -> None:
    image = np.full((20, 30, 3), 200, np.uint8)
    with pytest.raises(ValueError, match="the prediction is 20x20 px, its source 30x20 px"):
        nuclei_kept(image[:, :20], image, 0.5)
    with pytest.raises(ValueError, match="radius must be above 0 um"):
        nuclei_kept(image, image, 0.5, radius_um=0)
    with pytest.raises(ValueError, match="mpp is 40"):
        nuclei_kept(image, image, 40)
    with pytest.raises(ValueError, match="uint8 RGB"):
        nuclei_kept(image / 255.0, image / 255.0, 0.5)


def test_blur_keeps_fewer_nuclei_than_the_sharp_image() -> None:
    """Above chance, over all levels; a search that finds nuclei in blur would make this a headline metric that likes it."""
    above: dict[float, list[float]] = {0.0: [], 2.0: [], 4.0: []}
    for level in range(4):
        pair = draw(Phantom(size_px=256), level, 50_000 + level)
        for sigma, found in above.items():
            blurred = np.rint(ndimage.gaussian_filter(pair.ihc.astype(float), (sigma, sigma, 0))).astype(np.uint8)
            kept = nuclei_kept(blurred, pair.he, 0.5)
            found.append(kept.f1 - kept.chance)
    sharp, little, much = (float(np.mean(found)) for found in above.values())
    assert sharp > little + 0.02 and little > much + 0.1


def test_a_megapixel_takes_less_than_a_second_and_a_half() -> None:
    pair = draw(Phantom(size_px=512), 2, 5)
    he, ihc = (np.tile(image, (2, 2, 1)) for image in (pair.he, pair.ihc))
    began = time.process_time()  # of this process: other work on the machine does not count
    assert nuclei_kept(ihc, he, 0.5).in_source > 1000
    assert time.process_time() - began < 1.5
