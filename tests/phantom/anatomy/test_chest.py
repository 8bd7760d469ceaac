"""Phantom chest X-rays: dark lungs, an opacity where the mask says, classes in the shares asked."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from chromogen.phantom.anatomy import AnatomyCase, Chest, draw_chest
from chromogen.phantom.anatomy.case import share_of


@cache
def case(chest: Chest, number: int) -> AnatomyCase:
    return draw_chest(chest, 9, number)


def test_an_opacity_is_the_only_difference_to_the_same_healthy_chest() -> None:
    for number in range(6):
        ill, well = (case(Chest(opacity_share=share, noise=0.0), number) for share in (1.0, 0.0))
        assert (ill.category, well.category) == (1, 0) and ill.mask.any() and not well.mask.any()
        added = ill.images["X-ray"] - well.images["X-ray"]
        assert added[ill.mask > 0].mean() > 0.12
        assert np.abs(added[ndimage.distance_transform_edt(ill.mask == 0) * ill.spacing_mm > 25]).max() < 1e-6


def test_an_opacity_is_brighter_than_lung_at_its_height_elsewhere() -> None:
    steps = []
    for number in range(1, 24, 2):
        drawn = case(Chest(), number)
        assert drawn.category == 1
        image, lung = drawn.images["X-ray"], drawn.organ > 0
        clear = lung & ~ndimage.binary_dilation(drawn.mask > 0, iterations=6)
        rows = (drawn.mask > 0).any(axis=1)[:, None] & clear
        steps.append(image[drawn.mask > 0].mean() - image[rows].mean())
    assert min(steps) > 0.05 and np.mean(steps) > 0.12


def test_lungs_are_two_and_darker_than_what_is_around_them() -> None:
    for number in range(0, 12, 2):
        drawn = case(Chest(size_px=192), number)
        labels, count = ndimage.label(drawn.organ)
        sizes = np.sort(np.bincount(labels.ravel())[1:])[::-1]
        assert count >= 2 and sizes[1] > 0.6 * sizes[0] and sizes[:2].sum() > 0.97 * drawn.organ.sum()
        far, near = (ndimage.binary_dilation(drawn.organ, iterations=steps) for steps in (8, 2))
        assert drawn.images["X-ray"][drawn.organ > 0].mean() < drawn.images["X-ray"][far & ~near].mean() - 0.15


@given(share=st.floats(0, 1), count=st.integers(1, 300))
def test_classes_are_in_the_share_asked(share: float, count: int) -> None:
    assert abs(sum(share_of(number, share) for number in range(count)) - share * count) <= 1.0


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_drawn_classes_are_balanced(share: float) -> None:
    chest = replace(Chest(size_px=32), opacity_share=share)
    assert sum(draw_chest(chest, 1, number).category or 0 for number in range(12)) == 12 * share
