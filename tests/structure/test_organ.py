import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from chromogen.config import from_fields, to_fields
from chromogen.structure.organ import DEFAULT, PRESETS, OrganMask, organ

BARE = OrganMask(threshold=0.5, border_px=0, median=1, smallest_share=0.0)


def batch(rows: list[str]) -> torch.Tensor:
    return torch.tensor([[float(c) for c in row.replace(" ", "")] for row in rows])[None, None]


def test_zoom_by_hand() -> None:
    """4x4 enlarged to 6x6 by nearest neighbour reads rows 0 0 1 2 2 3, and the middle four are 0 1 2 2."""
    image = batch(["0000", "0110", "0110", "0000"])
    found = organ(image, OrganMask(threshold=0.5, border_px=2, median=1, method="zoom"))
    assert found.dtype == torch.float32
    assert found[0, 0].tolist() == batch(["0000", "0111", "0111", "0111"])[0, 0].tolist()


def test_fill_by_hand() -> None:
    """The larger piece alone, its hole filled; the diagonal neighbour hangs by a corner and goes."""
    image = batch(["1000000", "0111000", "0101000", "0111000", "0000000", "0000010"])
    whole = batch(["0000000", "0111000", "0111000", "0111000", "0000000", "0000000"])
    assert torch.equal(organ(image, BARE), whole)
    grown = organ(image, OrganMask(threshold=0.5, border_px=2, median=1, smallest_share=0.0))
    assert torch.equal(grown, batch(["0111000", "1111100", "1111100", "1111100", "0111000", "0000000"]))


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(3, 24), width=st.integers(3, 24), share=st.floats(0.3, 0.9))
def test_fill_equals_scipy(seed: int, height: int, width: int, share: float) -> None:
    bright = np.random.default_rng(seed).random((height, width)) < share
    bright[0, 0], bright[0, 1] = False, True  # both ends of the range
    pieces, count = ndimage.label(bright)
    sizes = ndimage.sum_labels(bright, pieces, range(1, count + 1))
    expected = ndimage.binary_fill_holes(pieces == 1 + int(np.argmax(sizes)))
    found = organ(torch.from_numpy(bright.astype(np.float32))[None, None], BARE)
    np.testing.assert_array_equal(found[0, 0].numpy() > 0, expected)


def test_a_dark_ventricle_is_inside_only_when_filled() -> None:
    y, x = np.mgrid[:80, :80] - 40
    head = np.where(np.hypot(y, x) < 30, 0.8, 0.0)
    head[np.hypot(y, x) < 8] = 0.02
    image = torch.from_numpy(head.astype(np.float32))[None, None]
    assert organ(image)[0, 0, 40, 40] == 1
    assert organ(image, PRESETS["brats"])[0, 0, 40, 40] == 0
    for mask in (DEFAULT, PRESETS["brats"]):  # the outer contour is inside by about half of border_px
        reach = np.hypot(y, x)[organ(image, mask)[0, 0].numpy() > 0].max() - 30
        assert 1 <= reach <= mask.border_px / 2 + 1


def test_a_thread_does_not_tie_a_couch_to_the_patient() -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[..., 10:40, 15:50] = 0.9
    image[..., 40:52, 30] = 0.9  # one pixel wide
    image[..., 52:60, 5:60] = 0.9
    assert not organ(image)[..., 54:, :].any()


def test_an_organ_too_small_names_its_image() -> None:
    images = torch.zeros(3, 1, 40, 40)
    images[:2, :, 10:30, 10:30] = 0.9
    images[2, :, 1, 1] = 0.9
    with pytest.raises(ValueError, match=r"image 2 of 3 covers 0\.00% .* less than 2\.00%; lower the threshold 0\.1"):
        organ(images)
    with pytest.raises(ValueError, match="image 0 of 1"):
        organ(torch.zeros(1, 1, 40, 40))


PUBLISHED = """
brats    0.30  10  5
xray     0.15  2   17
lung_ct  0.48  2   3
tianchi  0.48  2   3
retina   0.30  10  17
"""


def test_presets_are_the_published_constants() -> None:
    rows = [line.split() for line in PUBLISHED.split("\n") if line]
    assert [row[0] for row in rows] == list(PRESETS)
    for name, *numbers in rows:
        found = PRESETS[name]
        assert [found.threshold, found.border_px, found.median] == [float(number) for number in numbers]
        assert found.method == "zoom"


def test_a_batch_is_its_images_one_by_one() -> None:
    images = torch.from_numpy(np.random.default_rng(0).random((5, 3, 30, 34), dtype=np.float32))
    for mask in (DEFAULT, *PRESETS.values()):
        assert torch.equal(organ(images, mask), torch.cat([organ(image[None], mask) for image in images]))


def test_settings_survive_json_and_refuse_nonsense() -> None:
    for preset in (DEFAULT, *PRESETS.values()):
        assert from_fields(OrganMask, to_fields(preset)) == preset
    for wrong in ({"threshold": 1.0}, {"border_px": -1}, {"smallest_share": 1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            OrganMask(**wrong)
