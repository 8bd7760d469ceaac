"""Rings drawn by hand: how dark, how complete, and whose a line is."""

import numpy as np
import pytest

from chromogen.color import H_DAB, combine
from chromogen.evaluate.staining.her2.cells import measure
from chromogen.evaluate.staining.her2.guideline import Rings, Thresholds, cell_classes, rings
from chromogen.evaluate.staining.her2.membrane import Rays, darker_half, own_share, territories

MPP = 0.5


def painted(haematoxylin: np.ndarray, dab: np.ndarray, white: float = 0.92) -> np.ndarray:
    return np.rint(255 * combine(np.stack([haematoxylin, dab], axis=-1).astype(np.float32), H_DAB, white)).astype(np.uint8)


def one_cell(depth: float, arc: float = 1.0, size: int = 96, nucleus: float = 0.15) -> np.ndarray:
    """A pale-blue nucleus of 3.5 um in a membrane 6 um from its middle: a Gaussian line over that part of the circle."""
    y, x = (np.mgrid[:size, :size] - size // 2) * MPP
    away, angle = np.hypot(y, x), np.arctan2(y, x)
    line = depth * np.exp(-(((away - 6) / 0.75) ** 2)) * (np.abs(angle) <= np.pi * arc)
    return painted(nucleus * np.clip((3.5 - away) / 0.7 + 0.5, 0, 1) + 0.03 * (away < 6), line)


@pytest.mark.parametrize("depth", [0.1, 0.3, 0.7])
def test_a_lone_ring_is_as_dark_as_it_was_drawn(depth: float) -> None:
    """The line's integral is depth * 0.75 * sqrt(pi) um, over 1.13 um: 1.18 times the depth, less what ends lie below."""
    cells = measure(one_cell(depth), MPP)
    assert len(cells) == 1 and (cells.y[0], cells.x[0]) == pytest.approx((48, 48), abs=1.5)
    assert np.median(cells.own) == pytest.approx(1.1 * depth, rel=0.15)
    assert np.median(cells.radius_um) == pytest.approx(6, abs=0.5)
    assert rings(cells, 0.04).complete[0] == 1


@pytest.mark.parametrize("arc", [0.25, 0.5, 0.75, 1.0])
def test_completeness_is_the_part_of_the_circle_that_is_stained(arc: float) -> None:
    cells = measure(one_cell(0.5, arc), MPP)
    assert rings(cells, 0.04).complete[0] == pytest.approx(arc, abs=0.1)


@pytest.mark.parametrize(("depth", "arc", "expected"), [(0, 1, 0), (0.12, 0.5, 1), (0.3, 1, 2), (0.7, 1, 3), (0.7, 0.4, 1)])
def test_drawn_cells_get_their_class(depth: float, arc: float, expected: int) -> None:
    cells = measure(one_cell(depth, arc), MPP)
    assert cell_classes(rings(cells, 0.04), cells.view.grain, Thresholds()).tolist() == [expected]


def test_the_light_of_the_slide_does_not_matter() -> None:
    y, x = (np.mgrid[:96, :96] - 48) * MPP
    away = np.hypot(y, x)
    stain = 0.15 * (away < 3.5) + 0.03 * (away < 6), 0.4 * np.exp(-(((away - 6) / 0.75) ** 2))
    bright, dim = (measure(painted(*stain, white), MPP) for white in (1.0, 0.72))
    assert np.median(dim.own) == pytest.approx(np.median(bright.own), rel=0.05)


def test_lines_between_three_cells_are_divided_as_they_were_made() -> None:
    """Three cells that all touch, each stained evenly by 0, 0.3 and 0.9: their shared lines hold the sums.

    The unstained one keeps a sixth of what lies on its ring, which is less than what its neighbours may have lent it.
    """
    depth = np.array([0.0, 0.3, 0.9])
    neighbour = np.array([[2] * 12 + [3] * 12, [1] * 12 + [3] * 12, [1] * 12 + [2] * 12], np.int32)
    line = (depth[:, None] + depth[neighbour - 1]).astype(np.float32)
    own = own_share(line, neighbour, np.ones_like(line, bool)).mean(axis=1)
    assert own[0] < line[0].mean() / 5 and own[1] == pytest.approx(0.3, abs=0.1) and own[2] == pytest.approx(0.9, abs=0.1)
    ring = Rings(own, np.array([0.5, 1.0, 1.0]), np.zeros(3), line.mean(axis=1) - own)
    assert cell_classes(ring, 0.0, Thresholds()).tolist() == [0, 2, 3]
    assert (own_share(line, np.zeros_like(neighbour), np.ones_like(line, bool)) > 0.99 * line - 1e-4).all()  # no neighbour


def test_faint_cells_share_their_line_almost_evenly() -> None:
    """At the limit of what can be seen the darker of two cells must not take all: 0.03 and 0.01 alone, 0.04 between them."""
    neighbour = np.repeat([[2], [1]], 24, axis=1).astype(np.int32)
    neighbour[:, 12:] = 0
    line = np.full((2, 24), 0.04, np.float32)
    line[:, 12:] = [[0.03], [0.01]]
    own = own_share(line, neighbour, np.ones_like(line, bool))[:, 0]
    assert own.sum() == pytest.approx(0.04, abs=1e-6) and 1.2 < own[0] / own[1] < 2


def test_the_darker_half_without_the_darkest_eighth_by_hand() -> None:
    own = np.full((4, 24), np.nan, np.float32)
    own[0] = np.random.default_rng(0).permutation(24)  # 23 to 0: without 23, 22, 21 the next twelve are 20 to 9
    own[1, [3, 9, 20, 21]] = (4, 1, 8, 2)  # four in view: no eighth, the darker two
    own[2, :16] = np.arange(16)  # without 15 and 14, 13 to 6
    assert darker_half(own).tolist() == [14.5, 6.0, 9.5, 0.0]


def test_shares_of_both_sides_sum_to_the_line() -> None:
    line = np.full((2, 24), 0.8, np.float32)
    line[:, 12:] = [[0.2], [0.5]]  # their other side, alone
    neighbour = np.repeat([[2], [1]], 24, axis=1).astype(np.int32)
    neighbour[:, 12:] = 0
    own = own_share(line, neighbour, np.ones_like(line, bool))
    assert own[0, 0] + own[1, 0] == pytest.approx(0.8, abs=1e-4)
    assert own[0, 0] < own[1, 0]
    np.testing.assert_allclose(own[:, 12:], line[:, 12:], atol=1e-5)


def test_territories_are_nearest_within_reach_and_follow_ridges() -> None:
    middles, flat = np.array([[30.0, 20.0], [30.0, 40.0]]), np.zeros((60, 60), np.float32)
    owner = territories(middles, flat, 1.0)
    y, x = np.mgrid[:60, :60]
    away = [np.hypot(y - row, x - column) for row, column in middles]
    np.testing.assert_array_equal(owner > 0, np.minimum(*away) < 9)
    assert (owner[:, :29][owner[:, :29] > 0] == 1).all() and (owner[:, 32:][owner[:, 32:] > 0] == 2).all()
    near, ridge = np.array([[30.0, 24.0], [30.0, 36.0]]), flat.copy()
    ridge[:, 33] = 1
    assert territories(near, ridge, 1.0)[30, 32] == 1 and territories(near, flat, 1.0)[30, 32] == 2


def test_rays_end_at_the_border_of_the_image() -> None:
    middles, dab = np.array([[2.0, 30.0]]), np.zeros((60, 60), np.float32)
    rays = Rays(middles, territories(middles, dab, 0.5), dab, 0.5)
    assert rays.seen[0].tolist() == [bool(np.sin(2 * np.pi * k / 24) > -0.05) for k in range(24)]
    assert (rays.neighbour == 0).all()


def test_a_cell_mostly_outside_is_left_out_and_a_mask_keeps_what_it_covers() -> None:
    image = one_cell(0.5)
    assert len(measure(image[40:], MPP)) == 1
    assert len(measure(image[46:, 46:], MPP)) == 0
    left = np.zeros(image.shape[:2], bool)
    assert len(measure(image, MPP, left)) == 0
    left[40:60, 40:60] = True
    assert len(measure(image, MPP, left)) == 1
    with pytest.raises(ValueError, match="the mask is 9x7 px, its image 96x96 px"):
        measure(image, MPP, np.zeros((7, 9), bool))


@pytest.mark.parametrize("mpp", [0.0, -1.0, 5.0, float("nan")])
def test_an_impossible_resolution_is_refused(mpp: float) -> None:
    with pytest.raises(ValueError, match="it must be from 0.1 to 2"):
        measure(one_cell(0.3), mpp)
    with pytest.raises(ValueError, match="must be uint8 RGB"):
        measure(np.zeros((9, 9), np.uint8), 0.5)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (7, 5, 3)])
def test_tiny_images_hold_no_cells(shape: tuple[int, ...]) -> None:
    assert len(measure(np.full(shape, 200, np.uint8), 0.5)) == 0
