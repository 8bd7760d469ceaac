import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.nets.ssd import SSD, DefaultBoxes

CPU = torch.device("cpu")


def test_maps_at_512_px_are_those_of_the_thesis() -> None:
    boxes = SSD(1, 1, 4, 512, shapes="wide", spacing="area").boxes
    assert [512 // stride for stride in boxes.strides] == [64, 32, 16, 8, 4, 2]
    assert boxes.per_cell == [4, 6, 6, 6, 4, 4]
    areas = [0.05, 0.22, 0.39, 0.56, 0.73, 0.9]
    for number, area in enumerate(areas):
        ratios = [1, 1.25, 2, 3, 1 / 2, 1 / 3][: boxes.per_cell[number]]
        for (width, height), ratio in zip(boxes.sizes(number), ratios, strict=True):
            assert (width * height, width / height) == (pytest.approx(area), pytest.approx(ratio))


def test_balanced_boxes_grow_by_one_ratio_and_have_a_tall_one_for_each_wide_one() -> None:
    boxes = DefaultBoxes((8, 16, 32, 64), "balanced", "ratio", 0.1, 0.8)
    assert boxes.scales == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6])
    root = math.sqrt(2)
    first = [(0.1, 0.1), (0.1 * root, 0.1 * root), (0.1 * root, 0.1 / root), (0.1 / root, 0.1 * root)]
    assert boxes.sizes(0) == [pytest.approx(pair) for pair in first]
    wide = boxes.sizes(1)[4:]
    assert wide == [
        pytest.approx((0.2 * math.sqrt(3), 0.2 / math.sqrt(3))),
        pytest.approx((0.2 / math.sqrt(3), 0.2 * math.sqrt(3))),
    ]


def test_boxes_stand_around_the_cells_row_by_row() -> None:
    boxes = DefaultBoxes((16,), "wide", "ratio", 0.5, 0.9).of(32, 48, CPU)
    assert boxes.shape == (2 * 3 * 4, 4)
    centres = ((boxes[:, :2] + boxes[:, 2:]) / 2)[::4].tolist()
    assert centres == [[x, y] for y in (8, 24) for x in (8, 24, 40)]
    assert boxes[0].tolist() == [0, 0, 16, 16]  # a side of half the shorter side, around (8, 8)


@settings(deadline=None, max_examples=12)
@given(height=st.integers(32, 140), width=st.integers(32, 140), classes=st.integers(1, 4))
def test_there_is_an_answer_for_every_box(height: int, width: int, classes: int) -> None:
    network = SSD(1, classes, 4, min(height, width))
    said = network(torch.rand(1, 1, height, width))
    assert said.default_boxes.shape[1] == 4
    assert said.offsets.shape == (1, len(said.default_boxes), 4)
    assert said.scores.shape == (1, len(said.default_boxes), 1 + classes)
    assert min(-(-min(height, width) // stride) for stride in network.boxes.strides) >= 2


def test_an_answer_belongs_to_the_box_at_its_place() -> None:
    """A change in one corner of the image changes most what is said of the small boxes in that corner."""
    torch.manual_seed(0)
    network = SSD(1, 1, 8, 64, norm="instance")
    image = torch.rand(1, 1, 64, 64)
    other = image.clone()
    other[:, :, :12, 48:] = 1 - other[:, :, :12, 48:]
    with torch.no_grad():
        moved = (network(image).scores - network(other).scores).abs().sum(2)[0, : 16 * 16 * 4]
    box = network.boxes.of(64, 64, CPU)[int(moved.argmax())]
    assert float(box[0] + box[2]) / 2 > 44 and float(box[1] + box[3]) / 2 < 20


def test_images_too_small_are_a_sentence() -> None:
    with pytest.raises(ValueError, match="from 32 px, got 31 px"):
        SSD(1, 1, 4, 31)
    with pytest.raises(ValueError, match="needs images from 33 px a side; got 64x32 px"):
        SSD(1, 1, 4, 64)(torch.rand(1, 1, 32, 64))
