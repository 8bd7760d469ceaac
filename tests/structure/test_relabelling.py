import numpy as np
import torch

from chromogen.structure.placement import Placement
from chromogen.structure.relabelling import relabelled
from tests.methods.synthesis_cases import cases

STILL = Placement(operations=0, push_px=0, tries=1)


def different(count: int = 6) -> dict:
    """Case k has k pixels of lesion in row 16, one box of width k + 1, and class k % 2; case 0 has no lesion."""
    batch = cases(count=count)
    batch["mask"].zero_(), batch["boxes"].zero_()
    for case in range(1, count):
        batch["mask"][case, 16, 10 : 10 + case] = 1
        batch["boxes"][case, 0] = torch.tensor([1.0, 10, 16, 11 + case, 20])
    return batch


def test_every_label_is_used_once_and_stays_what_it_was() -> None:
    batch = different()
    masks = relabelled(batch, "segmentation", batch["organ"], np.random.default_rng(0), STILL)["mask"]
    order = [int(size) for size in masks.sum((1, 2))]
    assert sorted(order) == list(range(6)) and order != list(range(6))
    assert all(torch.equal(masks[case], batch["mask"][giver]) for case, giver in enumerate(order))
    boxes = relabelled(batch, "boxes", batch["organ"], np.random.default_rng(0), STILL)["boxes"]
    assert all(torch.equal(boxes[case], batch["boxes"][giver]) for case, giver in enumerate(order))
    category = relabelled(batch, "category", batch["organ"], np.random.default_rng(0), STILL)["category"]
    assert category.tolist() == [giver % 2 for giver in order]


def test_the_batch_itself_is_left_alone_and_unlabelled_ones_pass() -> None:
    batch = different()
    before = {key: value.clone() for key, value in batch.items()}
    for kind in ("segmentation", "boxes", "category", "none"):
        changed = relabelled(batch, kind, batch["organ"], np.random.default_rng(0))
        assert changed["images"] is batch["images"]
        assert {key: value.dtype for key, value in changed.items()} == {key: value.dtype for key, value in before.items()}
    assert all(torch.equal(batch[key], before[key]) for key in batch)


def test_labels_lie_in_the_organ_or_are_left_out_and_the_filter_can_be_turned_off() -> None:
    batch = different()
    organ = torch.zeros_like(batch["organ"])
    organ[:3, :, 12:20, 8:24] = 1  # the others have none
    rng = np.random.default_rng(0)
    for _ in range(20):
        masks = relabelled(batch, "segmentation", organ, rng)["mask"]
        assert int((masks * (1 - organ[:, 0].long())).sum()) == 0
        assert not bool(masks[3:].any())
        boxes = relabelled(batch, "boxes", organ, rng)["boxes"]
        assert not bool(boxes[3:].any())
        for _, x0, y0, x1, y1 in boxes[:3, 0][boxes[:3, 0, 0] > 0].tolist():
            assert 8 <= x0 < x1 <= 24 and 12 <= y0 < y1 <= 20
    anywhere = relabelled(batch, "segmentation", organ, rng, inside=False)["mask"]
    assert bool(anywhere[3:].any())


def test_the_same_generator_gives_the_same_labels() -> None:
    batch = different()
    once, again = (relabelled(batch, "segmentation", batch["organ"], np.random.default_rng(4))["mask"] for _ in range(2))
    assert torch.equal(once, again)
