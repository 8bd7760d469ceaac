"""A border of padding changes no score of the stain: of the read-out, of a pair, of what the level reader sees."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chromogen.color import background
from chromogen.data.images import PairImages, read_image
from chromogen.data.pairs.quality import faults
from chromogen.evaluate.staining.amounts import dab_measures, mean_dab
from chromogen.evaluate.staining.her2.cells import measure
from chromogen.evaluate.staining.her2.readout import read
from chromogen.evaluate.staining.level_reader.features import feature_names, features
from chromogen.evaluate.staining.nuclei_kept import nuclei_kept
from chromogen.phantom.tissue.phantom import Phantom, draw
from chromogen.tensors import Uint8Image
from chromogen.tissue import unseen

COLOURS = ((0, 0, 0), (255, 255, 255), (128, 128, 128), (170, 140, 150))
PAIRS = [draw(Phantom(size_px=256), level, 3) for level in (0, 3)]
WIDTHS = [(30, 0, 0, 0), (0, 30, 0, 0), (0, 0, 30, 0), (0, 0, 0, 30), (1, 1, 1, 1), (40, 7, 0, 90)]


def framed(image: Uint8Image, widths: tuple[int, int, int, int], colour: tuple[int, int, int]) -> Uint8Image:
    top, bottom, left, right = widths
    made = np.empty((image.shape[0] + top + bottom, image.shape[1] + left + right, 3), np.uint8)
    made[:] = colour
    made[top : top + image.shape[0], left : left + image.shape[1]] = image
    return made


@settings(max_examples=8, deadline=None)
@given(index=st.integers(0, 1), widths=st.sampled_from(WIDTHS), colour=st.sampled_from(COLOURS))
def test_the_read_out_stays(index: int, widths: tuple[int, int, int, int], colour: tuple[int, int, int]) -> None:
    image = PAIRS[index].ihc
    before, cells = read(measure(image, 0.5)), measure(framed(image, widths, colour), 0.5)
    after = read(cells)
    assert after.pattern == before.pattern
    assert abs(after.h_score_pixel - before.h_score_pixel) <= max(1.0, 0.06 * before.h_score_pixel)
    assert abs(after.percent_positive - before.percent_positive) <= 3
    assert abs(len(cells) - len(before.classes)) <= 0.06 * len(before.classes)
    assert cells.view.tissue == pytest.approx(before.view.tissue, abs=0.03)
    assert widths[0] <= cells.y.min() and cells.y.max() <= widths[0] + 256  # in pixels of the framed picture
    assert widths[2] <= cells.x.min() and cells.x.max() <= widths[2] + 256


@settings(max_examples=12, deadline=None)
@given(index=st.integers(0, 1), widths=st.sampled_from(WIDTHS), colour=st.sampled_from(COLOURS))
def test_the_measures_of_a_pair_stay(index: int, widths: tuple[int, int, int, int], colour: tuple[int, int, int]) -> None:
    target, made = PAIRS[index].ihc, PAIRS[1 - index].ihc
    wide = framed(target, widths, colour)
    hidden = unseen(wide)
    assert hidden is not None
    light = background(wide, ~hidden)
    assert light == pytest.approx(background(target), abs=0.01)
    before = dab_measures(made, target, light)
    after = dab_measures(framed(made, widths, (0, 0, 0)), wide, light)  # whatever stands there in the prediction
    for name in before:
        scale = 1 if name.startswith(("positive", "integrated")) else 0
        rel = 0.12 if name.startswith("integrated") else 0.06  # a sum over pixels, and a ramp of 3 px all around is 5 % of them
        assert after[name] == pytest.approx(before[name], abs=0.01 + scale, rel=rel, nan_ok=True), name
    assert mean_dab(wide, light) == pytest.approx(mean_dab(target, light), abs=0.005)


@settings(max_examples=6, deadline=None)
@given(index=st.integers(0, 1), widths=st.sampled_from(WIDTHS), colour=st.sampled_from(COLOURS))
def test_what_the_level_reader_sees_stays(index: int, widths: tuple[int, int, int, int], colour: tuple[int, int, int]) -> None:
    image = PAIRS[index].ihc
    before, after = features(image), features(framed(image, widths, colour))
    for name, one, other in zip(feature_names(), before, after, strict=True):
        assert other == pytest.approx(one, abs=0.06, rel=0.1), name


def test_the_corners_of_a_rotation_are_no_tissue() -> None:
    image = PAIRS[1].ihc
    for colour in COLOURS:
        turned = np.asarray(Image.fromarray(image).rotate(8, Image.Resampling.BICUBIC, fillcolor=colour))
        found = read(measure(turned, 0.5))
        assert found.pattern == 3
        assert found.h_score_pixel == pytest.approx(read(measure(image, 0.5)).h_score_pixel, rel=0.1)
        assert mean_dab(turned, background(image)) == pytest.approx(mean_dab(image, background(image)), rel=0.06)


def test_nuclei_are_kept_under_a_border() -> None:
    pair = PAIRS[0]
    before = nuclei_kept(pair.ihc, pair.he, 0.5)
    for colour in COLOURS:
        after = nuclei_kept(framed(pair.ihc, (20, 0, 0, 50), colour), framed(pair.he, (20, 0, 0, 50), colour), 0.5)
        assert after.f1 == pytest.approx(before.f1, abs=0.03)


def test_a_pair_is_faulty_by_its_border_alone() -> None:
    pair = PAIRS[0]
    before = faults(PairImages("a", pair.he, pair.ihc))
    for colour in COLOURS:
        after = faults(PairImages("a", framed(pair.he, (30, 30, 0, 0), colour), framed(pair.ihc, (30, 30, 0, 0), colour)))
        assert after.black == pytest.approx(60 / 316, abs=0.1)  # glass of that colour beside it included
        for name in ("blank_source", "blank_target", "fold", "pale", "ink"):
            assert getattr(after, name) == pytest.approx(getattr(before, name), abs=0.04), name


def test_the_case_that_failed(bci_dev: Path) -> None:
    """A crop of level 0 under black strips: its pixel H-score was 71 and its status ok."""
    path = bci_dev.parents[1] / "cases" / "images" / "blackborder" / "blackborder_level0.png"
    if not path.exists():
        pytest.skip("needs ../shared/cases")
    image = read_image(path)
    shown = image[~(image == 0).all(axis=(1, 2))][:, ~(image == 0).all(axis=(0, 2))]
    bordered, bare = read(measure(image, 0.5)), read(measure(shown, 0.5))
    assert bordered.h_score_pixel == pytest.approx(bare.h_score_pixel, abs=0.1) and bare.h_score_pixel < 1
    assert (bordered.pattern, bordered.status) == (bare.pattern, bare.status) and bare.pattern == 0
