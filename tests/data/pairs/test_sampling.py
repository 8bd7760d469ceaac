import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.data.images import PairImages
from chromogen.data.order import systematic
from chromogen.data.pairs import sets as pairs_module
from chromogen.data.pairs.sampling import likeness, rule, thumbnail, weights
from chromogen.data.pairs.sets import FolderData, PhantomData
from chromogen.phantom.tissue.phantom import Phantom
from tests.data.pairs.test_batches import folder

TISSUE = PhantomData(Phantom(size_px=48, displacement_um=3), train_pairs=7)


def test_the_rule_against_a_plain_loop() -> None:
    """Equation 14 written out pixel by pixel and pair by pair; 48 px images are their own thumbnails."""
    pairs = TISSUE.open("train")
    histograms, correlations = [], []
    for images in pairs:
        counts = np.zeros(96)
        for row in images.target:
            for pixel in row:
                for colour in range(3):
                    counts[32 * colour + int(pixel[colour]) // 8] += 1
        histograms.append(counts / counts.sum())
        source, target = (image.astype(np.float64).sum(axis=2).ravel() for image in (images.source, images.target))
        correlations.append(np.corrcoef(source, target)[0, 1])
    expected = [
        (1 + correlations[i]) / np.sqrt(sum(float(np.dot(histograms[i], histograms[j])) for j in range(7))) for i in range(7)
    ]
    found = weights(pairs, np.arange(7))
    assert found == pytest.approx(expected, rel=1e-9)
    assert found.max() > 1.1 * found.min()


def test_what_does_not_train_has_no_say() -> None:
    pairs = TISSUE.open("train")
    fewer = dataclasses.replace(TISSUE, train_pairs=3).open("train")
    assert np.array_equal(weights(pairs, np.arange(3)), weights(fewer, np.arange(3)))
    assert not np.allclose(weights(pairs, np.arange(7))[:3], weights(fewer, np.arange(3)))


def test_a_rare_style_weighs_more_and_a_mismatch_less() -> None:
    common, rare = np.eye(96)[0], np.eye(96)[50]
    found = rule(np.array([0.5, 0.5, 0.5, -0.5]), np.stack([common, common, rare, common]))
    assert found == pytest.approx([1.5 / 3**0.5, 1.5 / 3**0.5, 1.5, 0.5 / 3**0.5])


def test_images_of_one_colour_count_as_uncorrelated() -> None:
    flat = np.full((20, 20, 3), (200, 180, 190), dtype=np.uint8)
    tissue = TISSUE.open("train")[0].source[:20, :20]
    assert likeness(PairImages("p", flat, tissue)).correlation == 0
    assert likeness(PairImages("p", tissue, flat)).correlation == 0
    assert likeness(PairImages("p", tissue, tissue)).correlation == pytest.approx(1)
    assert likeness(PairImages("p", tissue, 255 - tissue)).correlation == pytest.approx(-1)


def test_a_thumbnail_is_the_mean_over_squares() -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)
    small = thumbnail(image, 4)  # 12 // 4 = 3 px squares, the last ones narrower
    assert small.shape == (4, 6, 3)
    for i in range(4):
        for j in range(6):
            square = image[3 * i : 3 * i + 3, 3 * j : 3 * j + 3].astype(float)
            assert np.abs(square.mean(axis=(0, 1)) - small[i, j]).max() < 0.6
    assert np.array_equal(thumbnail(image, 7), image)


def test_a_pair_without_target() -> None:
    with pytest.raises(ValueError, match="p has no target, and weighted sampling compares both"):
        likeness(PairImages("p", np.zeros((4, 4, 3), dtype=np.uint8), None))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.floats(0, 1, exclude_max=True), st.integers(1, 60))
def test_everyone_stands_as_often_as_the_weight_says_up_to_one(shares: list[float], offset: float, count: int) -> None:
    if sum(shares) < 1e-6:
        return
    picks = systematic(np.array(shares), offset, count)
    assert len(picks) == count and np.all(np.diff(picks) >= 0)
    due = count * np.array(shares) / sum(shares)
    found = np.bincount(picks, minlength=len(shares))
    assert np.all(np.abs(found - due) < 1 + 1e-6) and not found[np.array(shares) == 0].any()


def test_the_mean_over_offsets_is_the_weight() -> None:
    shares = np.array([0.3, 2.0, 0.0, 1.1, 0.6])
    counts = sum(np.bincount(systematic(shares, (k + 0.5) / 1000, 3), minlength=5) for k in range(1000))
    assert counts / 3000 == pytest.approx(shares / 4, abs=1e-3)


def test_no_weight_at_all() -> None:
    with pytest.raises(ValueError, match="every pair has weight 0"):
        systematic(np.zeros(3), 0.5, 3)


def test_images_are_read_once_and_again_when_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data: FolderData = folder(tmp_path, "0123")
    reads = []
    read = pairs_module.read_image
    monkeypatch.setattr(pairs_module, "read_image", lambda path: reads.append(path) or read(path))
    first = weights(data.open("train"), np.arange(4))
    assert len(reads) == 8
    assert np.array_equal(weights(data.open("train"), np.arange(4)), first) and len(reads) == 8
    target = tmp_path / "IHC/00002_train_2+.png"
    target.write_bytes((tmp_path / "IHC/00003_train_3+.png").read_bytes() + b" ")
    second = weights(data.open("train"), np.arange(4))
    assert len(reads) == 16
    assert first[2] == pytest.approx(3**0.5) and second[2] == pytest.approx(1.5**0.5)  # one bin of each colour is 1/3
