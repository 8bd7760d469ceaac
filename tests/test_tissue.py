"""Padding and ink, against the truth of pictures that were padded and written on here."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from chromogen.color import background
from chromogen.data.images import read_image
from chromogen.phantom.tissue.phantom import Phantom, draw
from chromogen.tensors import Uint8Image
from chromogen.tissue import RAMP_PX, extremes, ink, padding, unseen

SIDE = 160
PAIR = draw(Phantom(size_px=SIDE, white_spread=0.3), 3, 1)
COLOURS = [(0, 0, 0), (255, 255, 255), (128, 128, 128), (235, 235, 235), (150, 120, 130)]


def jpeg(image: Uint8Image, quality: int) -> Uint8Image:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@settings(max_examples=40, deadline=None)
@given(
    stain=st.sampled_from(("he", "ihc")),
    colour=st.sampled_from(COLOURS),
    widths=st.tuples(*[st.one_of(st.integers(0, 3), st.integers(4, 200))] * 4),
    quality=st.sampled_from((None, None, 75)),
)
def test_a_border_of_any_width_colour_and_side_is_found(
    stain: str, colour: tuple[int, int, int], widths: tuple[int, int, int, int], quality: int | None
) -> None:
    top, bottom, left, right = widths
    if quality is not None and 0 < min(width or 99 for width in widths) < 16:
        quality = None  # of a narrower border JPEG leaves no flat block
    border = np.ones((SIDE + top + bottom, SIDE + left + right), bool)
    border[top : top + SIDE, left : left + SIDE] = False
    framed = np.empty((*border.shape, 3), np.uint8)
    framed[:] = colour
    framed[~border] = getattr(PAIR, stain).reshape(-1, 3)
    found = padding(framed if quality is None else jpeg(framed, quality))
    if not border.any():
        assert found is None
        return
    assert found is not None
    assert not (border & ~found).any()
    assert (found & ~border).sum() <= 4 * RAMP_PX * SIDE + 0.06 * SIDE * SIDE  # the ramp, and glass of the padding's colour


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("degrees", [3, 12, 90])
@pytest.mark.parametrize("resample", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
def test_corners_of_a_rotation_are_found(colour: tuple[int, int, int], degrees: int, resample: Image.Resampling) -> None:
    turned = np.asarray(Image.fromarray(PAIR.he).rotate(degrees, resample, fillcolor=colour))
    outside = np.asarray(Image.new("L", (SIDE, SIDE), 255).rotate(degrees, Image.Resampling.NEAREST)) == 0
    found = padding(turned)
    if degrees == 90:
        assert found is None
        return
    assert found is not None
    assert not (outside & ~found).any()
    assert (found & ~outside).mean() < 0.09


@pytest.mark.parametrize("stain", ["he", "ihc"])
@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("white_spread", [0.0, 0.3])
def test_tissue_and_glass_are_neither_padding_nor_ink(stain: str, level: int, white_spread: float) -> None:
    pair = draw(Phantom(size_px=SIDE, white_spread=white_spread), level, 4)
    assert unseen(getattr(pair, stain)) is None
    assert unseen(jpeg(getattr(pair, stain), 75)) is None


def test_flat_glass_of_the_pictures_own_white_is_glass() -> None:
    """As a network or a saturated scanner leaves it."""
    image = PAIR.ihc.copy()
    image[:60, :60] = np.rint(background(image) * 255)
    assert padding(image) is None


@pytest.mark.parametrize("colour", COLOURS)
def test_a_picture_of_one_colour_is_not_padding(colour: tuple[int, int, int]) -> None:
    assert padding(np.full((50, 70, 3), colour, np.uint8)) is None
    assert padding(np.full((1, 1, 3), colour, np.uint8)) is None


def test_black_inside_the_picture_is_found() -> None:
    image = PAIR.ihc.copy()
    image[40:80, 50:90] = 3
    found = padding(image)
    assert found is not None and found[40:80, 50:90].all() and found.sum() < 50 * 50


@pytest.mark.parametrize("colour", [(30, 60, 150), (10, 110, 60), (25, 24, 26), (200, 20, 35), (20, 120, 130)])
@pytest.mark.parametrize("stain", ["he", "ihc"])
def test_a_stroke_of_a_pen_is_ink(stain: str, colour: tuple[int, int, int]) -> None:
    canvas = Image.fromarray(getattr(PAIR, stain))
    stroke = Image.new("L", canvas.size)
    for picture, fill in ((canvas, colour), (stroke, 255)):
        ImageDraw.Draw(picture).line([(10, 20), (120, 90), (150, 150)], fill=fill, width=14)
    found = ink(np.asarray(canvas))
    inside = np.asarray(stroke) > 0
    assert found is not None
    assert not (inside & ~found).any() and (found & ~inside).sum() < 2 * inside.sum()


def test_extremes_are_those_of_numpy() -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    lowest, highest = extremes(image)
    assert (lowest == image.min(axis=2)).all() and (highest == image.max(axis=2)).all()


def test_real_images_are_seen_whole_and_real_pens_are_found(bci_dev: Path) -> None:
    data = bci_dev.parent
    whole = [*(bci_dev / "HE").iterdir(), *(bci_dev / "IHC").iterdir(), *(data / "mist_dev").glob("*/*")]
    whole += [data / "ihc_nuclei" / f"{name}.png" for name in ("22_2", "34_3", "ki67_scanner_b")]
    assert len(whole) == 25
    assert [path.name for path in whole if unseen(read_image(path)) is not None] == []
    for name, least, most in (("tcga-green-pen", 0.12, 0.25), ("tcga-red-pen", 0.15, 0.35)):
        found = ink(read_image(data / "slides" / "pen_marks" / f"{name}.png"))
        assert found is not None and least < found.mean() < most
