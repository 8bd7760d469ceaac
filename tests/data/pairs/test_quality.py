import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from chromogen.data.images import PairImages
from chromogen.data.pairs.quality import Faults, badness, blur, faults, worst
from chromogen.data.pairs.sets import FolderData, PhantomData
from chromogen.phantom.tissue.phantom import Phantom

TISSUE = PhantomData(Phantom(size_px=128, displacement_um=3), train_pairs=24)


def spoilt(kind: str, images: PairImages) -> PairImages:
    """The pair with one thing wrong on one of its sides."""
    source, target = images.source.copy(), images.target.copy()
    if kind == "blurred source":
        source = gaussian_filter(source, (3, 3, 0))
    elif kind == "blurred target":
        target = gaussian_filter(target, (3, 3, 0))
    elif kind == "black source":
        source[:] = 0
    elif kind == "black border":
        target[:, :25] = 0
    elif kind == "blank source":
        source[:] = (236, 233, 238)
    elif kind == "ink":
        source[20:60, 20:60] = (30, 110, 70)
    elif kind == "fold":
        fold = source[:, 40:80].astype(float) / 255
        source[:, 40:80] = np.rint(255 * fold**3)  # three layers of tissue
    return PairImages(images.name, source, target, images.level)


SPOILT = {
    3: "blurred source",
    5: "blurred target",
    8: "black source",
    11: "black border",
    14: "blank source",
    17: "ink",
    20: "fold",
}


def write(root: Path, spoil: dict[int, str]) -> FolderData:
    for index, images in enumerate(TISSUE.open("train")):
        images = spoilt(spoil.get(index, ""), images)
        for side, image in (("HE", images.source), ("IHC", images.target)):
            (root / side).mkdir(exist_ok=True)
            Image.fromarray(image).save(root / side / f"{images.name}.png")
    return FolderData(root, crop_px=64, validation_share=0)


def test_the_spoilt_pairs_are_the_worst(tmp_path: Path) -> None:
    pairs = write(tmp_path, SPOILT).open("train")
    assert set(worst(pairs, 7 / 24).tolist()) == set(SPOILT)
    assert len(worst(pairs, 0.1)) == 2  # of 24, rounded down
    assert len(worst(pairs, 0)) == 0


def test_what_is_spoilt_shows_in_its_own_measure() -> None:
    good = TISSUE.open("train")[4]
    before = dataclasses.asdict(faults(good))
    expected = {
        "blurred source": "blur_source",
        "blurred target": "blur_target",
        "black source": "black",
        "black border": "black",
        "blank source": "blank_source",
        "ink": "ink",
        "fold": "fold",
    }
    for kind, measure in expected.items():
        after = dataclasses.asdict(faults(spoilt(kind, good)))
        assert after[measure] > before[measure] + 0.08, kind
    assert faults(spoilt("black border", good)).black == pytest.approx(25 / 128, abs=0.01)
    assert faults(spoilt("ink", good)).ink == pytest.approx(1600 / 128**2, abs=0.01)
    assert faults(spoilt("blank source", good)).blank_source == 1


def test_a_strong_brown_is_no_fault() -> None:
    """HER2 3+ stands out by its target's density and colour, which no measure judges."""
    tissue = dataclasses.replace(TISSUE.phantom, lost_cells=0.0, displacement_um=0.0, her2_signal=0.0)
    found = tuple(faults(images) for images in dataclasses.replace(TISSUE, phantom=tissue).open("train"))
    scores = badness(found)
    by_level = [scores[level::4].mean() for level in range(4)]
    assert by_level[3] < 1.5 * np.mean(by_level)


def test_badness_by_hand() -> None:
    """Medians 0; a deviation of blur is at least 0.1 and here 0.1483, of black 0.01; at most 10 deviations count."""
    none = Faults(0, 0, 0, 0, 0, 0, 0, 0)
    found = tuple(
        dataclasses.replace(none, blur_source=value, black=black)
        for value, black in ((-0.1, 0.0), (0.1, 0.02), (0.0, 0.5), (-0.1, 0.0), (0.1, 0.0))
    )
    assert badness(found) == pytest.approx([0, 0.1 / 0.14826 + 2, 10, 0, 0.1 / 0.14826])


def test_blur_does_not_depend_on_contrast_but_on_sharpness() -> None:
    image = TISSUE.open("train")[4].source
    pale = np.rint(255 - (255 - image.astype(float)) / 2).astype(np.uint8)
    assert blur(pale) == pytest.approx(blur(image), abs=0.05)
    softer = [blur(gaussian_filter(image, (sigma, sigma, 0))) for sigma in (0, 1, 2, 3)]
    assert all(np.diff(softer) > 0.1)
    assert blur(np.full((32, 32, 3), 200, dtype=np.uint8)) == 0


def test_a_pair_without_target() -> None:
    with pytest.raises(ValueError, match="p has no target, and data.drop_worst judges pairs"):
        faults(PairImages("p", np.zeros((4, 4, 3), dtype=np.uint8), None))


def test_any_size_has_finite_measures() -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 1, 3), (1, 40, 3), (7, 5, 3), (140, 300, 3)):
        images = [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(2)]
        assert np.all(np.isfinite(dataclasses.astuple(faults(PairImages("p", *images)))))


def test_real_pairs_are_not_told_apart_by_their_level(bci_dev: Path) -> None:
    found = tuple(faults(images) for images in FolderData(bci_dev, validation_share=0, crop_px=64).open("train"))
    assert len(found) == 8 and max(pair.black for pair in found) < 0.01 and max(pair.ink for pair in found) < 0.01
