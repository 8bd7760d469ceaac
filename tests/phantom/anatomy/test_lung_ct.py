"""Phantom chest CT: Hounsfield units of each tissue, lungs, nodules and their boxes."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from chromogen.phantom.anatomy import AnatomyCase, LungCT, draw_lung_ct


@cache
def case(ct: LungCT, number: int) -> AnatomyCase:
    return draw_lung_ct(ct, 2, number)


def test_hounsfield_units_are_those_of_the_tissues() -> None:
    for number in range(6):
        drawn = case(LungCT(noise_hu=0.0, size_px=256, lesion_rate=0.0), number)
        hu = drawn.hounsfield
        lung = ndimage.binary_erosion(drawn.organ, iterations=2)
        assert -920 < np.median(hu[lung]) < -760
        assert np.all(hu[:4] == -1000) and np.all(hu[-4:] == -1000)
        body = ndimage.binary_fill_holes(hu > -300) & ~ndimage.binary_dilation(drawn.organ, iterations=3)
        assert 0.02 < (hu[body] > 300).mean() < 0.2  # bone
        assert ((hu[body] > -130) & (hu[body] < -60)).mean() > 0.05  # fat
        assert ((hu[body] > 20) & (hu[body] < 90)).mean() > 0.2  # muscle
        labels, count = ndimage.label(drawn.organ)
        sizes = np.sort(np.bincount(labels.ravel())[1:])
        assert count >= 2 and sizes[-2] > 0.5 * sizes[-1]
        vessels = lung & (hu > -500)
        assert 0.005 < vessels.sum() / lung.sum() < 0.15


def test_the_window_takes_hounsfield_units_to_the_unit_range() -> None:
    ct = LungCT(window_hu=(-1350.0, 150.0))
    drawn = case(ct, 0)
    assert np.allclose(drawn.images["CT"], np.clip((drawn.hounsfield + 1350) / 1500, 0, 1), atol=1e-6)
    assert np.array_equal(drawn.hounsfield, case(LungCT(), 0).hounsfield)


def test_solid_nodules_are_denser_than_the_lung_around_them() -> None:
    seen = 0
    for number in range(12):
        drawn = case(LungCT(size_px=192, ground_glass_share=0.0, lesion_rate=3.0), number)
        for _, x0, y0, x1, y1 in drawn.boxes.astype(int):
            own = np.zeros_like(drawn.mask, bool)
            own[y0:y1, x0:x1] = drawn.mask[y0:y1, x0:x1] > 0
            ring = ndimage.binary_dilation(own, iterations=5) & ~ndimage.binary_dilation(drawn.mask > 0, iterations=2)
            ring &= drawn.organ > 0
            if own.sum() >= 9 and ring.sum() >= 20:
                assert np.median(drawn.hounsfield[own]) > np.median(drawn.hounsfield[ring]) + 400
                seen += 1
    assert seen > 12


def test_ground_glass_is_between_lung_and_soft_tissue() -> None:
    values = []
    for number in range(12):
        drawn = case(LungCT(size_px=192, ground_glass_share=1.0, lesion_rate=3.0, lesion_size=1.6), number)
        inner = ndimage.binary_erosion(drawn.mask, iterations=2)
        if inner.sum() > 10:
            values.append(np.median(drawn.hounsfield[inner]))
    assert len(values) > 5 and min(values) > -700 and np.median(values) < -300


@settings(max_examples=25, deadline=None)
@given(
    sixteenths=st.integers(2, 12),
    seed=st.integers(0, 10**6),
    rate=st.floats(0, 6),
    size=st.floats(0.5, 2.0),
)
def test_boxes_hold_all_of_the_nodules_tightly(sixteenths: int, seed: int, rate: float, size: float) -> None:
    drawn = draw_lung_ct(LungCT(size_px=16 * sixteenths, lesion_rate=rate, lesion_size=size), seed, 0)
    covered = np.zeros_like(drawn.mask)
    for number, x0, y0, x1, y1 in drawn.boxes.astype(int):
        assert number == 1 and 0 <= x0 < x1 <= 16 * sixteenths and 0 <= y0 < y1 <= 16 * sixteenths
        within = drawn.mask[y0:y1, x0:x1] > 0
        assert within[0].any() and within[-1].any() and within[:, 0].any() and within[:, -1].any()
        covered[y0:y1, x0:x1] = 1
    assert not drawn.mask[covered == 0].any()
    assert drawn.category == int(len(drawn.boxes) > 0)
    assert len(drawn.boxes) >= ndimage.label(drawn.mask, np.ones((3, 3)))[1]


def test_rate_is_the_mean_number_of_nodules_of_a_slice() -> None:
    few, many = (np.mean([len(case(LungCT(lesion_rate=rate), number).boxes) for number in range(20)]) for rate in (1.0, 4.0))
    assert few == pytest.approx(1.0, abs=0.6) and many == pytest.approx(4.0, abs=1.4)


def test_slices_of_a_patient_cut_the_same_nodules() -> None:
    ct = LungCT(slices=5, slice_mm=1.0, lesion_rate=4.0)
    cases = [case(ct, 5 + cut) for cut in range(5)]
    assert {drawn.patient for drawn in cases} == {"lung-0001"}
    for below, above in pairwise(cases):
        both = 2 * ((below.mask > 0) & (above.mask > 0)).sum() / (below.mask.sum() + above.mask.sum())
        assert 0.6 < both < 1 or not below.mask.any()
    assert cases[0].mask.any()
