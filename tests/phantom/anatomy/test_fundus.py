"""Phantom fundus: the vessel mask is where the picture is darker, vessels thin outwards, disc bright and macula dark."""

from functools import cache

import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize

from chromogen.phantom.anatomy import AnatomyCase, Fundus, draw_fundus
from chromogen.phantom.anatomy.branching import grow


@cache
def case(fundus: Fundus, number: int) -> AnatomyCase:
    return draw_fundus(fundus, 4, number)


def test_vessels_are_darker_than_beside_them_in_green() -> None:
    for number in range(3):
        drawn = case(Fundus(size_px=256, noise=0.01), number)
        green = drawn.images["colour"][..., 1]
        vessel = drawn.mask > 0
        beside = ndimage.binary_dilation(vessel, iterations=5) & ~ndimage.binary_dilation(vessel, iterations=2)
        beside &= ndimage.binary_erosion(drawn.organ, iterations=3)
        assert 0.03 < vessel.mean() < 0.2
        assert green[vessel].mean() < 0.82 * green[beside].mean()
        local = green - ndimage.median_filter(green, 15)
        assert (local[vessel] < 0).mean() > 0.9


def test_vessels_can_be_hidden() -> None:
    shown, hidden = (case(Fundus(vessel_contrast=contrast, noise=0.0), 1) for contrast in (1.0, 0.0))
    assert np.array_equal(shown.mask, hidden.mask)
    green = hidden.images["colour"][..., 1]
    vessel, inner = hidden.mask > 0, ndimage.binary_erosion(hidden.organ, iterations=4)
    assert abs((green - ndimage.median_filter(green, 9))[vessel & inner].mean()) < 0.005


def brightest(image: np.ndarray) -> tuple[int, int]:
    return np.unravel_index(np.argmax(ndimage.gaussian_filter(image, 5)), image.shape)


def test_disc_is_bright_and_macula_dark_at_the_right_distance() -> None:
    sides = []
    for number in range(10):
        drawn = case(Fundus(size_px=256, noise=0.005), number)
        green = drawn.images["colour"][..., 1]
        row, column = brightest(green)  # the disc
        sides.append(column > 128)
        y, x = np.mgrid[:256, :256]
        away = np.hypot(y - row, x - column) * drawn.spacing_mm
        bare = np.where((drawn.mask > 0) | (np.hypot(y - 128, x - 128) * drawn.spacing_mm > 4) | (away < 2), 1.0, green)
        smooth = ndimage.gaussian_filter(ndimage.minimum_filter(bare, 3), 3)
        dark = np.unravel_index(np.argmin(smooth), smooth.shape)  # the macula
        assert 3.5 < away[dark] < 5.5, number
    assert 0 < sum(sides) < 10  # left and right eyes


def test_vessels_thin_out_away_from_the_disc() -> None:
    ratios = []
    for number in range(4):
        drawn = case(Fundus(size_px=512), number)
        row, column = brightest(drawn.images["colour"][..., 1])
        line = skeletonize(drawn.mask > 0)
        y, x = np.nonzero(line)
        away = np.hypot(y - row, x - column) * drawn.spacing_mm
        width = ndimage.distance_transform_edt(drawn.mask)[line]
        ratios.append(width[(away > 0.9) & (away < 2.5)].mean() / width[away > 5].mean())
    assert min(ratios) > 1.05 and np.mean(ratios) > 1.2


def test_branches_obey_murray() -> None:
    rng = np.random.default_rng(0)
    start, way, radius = np.zeros((2, 3)), np.eye(3)[:2], np.array([2.0, 1.5])
    tree = grow(rng, start, way, radius, 8.0, 0.3, 0.05, lambda places, ways: np.zeros_like(places))
    divided = 0
    for branch in range(len(tree.radius_mm)):
        children = np.flatnonzero(tree.parent == branch)
        assert len(children) <= 2
        for child in children:
            assert np.allclose(tree.path_mm[child, 0], tree.path_mm[branch, -1])
        if len(children) == 2:
            divided += 1
            assert np.isclose((tree.radius_mm[children] ** 3).sum(), tree.radius_mm[branch] ** 3)
    assert divided > 20 and tree.radius_mm.min() >= 0.3
    places, radii = tree.points(0.5)
    assert np.linalg.norm(np.diff(places.reshape(len(tree.radius_mm), -1, 3), axis=1), axis=-1).max() <= 0.5
    assert len(radii) == len(places) and radii.max() == 2.0
