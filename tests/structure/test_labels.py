import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.structure.labels import KINDS, planes, planes_of_boxes, planes_of_category, planes_of_mask
from chromogen.tensors import CaseBatch


def case(**labels: torch.Tensor) -> CaseBatch:
    drawn = torch.zeros(2, 1, 3, 4)
    return CaseBatch(images=drawn[:, None], lines=drawn, organ=drawn, index=torch.arange(2), **labels)  # type: ignore[typeddict-item]


def test_a_mask_by_hand() -> None:
    mask = torch.tensor([[[0, 2, 2, 0], [1, 0, 0, 0], [0, 0, 0, 1]], [[0] * 4] * 3])
    found = planes(case(mask=mask), "segmentation", 3)
    assert found.shape == (2, 3, 3, 4) and found.dtype == torch.float32 and found.is_contiguous()
    assert found[0, 1].tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    assert found[0, 2].tolist() == [[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert torch.equal(found.sum(dim=1), torch.ones(2, 3, 4)) and torch.equal(found.argmax(dim=1), mask)


def test_categories() -> None:
    found = planes(case(category=torch.tensor([1, -1])), "category", 3)
    assert found.shape == (2, 3, 3, 4)
    assert found.amin(dim=(2, 3)).tolist() == found.amax(dim=(2, 3)).tolist() == [[0, 1, 0], [0, 0, 0]]


def test_boxes_by_hand() -> None:
    boxes = torch.tensor([[[1, 0, 0, 2, 1], [2, 1, 0.5, 3.2, 3]], [[0, 0, 0, 4, 3], [2, -5, 2, 9, 9]]])
    found = planes(case(boxes=boxes), "boxes", 3)
    assert found[0].tolist() == [
        [[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]],
        [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]],
    ]
    assert found[1, 2].tolist() == [[0] * 4, [0] * 4, [1] * 4] and not found[1, 1].any()  # class 0 only fills up
    assert torch.equal(found[1, 0], 1 - found[1, 2])


@settings(deadline=None, max_examples=40)
@given(data=st.data(), height=st.integers(1, 9), width=st.integers(1, 9))
def test_boxes_equal_a_loop(data: st.DataObject, height: int, width: int) -> None:
    edge = st.floats(-2, 11, width=32)
    row = st.tuples(st.integers(0, 3), edge, edge, edge, edge)
    rows = data.draw(st.lists(row, min_size=1, max_size=4))
    found = planes_of_boxes(torch.tensor([rows], dtype=torch.float32), 4, height, width)[0]
    for y in range(height):
        for x in range(width):
            here = {c for c, x0, y0, x1, y1 in rows if c and x0 < x + 1 and x < x1 and y0 < y + 1 and y < y1}
            assert {c for c in range(1, 4) if found[c, y, x]} == here
            assert found[0, y, x] == (not here)


def test_no_label_and_no_boxes() -> None:
    assert planes(case(), "none", 5).shape == (2, 0, 3, 4)
    assert planes_of_boxes(torch.zeros(1, 0, 5), 2, 3, 4)[:, 0].all()
    assert planes_of_boxes(torch.zeros(1, 2, 5), 1, 3, 4).tolist() == [[[[1] * 4] * 3]]


def test_what_does_not_fit() -> None:
    for kind, key in (("segmentation", "mask"), ("category", "category"), ("boxes", "boxes")):
        with pytest.raises(ValueError, match=f"have no '{key}'"):
            planes(case(), kind, 2)
    with pytest.raises(ValueError, match="did you mean 'segmentation'"):
        planes(case(), "segmentaton", 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="from 0 to 2, and 2 classes are numbered 0 to 1"):
        planes_of_mask(torch.tensor([[[0, 2]]]), 2)
    with pytest.raises(ValueError, match="from -2"):
        planes_of_category(torch.tensor([-2]), 2, 3, 3)
    with pytest.raises(ValueError, match="at least 1 class"):
        planes_of_mask(torch.tensor([[[0]]]), 0)
    assert len(KINDS) == 4
