"""The kind of a picture, on phantoms and drawn pictures everywhere, and on real ones where the machine has them."""

import io
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chromogen.data.images import read_image
from chromogen.kind import NAMES, WORDS, kind_of
from chromogen.phantom.tissue.phantom import Phantom, draw
from chromogen.tensors import Uint8Image


def jpeg(image: Uint8Image, quality: int) -> Uint8Image:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("seed", range(3))
def test_both_stains_of_phantoms_of_every_level_are_told(level: int, seed: int) -> None:
    pair = draw(Phantom(size_px=192, white_spread=(0.0, 0.3, 0.5)[seed], jpeg_quality=(None, 75, None)[seed]), level, seed)
    assert (kind_of(pair.he).name, kind_of(pair.ihc).name) == ("he", "ihc")


@settings(max_examples=20, deadline=None)
@given(
    colour=st.sampled_from(((0, 0, 0), (255, 255, 255), (128, 128, 128), (170, 140, 130))),
    widths=st.tuples(*[st.integers(0, 60)] * 4),
    quality=st.sampled_from((None, 80)),
)
def test_a_border_changes_no_kind(colour: tuple[int, int, int], widths: tuple[int, int, int, int], quality: int | None) -> None:
    top, bottom, left, right = widths
    for stain, image in zip(("he", "ihc"), PAIR, strict=True):
        framed = np.empty((192 + top + bottom, 192 + left + right, 3), np.uint8)
        framed[:] = colour
        framed[top : top + 192, left : left + 192] = image
        assert kind_of(framed if quality is None else jpeg(framed, quality)).name == stain


_PAIR = draw(Phantom(size_px=192), 2, 1)
PAIR = (_PAIR.he, _PAIR.ihc)


@pytest.mark.parametrize("side", [1, 60])
@pytest.mark.parametrize("colour", [(0, 0, 0), (90, 90, 90), (120, 70, 30), (230, 190, 180), (60, 60, 140), (200, 0, 0)])
def test_one_colour_is_no_slide(colour: tuple[int, int, int], side: int) -> None:
    assert kind_of(np.full((side, side, 3), colour, np.uint8)).name in ("other", "dark")


@pytest.mark.parametrize("side", [1, 60])
@pytest.mark.parametrize("colour", [(255, 255, 255), (238, 236, 230), (175, 174, 172)])
def test_one_colour_of_glass_is_blank(colour: tuple[int, int, int], side: int) -> None:
    assert kind_of(np.full((side, side, 3), colour, np.uint8)).name == "blank"


def test_glass_alone_is_blank() -> None:
    noise = np.random.default_rng(0).integers(-2, 3, (200, 200, 3))
    assert kind_of((230 + noise).astype(np.uint8)).name == "blank"


@pytest.mark.parametrize("stain", [0, 1])
def test_what_lost_its_colours_is_grey(stain: int) -> None:
    grey = np.asarray(Image.fromarray(PAIR[stain]).convert("L").convert("RGB"))
    assert kind_of(grey).name == "grey"
    assert kind_of(jpeg(grey, 80)).name == "grey"
    tinted = np.rint(grey * np.array([0.95, 1.0, 0.9])).astype(np.uint8)
    assert kind_of(tinted).name == "grey"


@pytest.mark.parametrize("light", [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, 1), (1, 0, 1)])
def test_light_on_black_is_dark(light: tuple[int, int, int]) -> None:
    glow = np.random.default_rng(1).integers(0, 256, (40, 40)).astype(np.uint8)
    glow = np.asarray(Image.fromarray(glow).resize((200, 200), Image.Resampling.BICUBIC)).astype(float)
    assert kind_of((np.clip(glow - 90, 0, 255)[..., None] * np.array(light)).astype(np.uint8)).name == "dark"


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_photographs_are_no_stain(name: str) -> None:
    assert kind_of(getattr(skimage.data, name)()).name in ("other", "dark")


@pytest.mark.parametrize("least", [0, 180])
def test_noise_is_no_stain(least: int) -> None:
    noise = np.random.default_rng(0).integers(least, 256, (256, 256, 3)).astype(np.uint8)
    assert kind_of(noise).name == "other"


def test_a_screenshot_is_no_stain() -> None:
    page = np.full((300, 400, 3), 250, np.uint8)
    page[20:60] = (60, 90, 160)
    page[80:200, 30:180] = (200, 170, 140)
    page[90:95, 40:170] = page[100:105, 40:150] = (30, 30, 30)
    assert kind_of(page).name not in ("he", "ihc")


def test_a_real_ihc_image_of_scikit_image() -> None:
    assert kind_of(skimage.data.immunohistochemistry()).name == "ihc"


def test_every_real_stain_is_told(bci_dev: Path) -> None:
    """Each real pair, also in quarters; n is asserted, so that an empty folder proves nothing."""
    counted = 0
    for folder in (bci_dev, bci_dev.parent / "mist_dev"):
        for stain, name in (("HE", "he"), ("IHC", "ihc")):
            for path in sorted((folder / stain).iterdir()):
                image = read_image(path)
                for part in (image, image[:512, :512], image[:512, 512:], image[512:, :512], image[512:, 512:]):
                    assert kind_of(part).name == name, path
                    counted += 1
    assert counted == 110


def test_other_real_markers_and_other_real_pictures(bci_dev: Path) -> None:
    data = bci_dev.parent
    brown = [data / "ihc_nuclei" / f"{name}.png" for name in ("22_2", "34_3", "ki67_scanner_b")]
    lungs = sorted((data / "registration").rglob("*.jpg"))
    brown += [path for path in lungs if "he" not in path.stem.lower().replace("-", "_").split("_")]
    assert len(brown) == 8 and len(lungs) == 7
    assert {path.name: kind_of(read_image(path)).name for path in brown} == {path.name: "ihc" for path in brown}
    pink = [path for path in lungs if path not in brown] + sorted((data / "slides" / "pen_marks").iterdir())
    assert {path.name: kind_of(read_image(path)).name for path in pink} == {path.name: "he" for path in pink}
    strangers = sorted((data / "retina").rglob("*.jpg"))[:6] + sorted((data / "xray" / "test" / "NORMAL").iterdir())[:6]
    assert {kind_of(read_image(path)).name for path in strangers} <= {"grey", "dark", "other", "blank"}


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 9), least=st.sampled_from((0, 120, 250)))
def test_pictures_of_any_size_have_a_kind(height: int, width: int, seed: int, least: int) -> None:
    image = np.random.default_rng(seed).integers(least, 256, (height, width, 3)).astype(np.uint8)
    kind = kind_of(image)
    assert kind.name in NAMES and kind.words == WORDS[kind.name] and kind.reason


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_other_arrays_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 RGB of shape"):
        kind_of(image)
