"""Rings lie where the cells are, in the colours of their classes."""

import numpy as np
import pytest

from chromogen.evaluate.staining.her2.cells import measure
from chromogen.evaluate.staining.her2.readout import read
from chromogen.phantom.tissue.phantom import Phantom, draw
from chromogen.report.rings import COLOURS, draw_rings, outlines

PAIR = draw(Phantom(size_px=256), 3, 42)
CELLS = measure(PAIR.ihc, 0.5)


def test_outlines_go_around_their_cells() -> None:
    shapes = outlines(CELLS)
    assert len(shapes) == len(CELLS) > 100
    for k, corners in enumerate(shapes):
        away_um = np.hypot(corners[:, 0] - CELLS.x[k], corners[:, 1] - CELLS.y[k]) * 0.5
        np.testing.assert_allclose(away_um, CELLS.radius_um[k][np.isfinite(CELLS.radius_um[k])], atol=1e-3)
        first = np.flatnonzero(np.isfinite(CELLS.radius_um[k]))[0]
        if first == 0:
            assert corners[0, 0] > CELLS.x[k] and corners[0, 1] == pytest.approx(CELLS.y[k])  # to the right


def test_the_picture_has_rings_of_every_class_that_occurs_and_a_caption() -> None:
    classes = read(CELLS).classes
    plain = draw_rings(PAIR.ihc, CELLS, classes, 0.04)
    assert plain.shape == (256 * 5, 256 * 5, 3)  # enlarged to about 1400 px
    for level, colour in enumerate(COLOURS):
        drawn = int((plain == np.array(colour)).all(axis=2).sum())
        assert (drawn > 100) == bool((classes == level).any()), level
    captioned = draw_rings(PAIR.ihc, CELLS, classes, 0.04, ("one", "two"))
    assert captioned.shape[0] == plain.shape[0] + 42 and (captioned[: len(plain)] == plain).all()
    assert captioned[len(plain) :].min() < 128


def test_another_image_is_refused() -> None:
    with pytest.raises(ValueError, match="the image is 100x90 px, its cells were measured on 256x256 px"):
        draw_rings(np.zeros((90, 100, 3), np.uint8), CELLS, read(CELLS).classes, 0.04)
