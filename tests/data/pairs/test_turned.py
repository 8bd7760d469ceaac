from pathlib import Path

import numpy as np
import pytest

from chromogen.data.images import read_image
from chromogen.data.pairs.turned import ORIENTATIONS, agreements, of_all, of_one
from chromogen.phantom.tissue.phantom import Phantom, draw


def turned(image: np.ndarray, number: int) -> np.ndarray:
    """`image` laid as ORIENTATIONS[number] says, in the plainest way."""
    if number >= 4:
        image = np.fliplr(image)
    for _ in range(number % 4):
        image = image.swapaxes(0, 1)[::-1]
    return np.ascontiguousarray(image)


def phantoms(displacement_um: float) -> list[tuple[np.ndarray, np.ndarray]]:
    drawn = [draw(Phantom(size_px=128, displacement_um=displacement_um), level, 70 + level) for level in range(4)]
    return [(pair.he, pair.ihc) for pair in drawn]


def test_words_say_what_was_done() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4, 1).repeat(3, axis=2)
    assert (turned(image, 2) == image[::-1, ::-1]).all() and "180" in ORIENTATIONS[2]
    assert (turned(image, 6) == image[::-1]).all() and "top to bottom" in ORIENTATIONS[6]
    assert (turned(image, 1)[0] == image[:, -1]).all() and "left" in ORIENTATIONS[1]


@pytest.mark.parametrize("number", range(8))
def test_every_orientation_of_phantoms_is_found(number: int) -> None:
    for he, ihc in phantoms(0.0):
        assert of_one(agreements(he, turned(ihc, number))) == number


def test_of_sides_that_differ_quarters_are_not_possible() -> None:
    he, ihc = phantoms(0.0)[1]
    found = agreements(he[:96], turned(ihc[:96], 2))
    assert of_one(found) == 2 and np.isneginf(found[1::2]).all()


@pytest.mark.parametrize("displacement_um", [0.0, 10.0, 40.0])
def test_sections_far_apart_and_wrong_pairs_raise_no_alarm(displacement_um: float) -> None:
    pairs = phantoms(displacement_um)
    assert [of_one(agreements(*pair)) for pair in pairs] == [0] * 4
    assert of_all(np.stack([agreements(*pair) for pair in pairs] * 2)) == 0
    strangers = [(pairs[k][0], pairs[(k + 1) % 4][1]) for k in range(4)]
    assert [of_one(agreements(*pair)) for pair in strangers] == [0] * 4


def test_flat_images_agree_with_nothing() -> None:
    flat = np.full((64, 64, 3), 200, np.uint8)
    assert (agreements(flat, flat) == 0).all() and of_one(agreements(flat, flat)) == 0


def test_real_pairs_lie_alike_and_turned_ones_are_found(bci_dev: Path) -> None:
    """Zero false alarms on all of BCI's and MIST's; turned by 180 degrees the set as a whole, or pairs of it, are told."""
    for folder in (bci_dev, bci_dev.with_name("mist_dev")):
        pairs = [(read_image(path), read_image(folder / "IHC" / path.name)) for path in sorted((folder / "HE").iterdir())]
        upright = [agreements(*pair) for pair in pairs]
        assert [of_one(row) for row in upright] == [0] * len(pairs) and of_all(np.stack(upright)) == 0
        aside = [agreements(he[60:, :-90], ihc[:-60, 90:]) for he, ihc in pairs]
        assert [of_one(row) for row in aside] == [0] * len(pairs) and of_all(np.stack(aside)) == 0
        back = [agreements(he, turned(ihc, 2)) for he, ihc in pairs]
        assert 2 in [of_one(row) for row in back]
